//! Whether every link, image and script of a site leads to a file of it, and to a place on the page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use whitebox::{Error, Result};

/// What a page points at and what can be pointed at on it.
#[derive(Debug, Default)]
struct Page {
    targets: Vec<(&'static str, String)>,
    places: BTreeSet<String>,
}

/// A line about every reference of the pages below `site` that leads nowhere, or makes a browser fetch
/// something from elsewhere.
///
/// # Errors
/// [`Error::Io`] if a page cannot be read.
pub fn broken(site: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    read(site, &mut pages)?;
    let mut found = Vec::new();
    for (path, page) in &pages {
        let shown = path.strip_prefix(site).unwrap_or(path).display();
        for (attribute, target) in &page.targets {
            if target.starts_with("data:") || target.starts_with("mailto:") {
                continue;
            }
            if target.contains("://") || target.starts_with("//") {
                // A reader may follow a link out; a page may not load from there.
                if *attribute == "src" {
                    found.push(format!("{shown} loads {target}"));
                }
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let file = file.split('?').next().unwrap_or("");
            let goal = if file.is_empty() {
                path.clone()
            } else {
                normalise(&path.parent().unwrap_or(site).join(file))
            };
            let goal = if goal.is_dir() {
                goal.join("index.html")
            } else {
                goal
            };
            if !goal.is_file() {
                found.push(format!("{shown} points at {target}, which is not there"));
            } else if let Some(other) = pages.get(&goal) {
                if !place.is_empty() && !other.places.contains(place) {
                    found.push(format!(
                        "{shown} points at {target}, a page without that place"
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// `a/b/../c` as `a/c`.
fn normalise(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn read(folder: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Result<()> {
    let unreadable = |e| Error::io("read", folder, e, "build the book again");
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            read(&path, pages)?;
        } else if path.extension().is_some_and(|e| e == "html") {
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            pages.insert(path, scan(&text));
        }
    }
    Ok(())
}

/// The attributes of a page's tags.
fn scan(text: &str) -> Page {
    let mut page = Page::default();
    for tag in text.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or("");
        for (attribute, name) in [(" href=\"", "href"), (" src=\"", "src"), (" id=\"", "id")] {
            for value in tag.split(attribute).skip(1) {
                let value = value.split('"').next().unwrap_or("").replace("&amp;", "&");
                match name {
                    "id" => {
                        page.places.insert(value);
                    }
                    name => page.targets.push((name, value)),
                }
            }
        }
    }
    page
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_link_and_a_foreign_image_are_found() {
        let site = std::env::temp_dir().join(format!("whitebox-links-{}", std::process::id()));
        std::fs::create_dir_all(site.join("a")).unwrap();
        let front = "<a href=\"a/b.html#x\">1</a> <a href=\"a/b.html#y\">2</a> \
                     <a href=\"c.html\">3</a> <img src=\"https://example.org/i.png\"> \
                     <a href=\"https://example.org\">4</a>";
        std::fs::write(site.join("index.html"), front).unwrap();
        std::fs::write(
            site.join("a/b.html"),
            "<p id=\"x\"></p><a href=\"../index.html\">",
        )
        .unwrap();
        let found = broken(&site).unwrap();
        std::fs::remove_dir_all(&site).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("#y"));
        assert!(found[1].contains("c.html"));
        assert!(found[2].contains("loads https"));
    }
}
