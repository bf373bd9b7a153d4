//! The held-out scenes of `--data scenes` with their masks: drawn, not read.

use ndarray::Array2;

use super::{Entry, Marks, MaskedPicture, MaskedPictures, Object};
use crate::data::picture::Picture;
use crate::data::{scenes, Split};
use crate::error::Result;

/// The number of a scene.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene(usize);

/// All held-out scenes.
pub fn held_out() -> MaskedPictures {
    let entry = |number: usize| Entry {
        picture: format!("scene {number}").into(),
        masks: super::Masks::Scene(Scene(number)),
    };
    MaskedPictures {
        name: "scenes test".into(),
        class_names: scenes::class_names(),
        normalisation: scenes::normalisation(),
        notes: Vec::new(),
        entries: (0..scenes::standard_count(Split::Test))
            .map(entry)
            .collect(),
    }
}

impl Scene {
    pub(super) fn draw(self) -> Result<MaskedPicture> {
        let scene = scenes::STANDARD.draw(Split::Test, scenes::STANDARD_SEED, self.0)?;
        let (channels, height, width) = scene.pixels.dim();
        let object = Object {
            class: scene.label(),
            mask: scene.mask,
        };
        let ignored = Array2::from_elem((height, width), false);
        Ok(MaskedPicture {
            picture: Picture {
                shape: [channels, height, width],
                planes: scene.pixels.into_iter().collect(),
            },
            marks: Marks::new(vec![object], ignored),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_is_the_picture_that_networks_are_tested_on_with_its_mask() {
        let found = held_out();
        assert_eq!((found.len(), found.class_names.len()), (3200, 16));
        found.check_files().unwrap();
        let chosen = found.clone().limited(5, 1);
        assert_eq!(chosen.len(), 5);
        let images = scenes::standard(Split::Test, Some(20)).unwrap();
        let scene = found.read(19).unwrap();
        assert_eq!(images.picture(19).unwrap(), scene.picture);
        assert_eq!(scene.marks.objects.len(), 1);
        assert_eq!(scene.marks.objects[0].class, images.labels[19]);
        let drawn = scenes::STANDARD
            .draw(Split::Test, scenes::STANDARD_SEED, 19)
            .unwrap();
        assert_eq!(scene.marks.objects[0].mask, drawn.mask);
    }
}
