//! What is drawn of the looks at all pictures, and said of them in tables: bytes of files, not yet written.

use std::path::PathBuf;

use ndarray::{Array2, ArrayView2, Axis};
use serde::Serialize;
use whitebox::data::picture::Picture;
use whitebox::data::sheet::png;
use whitebox::harness::overlay;
use whitebox::measure::segmentation::colours::{self, Colours, Side};
use whitebox::measure::segmentation::concentration::{concentration, held, Held};
use whitebox::measure::segmentation::head_maps::HeadMaps;
use whitebox::measure::segmentation::mask_cut::MaskCut;
use whitebox::model::patches::Patches;
use whitebox::Result;

/// A picture and what the layers show of it.
pub(super) struct Look<'a> {
    /// Its file, or its place in its data set.
    pub(super) name: String,
    /// As the network reads it, before normalisation.
    pub(super) picture: Picture<'a>,
    /// In the order of [`Wanted::layers`].
    pub(super) layers: Vec<HeadMaps>,
}

/// A way to a mask of a map, and its share.
type Threshold = (fn(ArrayView2<'_, f64>, f64) -> Result<Array2<bool>>, f64);

/// What to show.
pub(super) struct Wanted<'a> {
    pub(super) cut: Patches,
    /// From 1, as are the heads.
    pub(super) layers: &'a [usize],
    pub(super) heads: &'a [usize],
    pub(super) threshold: Option<Threshold>,
    pub(super) object: Option<Side>,
    pub(super) mask_cut: Option<MaskCut>,
}

/// A line of `heads.csv`: a head of a layer on a picture.
#[derive(Debug, Serialize)]
pub(super) struct HeadRow {
    /// From 1, as in the names of files.
    picture: usize,
    name: String,
    layer: usize,
    head: usize,
    /// What the class token reads of itself.
    own: f64,
    /// See [`whitebox::measure::segmentation::concentration::Concentration`].
    entropy: f64,
    /// Violet in the figure.
    smallest: f64,
    /// Yellow.
    largest: f64,
    /// Share of the patches in the mask, if there is one.
    mask_area: Option<f64>,
    /// Share of the map in it.
    mask_mass: Option<f64>,
}

/// A line of `masks.csv`: a mask of MaskCut.
#[derive(Debug, Serialize)]
pub(super) struct MaskRow {
    picture: usize,
    name: String,
    layer: usize,
    round: usize,
    /// Share of the patches.
    area: f64,
    /// See [`whitebox::measure::segmentation::mask_cut::SecondVector::gap`].
    gap: f64,
}

/// Everything to write and print.
#[derive(Default)]
pub(super) struct Made {
    /// Names below the folder, and bytes.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    pub(super) heads: Vec<HeadRow>,
    pub(super) masks: Vec<MaskRow>,
    pub(super) lines: Vec<String>,
}

impl Made {
    fn add(&mut self, name: String, rows: &[Vec<Picture<'_>>]) -> Result<()> {
        self.files.push((name.into(), png(rows)?));
        Ok(())
    }
}

impl Wanted<'_> {
    pub(super) fn figures(&self, looks: &[Look<'_>]) -> Result<Made> {
        let mut made = Made::default();
        for (index, &layer) in self.layers.iter().enumerate() {
            let folder = format!("layer-{layer}");
            let mut sheet = Vec::with_capacity(looks.len());
            for (number, look) in (1..).zip(looks) {
                let place = (number, layer, index);
                let heads = self.heads_of(look, place, &mut made)?;
                for (head, picture) in self.heads.iter().zip(&heads) {
                    let name = format!("{folder}/picture-{number}-head-{head}.png");
                    made.add(name, &[vec![picture.clone()]])?;
                }
                sheet.push([vec![overlay::in_colour(&look.picture)], heads].concat());
                if let Some(mask_cut) = &self.mask_cut {
                    let shown = self.masks_of(mask_cut, look, place, &mut made)?;
                    let name = format!("{folder}/picture-{number}-masks.png");
                    made.add(name, &[vec![shown]])?;
                }
            }
            made.add(format!("{folder}/sheet.png"), &sheet)?;
            let keys = looks.iter().map(|look| look.layers[index].keys.view());
            let keys: Vec<_> = keys.collect();
            let grid = self.cut.grid();
            let all = colours::of_all(&keys, grid)?;
            let [red, green, blue] = all.shares.map(|share| 100.0 * share);
            made.lines.push(format!(
                "layer {layer}: the three components hold {red:.1}, {green:.1} and {blue:.1} % of the variance of the keys"
            ));
            self.colour(
                &all,
                &format!("{folder}/picture-"),
                "-components.png",
                &mut made,
            )?;
            if let Some(side) = self.object {
                let object = colours::of_object(&keys, grid, side)?;
                self.colour(
                    &object,
                    &format!("{folder}/picture-"),
                    "-object.png",
                    &mut made,
                )?;
            }
        }
        Ok(made)
    }

    /// The maps of the heads on a picture.
    fn heads_of(
        &self,
        look: &Look<'_>,
        (picture, layer, index): (usize, usize, usize),
        made: &mut Made,
    ) -> Result<Vec<Picture<'static>>> {
        let patch = self.cut.patch_size;
        let one = |&head: &usize| {
            let map = look.layers[index].maps.index_axis(Axis(0), head - 1);
            let shape = concentration(map)?;
            let mut shown = overlay::map(&look.picture, map, patch);
            let mut inside: Option<Held> = None;
            if let Some((cut, share)) = self.threshold {
                let mask = cut(map, share)?;
                shown = overlay::outlined(&shown, mask.view(), patch);
                inside = Some(held(map, mask.view())?);
            }
            made.heads.push(HeadRow {
                picture,
                name: look.name.clone(),
                layer,
                head,
                own: 1.0 - shape.mass,
                entropy: shape.entropy,
                smallest: shape.smallest,
                largest: shape.largest,
                mask_area: inside.map(|held| held.area),
                mask_mass: inside.map(|held| held.mass),
            });
            Ok(shown)
        };
        self.heads.iter().map(one).collect()
    }

    /// The masks of MaskCut on a picture.
    fn masks_of(
        &self,
        mask_cut: &MaskCut,
        look: &Look<'_>,
        (picture, layer, index): (usize, usize, usize),
        made: &mut Made,
    ) -> Result<Picture<'static>> {
        let keys = look.layers[index].keys.view();
        let rounds = mask_cut.masks(keys, self.cut.grid())?;
        for (round, found) in (1..).zip(&rounds) {
            let inside = found.mask.iter().filter(|&&inside| inside).count();
            made.masks.push(MaskRow {
                picture,
                name: look.name.clone(),
                layer,
                round,
                area: inside as f64 / found.mask.len() as f64,
                gap: found.gap,
            });
        }
        let masks: Vec<Array2<bool>> = rounds.into_iter().map(|round| round.mask).collect();
        Ok(overlay::masks(&look.picture, &masks, self.cut.patch_size))
    }

    fn colour(&self, of: &Colours, before: &str, after: &str, made: &mut Made) -> Result<()> {
        for (number, colours) in (1..).zip(&of.pictures) {
            let shown = overlay::patches(colours.view(), self.cut.patch_size);
            made.add(format!("{before}{number}{after}"), &[vec![shown]])?;
        }
        Ok(())
    }
}
