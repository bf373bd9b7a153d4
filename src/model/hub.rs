//! Folders in the layout of the Hugging Face Hub: `model.safetensors`, or its parts with an index, beside
//! a `config.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::description::Description;
use super::entry::one_line;
use super::Config;
use crate::artefact;
use crate::error::{Error, Result};

/// Files that hold the parameters, the first that is there.
const FILES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];
const CONFIG: &str = "config.json";

/// Who wrote a `config.json`.
const MODEL_TYPE: &str = "whitebox";

/// What is known of a checkpoint from the files beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Beside {
    /// The whole configuration, if this program wrote it.
    pub(super) description: Option<Description>,
    /// The number of heads.
    pub(super) heads: Option<usize>,
}

/// A classifier's settings stand by themselves, those of other networks under their name.
#[derive(Serialize)]
#[serde(untagged)]
enum Settings<'a> {
    Classifier(&'a Config),
    Other(&'a Description),
}

#[derive(Serialize)]
struct Written<'a> {
    model_type: &'a str,
    #[serde(flatten)]
    settings: Settings<'a>,
}

/// The checkpoint of a folder, and what its `config.json` says.
pub(super) fn find(folder: &Path) -> Result<(PathBuf, Beside)> {
    let files = FILES.iter().map(|name| folder.join(name));
    let Some(file) = files.into_iter().find(|file| file.is_file()) else {
        let entries = std::fs::read_dir(folder)
            .map_err(|e| Error::io("read", folder, e, "name a checkpoint with `checkpoint`"))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        return Err(Error::file(
            folder,
            format!("one of {} in the folder", FILES.join(", ")),
            match names.is_empty() {
                true => "nothing".to_owned(),
                false => one_line(&super::layout::list(&names)),
            },
            "name the checkpoint itself",
        ));
    };
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Ok((file, Beside::default()));
    }
    let text = std::fs::read(&path).map_err(|e| Error::io("read", &path, e, "copy it again"))?;
    Ok((file, read_config(&path, &text)?))
}

/// What a `config.json` says; other programs' settings are left alone.
fn read_config(path: &Path, text: &[u8]) -> Result<Beside> {
    let damaged = |e: serde_json::Error| {
        Error::file(
            path,
            "the settings of a network as JSON",
            one_line(&e.to_string()),
            "copy it again",
        )
    };
    let value: serde_json::Value = serde_json::from_slice(text).map_err(damaged)?;
    let heads = ["heads", "num_heads", "num_attention_heads"];
    let heads = heads.iter().find_map(|key| value[key].as_u64());
    let description = match (value["model_type"] == MODEL_TYPE, &value["autoencoder"]) {
        (false, _) => None,
        (true, serde_json::Value::Null) => {
            let config = serde_json::from_value(value).map_err(damaged)?;
            Some(Description::Classifier(config))
        }
        (true, config) => {
            let config = serde_json::from_value(config.clone()).map_err(damaged)?;
            Some(Description::Autoencoder(config))
        }
    };
    if let Some(Err(e)) = description.as_ref().map(Description::check) {
        let wanted = "the settings of a network as JSON";
        return Err(Error::file(
            path,
            wanted,
            one_line(&format!("impossible ones ({e})")),
            "copy it again",
        ));
    }
    Ok(Beside {
        description,
        heads: heads.and_then(|heads| usize::try_from(heads).ok()),
    })
}

/// Where the checkpoint goes that is written to `out`, and the configuration beside it if `out` is a folder.
///
/// # Errors
/// [`Error::File`] if the folder has the configuration of another program.
pub fn place(out: &Path) -> Result<(PathBuf, Option<PathBuf>)> {
    let ends = out.as_os_str().as_encoded_bytes().ends_with(b"/");
    if !ends && !out.is_dir() {
        return Ok((out.to_owned(), None));
    }
    let config = out.join(CONFIG);
    if let Ok(text) = std::fs::read(&config) {
        if !read_config(&config, &text).is_ok_and(|beside| beside.description.is_some()) {
            return Err(Error::file(
                &config,
                "a folder for this network alone",
                "the configuration of another program",
                "name another folder or file with `out`",
            ));
        }
    }
    Ok((out.join(FILES[0]), Some(config)))
}

