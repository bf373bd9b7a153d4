//! The families of the catalogue of claims.

/// A family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Letters of its ids.
    pub letters: &'static str,
    /// The title of its page.
    pub title: &'static str,
    /// The catalogue's numbers go from 1 to this; what has a higher number or a word after it is a further
    /// question of this project.
    pub catalogued: usize,
}

const fn family_of(letters: &'static str, title: &'static str, catalogued: usize) -> Family {
    Family {
        letters,
        title,
        catalogued,
    }
}

/// All, in the catalogue's order.
pub const FAMILIES: [Family; 10] = [
    family_of("THY", "Theory", 39),
    family_of("LAY", "Layer by layer", 10),
    family_of("CLS", "Classification", 9),
    family_of("SEG", "Segmentation", 8),
    family_of("MAE", "Masked autoencoding", 8),
    family_of("NLP", "Language", 5),
    family_of("SSL", "Self-supervision", 3),
    family_of("VAR", "Variants", 11),
    family_of("CRIT", "Critique", 15),
    family_of("SUP", "Supplement", 8),
];

/// The letters of a catalogue number: "LAY" of "C-LAY-01-caption".
pub fn letters(id: &str) -> &str {
    id.split('-').nth(1).unwrap_or("")
}

/// The family of a claim, if it is one of these.
pub fn family(id: &str) -> Option<Family> {
    FAMILIES.into_iter().find(|f| f.letters == letters(id))
}

/// Whether the catalogue has the claim: a number of its family, with no word after it.
pub fn is_catalogued(id: &str) -> bool {
    let mut parts = id.split('-').skip(2);
    let number = parts.next().and_then(|n| n.parse::<usize>().ok());
    let within = family(id)
        .zip(number)
        .is_some_and(|(f, n)| (1..=f.catalogued).contains(&n));
    within && parts.next().is_none()
}

/// Number of claims in the catalogue.
pub fn catalogued() -> usize {
    FAMILIES.iter().map(|f| f.catalogued).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_ends_where_its_numbers_do() {
        assert_eq!(catalogued(), 116);
        assert!(is_catalogued("C-LAY-01") && is_catalogued("C-THY-39"));
        for further in [
            "C-LAY-01-caption",
            "C-LAY-11",
            "C-NEW-01",
            "C-THY-43",
            "C-LAY-00",
        ] {
            assert!(!is_catalogued(further), "{further}");
        }
    }
}
