//! What a file is, by its first bytes: one of the containers of checkpoints, or something that people take
//! for one.

use super::entry::Unreadable;
use super::pytorch;

/// Containers of checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Safetensors,
    /// What `torch.save` writes, of either format.
    Pytorch,
    /// `model.safetensors.index.json`: which tensor is in which of several files.
    Index,
}

/// Longest header that safetensors allows.
const SAFETENSORS_HEADER: u64 = 100_000_000;

/// How far a page is looked into.
const PAGE: usize = 1024;

/// First bytes of archives and of other programs' files, with what to do about them.
const OTHERS: [(&[u8], &str, &str); 10] = [
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a rar archive", UNPACK),
    (b"\x93NUMPY", "an .npy array of numpy", TENSORS),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", TENSORS),
    (b"GGUF", "a GGUF file", TENSORS),
    (b"%PDF", "a PDF document", "name a checkpoint"),
];
const UNPACK: &str = "unpack it, and name the checkpoint inside";
const TENSORS: &str = "save the parameters by name, with torch.save or safetensors";

/// The container that a file is.
pub(super) fn container(bytes: &[u8]) -> Result<Container, Unreadable> {
    let unreadable = |got: String, remedy: &str| {
        Err(Unreadable {
            got,
            remedy: remedy.to_owned(),
        })
    };
    // First, since the length that such a file begins with may have the bytes that others begin with.
    if is_safetensors(bytes) {
        return Ok(Container::Safetensors);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Ok(Container::Pytorch);
    }
    if pytorch::is_pickle(bytes) {
        return Ok(Container::Pytorch);
    }
    if bytes.is_empty() {
        return unreadable("an empty file".into(), "copy it again");
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return unreadable(
            "a Git LFS pointer, which stands for the file itself".into(),
            "run git lfs pull where it was cloned, or download the file",
        );
    }
    if let Some((_, name, remedy)) = OTHERS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return unreadable((*name).to_owned(), remedy);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return match tar_members(bytes) {
            members if members.contains(&"storages".to_owned()) => unreadable(
                "a file of PyTorch before 0.1.10".into(),
                "load it in Python with torch.load, and save it again with torch.save",
            ),
            members => unreadable(
                format!("a tar archive that holds {}", super::layout::list(&members)),
                UNPACK,
            ),
        };
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(PAGE)]).to_ascii_lowercase();
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.starts_with('<') {
        let page = match text.contains("<html") || text.contains("<!doctype html") {
            true => "an HTML page",
            false => "an XML document",
        };
        return unreadable(
            page.to_owned(),
            "download the checkpoint itself: this is the page of a web site that offers or refuses it",
        );
    }
    if text.starts_with('{') {
        return match text.contains("\"weight_map\"") || text.contains("\"metadata\"") {
            true => Ok(Container::Index),
            false => unreadable(
                "a JSON document".into(),
                "name the checkpoint beside it, or their folder",
            ),
        };
    }
    // What servers answer instead of a file: "Entry not found", "Access denied".
    let words = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    if let (Ok(words), true) = (std::str::from_utf8(words), words.len() <= PAGE) {
        if words.len() >= 8 && !words.contains(char::is_control) {
            let shown: String = words.chars().take(60).collect();
            return unreadable(
                format!("a text that begins with {shown:?}"),
                "download the checkpoint itself",
            );
        }
    }
    let shown: String = bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    unreadable(
        format!("{} bytes that begin with {shown}", bytes.len()),
        "copy it again, or name a safetensors file or one of torch.save",
    )
}

/// Whether a file begins with the length of a header that fits it, and with the header's brace.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    rest.first() == Some(&b'{') && length <= SAFETENSORS_HEADER
}

/// Names of the members of a tar archive, up to a few.
fn tar_members(bytes: &[u8]) -> Vec<String> {
    const BLOCK: usize = 512;
    let mut members = Vec::new();
    let mut at = 0usize;
    while let Some(header) = bytes.get(at..).and_then(|rest| rest.get(..BLOCK)) {
        let text = |range: std::ops::Range<usize>| {
            let field = header[range].split(|&b| b == 0).next().unwrap_or_default();
            String::from_utf8_lossy(field).trim().to_owned()
        };
        let name = text(0..100);
        let size = usize::from_str_radix(&text(124..136), 8);
        let (Ok(size), false) = (size, name.is_empty() || members.len() > 100) else {
            break;
        };
        // Long names and other attributes are members of their own.
        if !b"xgLK".contains(&header[156]) {
            members.push(name.trim_start_matches("./").to_owned());
        }
        at = at.saturating_add(size.div_ceil(BLOCK).saturating_add(1).saturating_mul(BLOCK));
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_not_guessed_from_too_few_bytes() {
        let safetensors = |length: u64| [&length.to_le_bytes()[..], b"{}      "].concat();
        // Lengths whose bytes are those that zip archives and pickles begin with.
        for length in [0x4b50, 0x0480, 0x0403_4b50, 0x0280] {
            assert_eq!(container(&safetensors(length)), Ok(Container::Safetensors));
        }
        assert_eq!(container(b"PK\x03\x04\x14\x00"), Ok(Container::Pytorch));
        assert_eq!(container(b"\x80\x02\x8a\x0a"), Ok(Container::Pytorch));
        for bytes in [&b"PK"[..], b"PKZZ\x01 so on", b"\x80", b"\x80\x77abc"] {
            let problem = container(bytes).unwrap_err();
            assert!(problem.got.contains("bytes that begin with"), "{problem:?}");
        }
    }

    #[test]
    fn what_people_take_for_a_checkpoint_is_named() {
        let mut old = vec![0; 1536];
        let mut tar = vec![0; 1536];
        for (archive, name) in [(&mut old, "storages"), (&mut tar, "a.pth")] {
            archive[..name.len()].copy_from_slice(name.as_bytes());
            archive[124..136].copy_from_slice(b"00000000001\0");
            archive[257..262].copy_from_slice(b"ustar");
        }
        let cases: [(&[u8], &str); 13] = [
            (b"", "empty"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid",
                "Git LFS",
            ),
            (b"<!DOCTYPE html><html>", "HTML page"),
            (b"\xef\xbb\xbf\n <HTML lang=en>", "HTML page"),
            (b"<?xml version='1.0'?><Error>", "XML"),
            (b"{\"error\": \"not found\"}", "JSON"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\x93NUMPY\x01", ".npy"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (&old, "before 0.1.10"),
            (&tar, "holds a.pth"),
            (b"Access denied", "text that begins with \"Access denied\""),
            (b"\x04\0\0\0hello", "0400000068656c6c"),
        ];
        for (bytes, word) in cases {
            let problem = container(bytes).unwrap_err();
            assert!(problem.got.contains(word), "{word}: {problem:?}");
        }
    }
}