/// Writes a `config.json`, atomically.
///
/// # Errors
/// [`Error::Io`].
pub fn write_config(path: &Path, description: &Description) -> Result<()> {
    let written = Written {
        model_type: MODEL_TYPE,
        settings: match description {
            Description::Classifier(config) => Settings::Classifier(config),
            other => Settings::Other(other),
        },
    };
    let text = serde_json::to_string_pretty(&written).map_err(|e| {
        Error::file(
            path,
            "settings that JSON can hold",
            e.to_string(),
            "please report this",
        )
    })?;
    artefact::write(path, format!("{text}\n").as_bytes())
}

/// Which tensor is in which of several files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Index {
    /// File names by tensor.
    pub(super) files: BTreeMap<String, String>,
}

impl Index {
    /// Reads `bytes`, what the file `path` holds.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            weight_map: BTreeMap<String, String>,
        }
        let damaged = |got: String| {
            let wanted = "an index with a weight_map from tensors to files beside it";
            Error::file(path, wanted, one_line(&got), "copy it again")
        };
        let file: File = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        for name in file.weight_map.values() {
            let mut parts = Path::new(name).components();
            let plain = matches!(parts.next(), Some(Component::Normal(_)));
            if !plain || parts.next().is_some() || name.contains(char::is_control) {
                return Err(damaged(format!("a file name {name:?}")));
            }
        }
        match file.weight_map.is_empty() {
            true => Err(damaged("no tensors".into())),
            false => Ok(Self {
                files: file.weight_map,
            }),
        }
    }

    /// The names of its files, in order.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.files.values().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_as_it_was_written_and_others_for_their_heads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG);
        let config = Config::preset("vit-tiny").unwrap();
        let config = Description::Classifier(config);
        write_config(&path, &config).unwrap();
        std::fs::write(folder.path().join(FILES[0]), b"").unwrap();
        let (file, beside) = find(folder.path()).unwrap();
        assert_eq!(file, folder.path().join("model.safetensors"));
        assert_eq!((beside.description, beside.heads), (Some(config), Some(3)));
        std::fs::write(
            &path,
            br#"{"model_type": "vit", "num_attention_heads": 12}"#,
        )
        .unwrap();
        let (_, beside) = find(folder.path()).unwrap();
        assert_eq!((beside.description, beside.heads), (None, Some(12)));
        // It is somebody else's, and stays.
        let message = place(folder.path()).unwrap_err().to_string();
        assert!(message.contains("config.json"), "{message}");
        std::fs::write(&path, b"{").unwrap();
        assert!(find(folder.path())
            .unwrap_err()
            .to_string()
            .contains("config.json"));
    }

    #[test]
    fn only_a_folder_is_given_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("net.safetensors");
        assert_eq!(place(&file).unwrap(), (file, None));
        let (file, config) = place(folder.path()).unwrap();
        assert_eq!(file, folder.path().join("model.safetensors"));
        assert_eq!(config, Some(folder.path().join("config.json")));
        let (file, _) = place(&folder.path().join("new/")).unwrap();
        assert_eq!(file, folder.path().join("new/model.safetensors"));
        let message = find(folder.path()).unwrap_err().to_string();
        assert!(message.contains("model.safetensors"), "{message}");
    }

    #[test]
    fn an_index_names_files_beside_it_only() {
        let read = |text: &str| Index::read(Path::new("index.json"), text.as_bytes());
        let index = read(r#"{"metadata": {}, "weight_map": {"a": "1", "b": "2", "c": "1"}}"#);
        assert_eq!(Vec::from_iter(index.unwrap().names()), ["1", "2"]);
        for name in ["../1", "/etc/passwd", "", "a/b", "\u{7f}"] {
            let message = read(&format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#)).unwrap_err();
            assert!(message.to_string().contains(&format!("{name:?}")));
        }
        assert!(read(r#"{"weight_map": {}}"#).is_err());
    }
}
