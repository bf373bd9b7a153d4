//! The families of the catalogue.

/// Letters of the id and title, in the order of the catalogue.
pub const FAMILIES: [(&str, &str); 10] = [
    ("THY", "Theory"),
    ("LAY", "Layer by layer"),
    ("CLS", "Classification"),
    ("SEG", "Segmentation"),
    ("MAE", "Masked autoencoding"),
    ("NLP", "Language"),
    ("SSL", "Self-supervision"),
    ("VAR", "Variants"),
    ("CRIT", "Critique"),
    ("SUP", "Supplement"),
];

/// The letters of a catalogue number: "LAY" of "C-LAY-01-caption".
pub fn family(id: &str) -> &str {
    id.split('-').nth(1).unwrap_or("")
}
