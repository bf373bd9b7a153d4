//! Where in a file the network is: which of its entries, and behind which prefix of the names. Wrappers
//! (`DataParallel`, `torch.compile`, averages, frameworks) put both in front of what the network calls
//! its parameters.

use super::entry::Unreadable;

/// Entries that hold the state dict, by the programs that write them: the official code; MAE, DeiT.
const STATE_DICTS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

/// Parameters that every network has exactly one of: CRATE, ViT.
const ANCHORS: [&str; 2] = ["pos_embedding", "pos_embed"];

/// A dictionary of tensors in a file.
#[derive(Debug, Clone)]
pub(super) struct Group<'a> {
    /// Its entry; empty for the whole file.
    pub(super) path: String,
    /// Names of its tensors.
    pub(super) names: Vec<&'a str>,
}

impl Group<'_> {
    fn is_network(&self) -> bool {
        self.names.iter().any(|name| prefix(name).is_some())
    }
}

/// A group that was chosen.
#[derive(Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) index: usize,
    /// Whether it is the one that was asked for.
    pub(super) found_key: bool,
    /// Other entries that hold a network too.
    pub(super) others: Vec<String>,
}

/// What stands before a parameter's own name, if the name is that of an anchor.
fn prefix(name: &str) -> Option<&str> {
    ANCHORS.iter().find_map(|anchor| {
        let prefix = name.strip_suffix(anchor)?;
        (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
    })
}

/// Whether an entry is where programs keep the network: in the whole file, or under a common name.
pub(super) fn is_usual(entry: &str) -> bool {
    entry.is_empty() || STATE_DICTS.contains(&entry)
}

/// Some of `names` in one line.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The group that holds the network: the one named `key`, else the only one, or the one that is called
/// what programs call it.
pub(super) fn choose_entry(groups: &[Group<'_>], key: Option<&str>) -> Result<Choice, Unreadable> {
    let asked = key.and_then(|key| groups.iter().position(|group| group.path == key));
    let networks: Vec<usize> = (0..groups.len())
        .filter(|&index| groups[index].is_network())
        .collect();
    let named = |candidates: &[usize]| {
        let whole_file = match networks.is_empty() {
            true => STATE_DICTS.len(),
            false => 0,
        };
        let mut words = STATE_DICTS.to_vec();
        words.insert(whole_file, "");
        words
            .into_iter()
            .find_map(|word| candidates.iter().copied().find(|&i| groups[i].path == word))
    };
    let everything: Vec<usize> = (0..groups.len()).collect();
    let index = match (asked, networks.as_slice(), groups) {
        (Some(index), _, _) => index,
        (None, [only], _) => *only,
        (None, [], [_]) => 0,
        (None, [], _) => named(&everything).ok_or_else(|| {
            let paths = Vec::from_iter(groups.iter().map(|group| group.path.as_str()));
            Unreadable {
                got: format!("no network, but tensors in the entries {}", list(&paths)),
                remedy: "name the entry with `key`, or another file".into(),
            }
        })?,
        (None, several, _) => named(several).ok_or_else(|| {
            let paths = Vec::from_iter(several.iter().map(|&i| groups[i].path.as_str()));
            Unreadable {
                got: format!("several networks: {}", list(&paths)),
                remedy: "choose one with `key`".into(),
            }
        })?,
    };
    let others = networks.into_iter().filter(|&other| other != index);
    Ok(Choice {
        index,
        found_key: asked.is_some(),
        others: others.map(|other| groups[other].path.clone()).collect(),
    })
}

/// What stands before the names of the network's parameters: that of the only anchor, of the one below
/// `key`, or nothing.
pub(super) fn choose_prefix<'a>(
    names: impl Iterator<Item = &'a str>,
    key: Option<&str>,
) -> Result<String, Unreadable> {
    let mut prefixes: Vec<&str> = names.filter_map(prefix).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let choices = |prefixes: &[&str]| {
        let prefixes = prefixes.iter().map(|prefix| prefix.trim_end_matches('.'));
        list(&Vec::from_iter(
            prefixes.filter(|prefix| !prefix.is_empty()),
        ))
    };
    if let Some(key) = key {
        let below: Vec<&&str> = prefixes
            .iter()
            .filter(|prefix| {
                let rest = prefix.strip_prefix(key);
                rest.is_some_and(|rest| rest.starts_with('.'))
            })
            .collect();
        return match below.as_slice() {
            [only] => Ok((**only).to_owned()),
            _ => Err(Unreadable {
                got: match choices(&prefixes) {
                    found if found.is_empty() => format!("no entry {key}"),
                    found => format!("no entry {key}, but {found}"),
                },
                remedy: "name another `key`, or none".into(),
            }),
        };
    }
    match prefixes.as_slice() {
        [] => Ok(String::new()),
        [only] => Ok((*only).to_owned()),
        ["", ..] => Ok(String::new()),
        several => Err(Unreadable {
            got: format!("several networks: {}", choices(several)),
            remedy: "choose one with `key`".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str, names: &[&'static str]) -> Group<'static> {
        Group {
            path: path.to_owned(),
            names: names.to_vec(),
        }
    }

    #[test]
    fn the_entry_is_the_one_asked_for_the_usual_one_or_the_only_one() {
        let network = |path| group(path, &["module.pos_embedding", "module.cls_token"]);
        let optimiser = group("optimizer.state", &["exp_avg"]);
        let chosen = |groups: &[Group<'_>], key| choose_entry(groups, key).map(|c| c.index);
        let both = [optimiser.clone(), network("model_ema"), network("model")];
        assert_eq!(chosen(&both, None), Ok(2));
        assert_eq!(chosen(&both, Some("model_ema")), Ok(1));
        let choice = choose_entry(&both, None).unwrap();
        assert_eq!(choice.others, ["model_ema"]);
        assert_eq!(chosen(&[optimiser.clone(), network("net")], None), Ok(1));
        let twins = [network("teacher"), network("student"), optimiser];
        let problem = choose_entry(&twins, None).unwrap_err();
        assert_eq!(problem.got, "several networks: teacher, student");
        assert!(problem.remedy.contains("`key`"));
        // A key may be for a prefix instead: that is the next question.
        let choice = choose_entry(&[network("")], Some("ema")).unwrap();
        assert_eq!((choice.index, choice.found_key), (0, false));
    }

    #[test]
    fn a_prefix_is_what_stands_before_the_anchor() {
        let prefix = |names: &[&str], key| {
            choose_prefix(names.iter().copied(), key).map_err(|problem| problem.got)
        };
        for (names, wanted) in [
            (&["pos_embedding", "head.weight"][..], ""),
            (
                &["module._orig_mod.pos_embedding", "loss.weight"],
                "module._orig_mod.",
            ),
            (&["pos_embed", "decoder_pos_embed", "ema.pos_embed"], ""),
            (&["0.pos_embed"], "0."),
            (&["weight"], ""),
        ] {
            assert_eq!(prefix(names, None).unwrap(), wanted);
        }
        let twins = ["teacher.backbone.pos_embed", "student.backbone.pos_embed"];
        assert_eq!(
            prefix(&twins, None).unwrap_err(),
            "several networks: student.backbone, teacher.backbone"
        );
        assert_eq!(
            prefix(&twins, Some("teacher")).unwrap(),
            "teacher.backbone."
        );
        let problem = prefix(&twins, Some("model")).unwrap_err();
        assert!(problem.contains("no entry model, but student"), "{problem}");
    }

    #[test]
    fn long_lists_are_cut() {
        let names = Vec::from_iter((0..11).map(|i| i.to_string()));
        assert_eq!(list(&names), "0, 1, 2, 3, 4, 5, 6, 7 and 3 more");
    }
}
