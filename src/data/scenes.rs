//! Seeded pictures of one textured object on a textured ground, with its exact mask and parts: ground truth for masks
//! that come out of a network trained on the labels alone. A scene is named by split, seed and number, and can be drawn
//! again by itself.
//!
//! What is drawn, on `side x side` pixels of three channels:
//!
//! - **Object.** A [`Shape`] of half width `r`, uniform in `side / 6` to `side / 4`, with its centre uniform over all
//!   places where the whole of it is in the picture: a disc in the middle of the picture is a bad guess.
//! - **Texture.** A [`Texture`] of period four pixels with a phase of its own, between two colours. Each has both
//!   colours in equal parts, so that a texture is no shade.
//! - **Ground.** Square cells of one, two or three pixels, each of one of two colours at random: no texture of an object.
//! - **Parts.** Above its centre an object has the full contrast, below it half of that about the same mean.
//! - **Colours.** A pair is a mean and a difference per channel; object and ground have a pair each, or one together
//!   ([`Colours`]). Classes do not differ in them.
//! - **Noise.** Uniform on whole numbers, per pixel and channel.
//!
//! The label is texture times shape, [`CLASSES`] in all, in turn by number: every [`CLASSES`] scenes have each once.

use ndarray::{Array2, Array3};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};
use crate::seed;

/// Textures times shapes.
pub const CLASSES: usize = Texture::ALL.len() * Shape::ALL.len();

/// The smallest side: an object is then two periods wide.
pub const SMALLEST: usize = 24;

/// Noise at most: pixels stay bytes.
pub const MOST_NOISE: u8 = 20;

/// The scenes of `--data scenes`, of the size of CIFAR's pictures. Object and ground have the same two colours: a pixel
/// alone says nothing but by its contrast, so that what finds the object has looked at its texture.
pub const STANDARD: Scenes = Scenes {
    side: 32,
    colours: Colours::Shared,
    noise: 10,
};

/// The seed that [`standard`] draws [`STANDARD`] scenes from: a data set is the same for trainings of any seed.
pub const STANDARD_SEED: u64 = 0;

/// How many scenes [`standard`] has of a split: a thousand of every class to train on, two hundred held out.
pub fn standard_count(split: Split) -> usize {
    match split {
        Split::Train => 1000 * CLASSES,
        Split::Test => 200 * CLASSES,
    }
}

/// The first `limit` scenes of a split of the data set, or all. Scene `i` is number `i` of the split, and what else is
/// known of it is had by [`Scenes::draw`] of [`STANDARD`] with [`STANDARD_SEED`].
///
/// # Errors
/// [`Error::Shape`] if `limit` is 0.
pub fn standard(split: Split, limit: Option<usize>) -> Result<Images> {
    let all = standard_count(split);
    let count = limit.map_or(all, |limit| limit.min(all));
    STANDARD.images(count, split, STANDARD_SEED)
}

/// The pattern of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texture {
    /// Stripes along rows.
    Rows,
    /// Stripes along columns.
    Columns,
    /// Stripes along a diagonal; mirrored, along the other one, which no class has.
    Diagonals,
    /// Squares as on a chess-board.
    Checks,
}

impl Texture {
    /// In the order of labels.
    pub const ALL: [Self; 4] = [Self::Rows, Self::Columns, Self::Diagonals, Self::Checks];

    /// Whether a pixel has the second of two colours: stripes and squares are two pixels wide.
    fn second(self, y: usize, x: usize) -> bool {
        let odd = |along: usize| along / 2 % 2 == 1;
        match self {
            Self::Rows => odd(y),
            Self::Columns => odd(x),
            Self::Diagonals => odd(y + x),
            Self::Checks => odd(y) != odd(x),
        }
    }
}

/// The outline of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Of radius `r`.
    Disc,
    /// Of half width `0.85 r`.
    Square,
    /// Upright, as wide and as high as `2 r`.
    Triangle,
    /// Upright, of arms `0.8 r` wide.
    Cross,
}

impl Shape {
    /// In the order of labels.
    pub const ALL: [Self; 4] = [Self::Disc, Self::Square, Self::Triangle, Self::Cross];

    /// Whether a point is inside, from the centre down and to the right, in units of the half width.
    fn holds(self, down: f64, right: f64) -> bool {
        let (y, x) = (down.abs(), right.abs());
        match self {
            Self::Disc => down * down + right * right <= 1.0,
            Self::Square => y.max(x) <= 0.85,
            Self::Triangle => y <= 1.0 && x <= (down + 1.0) / 2.0,
            Self::Cross => y.max(x) <= 1.0 && y.min(x) <= 0.4,
        }
    }
}

/// Whose the colours are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Colours {
    /// Object and ground have a pair each: clusters of pixels often find the object.
    Apart,
    /// Both have the same pair: a pixel alone says nothing but by its contrast.
    Shared,
}

/// What scenes are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenes {
    /// Pixels a side, at least [`SMALLEST`].
    pub side: usize,
    /// Whose the colours are.
    pub colours: Colours,
    /// A pixel is moved by up to so much; at most [`MOST_NOISE`].
    pub noise: u8,
}

/// One picture and all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// (3, side, side).
    pub pixels: Array3<u8>,
    /// Where the object is (side, side).
    pub mask: Array2<bool>,
    /// 0 the ground, 1 the object's upper part, 2 its lower one (side, side).
    pub parts: Array2<u8>,
    /// Its pattern.
    pub texture: Texture,
    /// Its outline.
    pub shape: Shape,
    /// Row and column of its centre.
    pub centre: [f64; 2],
    /// Its half width, in pixels.
    pub radius: f64,
    /// Pixels a side of the cells of the ground.
    pub cell: usize,
    /// The colours of the ground and of the object's upper part.
    pub pairs: [Pair; 2],
}

impl Scene {
    /// The class, `texture * 4 + shape`.
    pub fn label(&self) -> usize {
        self.texture as usize * Shape::ALL.len() + self.shape as usize
    }
}

/// Two colours, `mean - difference` and `mean + difference` by channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// By channel, 80 to 175.
    pub mean: [i16; 3],
    /// By channel, even, 30 to 60 in size.
    pub difference: [i16; 3],
}

impl Pair {
    fn draw(rng: &mut impl Rng) -> Self {
        let mean = [(); 3].map(|()| rng.gen_range(80..=175));
        let difference = [(); 3].map(|()| {
            let size = 2 * rng.gen_range(15..=30);
            if rng.gen() {
                size
            } else {
                -size
            }
        });
        Self { mean, difference }
    }

    /// One of the two colours in a channel, without noise.
    fn value(&self, second: bool, channel: usize) -> i16 {
        match second {
            true => self.mean[channel] + self.difference[channel],
            false => self.mean[channel] - self.difference[channel],
        }
    }

    /// Half the difference about the same mean.
    fn faded(&self) -> Self {
        Self {
            difference: self.difference.map(|difference| difference / 2),
            ..*self
        }
    }
}

impl Scenes {
    /// Scene `number` of a split, whatever others are drawn.
    ///
    /// # Shapes
    /// pixels (3, side, side), mask and parts (side, side).
    ///
    /// # Errors
    /// [`Error::Argument`] if the side is too small or the noise too large.
    pub fn draw(&self, split: Split, seed: u64, number: usize) -> Result<Scene> {
        self.check()?;
        let side = self.side;
        let mut rng = seed::stream(seed, &format!("scene {} {number}", word(split)));
        let label = number % CLASSES;
        let texture = Texture::ALL[label / Shape::ALL.len()];
        let shape = Shape::ALL[label % Shape::ALL.len()];
        let radius = side as f64 * rng.gen_range(1.0 / 6.0..0.25);
        let last = (side - 1) as f64;
        let centre = [(); 2].map(|()| rng.gen_range(radius..last - radius));
        let phase = [(); 2].map(|()| rng.gen_range(0..4));
        let cell = rng.gen_range(1..=3);
        let ground = Pair::draw(&mut rng);
        let own = Pair::draw(&mut rng);
        let pairs = match self.colours {
            Colours::Apart => [ground, own],
            Colours::Shared => [ground, ground],
        };
        let across = side.div_ceil(cell);
        let cells = Array2::from_shape_simple_fn((across, across), || rng.gen::<bool>());

        let part = |y: usize, x: usize| {
            let (down, right) = (y as f64 - centre[0], x as f64 - centre[1]);
            match shape.holds(down / radius, right / radius) {
                false => 0u8,
                true if down < 0.0 => 1,
                true => 2,
            }
        };
        let parts = Array2::from_shape_fn((side, side), |(y, x)| part(y, x));
        let painted = [pairs[0], pairs[1], pairs[1].faded()];
        let noise = i16::from(self.noise);
        let pixels = Array3::from_shape_fn((3, side, side), |(channel, y, x)| {
            let part = parts[[y, x]];
            let second = match part {
                0 => cells[[y / cell, x / cell]],
                _ => texture.second(y + phase[0], x + phase[1]),
            };
            let value = painted[usize::from(part)].value(second, channel);
            // 80 - 60 - 20 to 175 + 60 + 20: always a byte.
            (value + rng.gen_range(-noise..=noise)) as u8
        });
        Ok(Scene {
            pixels,
            mask: parts.mapv(|part| part > 0),
            parts,
            texture,
            shape,
            centre,
            radius,
            cell,
            pairs,
        })
    }

    /// The first `count` scenes of a split as pictures with labels; what else is known of scene `i` is had by
    /// [`Self::draw`] of number `i`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the side is too small or the noise too large; [`Error::Shape`] if `count` is 0.
    pub fn images(&self, count: usize, split: Split, seed: u64) -> Result<Images> {
        let mut pixels = Vec::with_capacity(count * 3 * self.side * self.side);
        for number in 0..count {
            pixels.extend(self.draw(split, seed, number)?.pixels);
        }
        let mut images = Images::new(
            format!("scenes {}", word(split)),
            [3, self.side, self.side],
            CLASSES,
            pixels,
            (0..count).map(|number| number % CLASSES).collect(),
            normalisation(),
        )?;
        images.class_names = class_names();
        Ok(images)
    }

    fn check(&self) -> Result<()> {
        if self.side < SMALLEST {
            return Err(Error::argument(
                "side",
                format!("at least {SMALLEST}"),
                self.side.to_string(),
                "draw larger scenes: a texture has to be seen",
            ));
        }
        if self.noise > MOST_NOISE {
            return Err(Error::argument(
                "noise",
                format!("at most {MOST_NOISE}"),
                self.noise.to_string(),
                "add stronger noise to the finished picture",
            ));
        }
        Ok(())
    }
}

/// How scenes become network input.
pub fn normalisation() -> Normalisation {
    Normalisation {
        mean: vec![0.5; 3],
        deviation: vec![0.25; 3],
    }
}

/// By label: "rows disc", "rows square", ...
pub fn class_names() -> Vec<String> {
    let shapes = |texture: Texture| Shape::ALL.map(|shape| (texture, shape));
    let names = Texture::ALL.into_iter().flat_map(shapes);
    names
        .map(|(texture, shape)| format!("{texture:?} {shape:?}").to_lowercase())
        .collect()
}

fn word(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Test => "test",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Scenes = Scenes {
        side: 48,
        colours: Colours::Apart,
        noise: 0,
    };

    #[test]
    fn a_scene_depends_on_split_seed_and_number_alone() {
        let scene = PLAIN.draw(Split::Train, 1, 5).unwrap();
        assert_eq!(scene, PLAIN.draw(Split::Train, 1, 5).unwrap());
        assert_ne!(scene, PLAIN.draw(Split::Train, 2, 5).unwrap());
        assert_ne!(scene, PLAIN.draw(Split::Test, 1, 5).unwrap());
        assert_ne!(scene, PLAIN.draw(Split::Train, 1, 5 + CLASSES).unwrap());
        let (few, more) = (
            PLAIN.images(7, Split::Train, 1).unwrap(),
            PLAIN.images(20, Split::Train, 1).unwrap(),
        );
        for number in 0..7 {
            let scene = PLAIN.draw(Split::Train, 1, number).unwrap();
            for images in [&few, &more] {
                let picture = images.picture(number).unwrap();
                assert!(picture.planes.iter().eq(scene.pixels.iter()));
                assert_eq!(images.labels[number], scene.label());
            }
        }
        assert_eq!(more.class_names[5], "columns square");
        assert_eq!(more.class_names.len(), CLASSES);
    }

    #[test]
    fn colours_and_textures_are_those_of_the_masks() {
        for number in 0..2 * CLASSES {
            let scene = PLAIN.draw(Split::Train, 3, number).unwrap();
            let [ground, upper] = scene.pairs;
            let of_part = [ground, upper, upper.faded()];
            for ((y, x), &part) in scene.parts.indexed_iter() {
                assert_eq!(part > 0, scene.mask[[y, x]]);
                let pair = of_part[usize::from(part)];
                let pixel: [i16; 3] = [0, 1, 2].map(|c| i16::from(scene.pixels[[c, y, x]]));
                let is = |second: bool| pixel == [0, 1, 2].map(|c| pair.value(second, c));
                assert!(is(false) != is(true), "{number} {y} {x}");
                if part == 0 {
                    continue;
                }
                // Half a period on, along the axis in which it changes, each texture has its other colour; a whole
                // period on the same one. Where that is the same part.
                let along = match scene.texture {
                    Texture::Columns => [0, 1],
                    _ => [1, 0],
                };
                for (steps, other) in [(2, true), (4, false)] {
                    let there = [y + steps * along[0], x + steps * along[1]];
                    if scene.parts.get(there) != Some(&part) {
                        continue;
                    }
                    let equal = (0..3)
                        .all(|c| scene.pixels[[c, there[0], there[1]]] == scene.pixels[[c, y, x]]);
                    assert_eq!(equal, !other, "{number} {y} {x}");
                }
            }
        }
    }

    #[test]
    fn an_object_is_whole_with_both_parts_and_of_the_size_of_its_shape() {
        for number in 0..8 * CLASSES {
            let scene = PLAIN.draw(Split::Test, 1, number).unwrap();
            // From rim to rim it is as far as its shape says, but for a pixel.
            let inside = scene.mask.indexed_iter().filter(|(_, &inside)| inside);
            let rows: Vec<usize> = inside.map(|((y, _), _)| y).collect();
            let height = (rows[rows.len() - 1] - rows[0]) as f64;
            let reach = match scene.shape {
                Shape::Square => 1.7 * scene.radius,
                _ => 2.0 * scene.radius,
            };
            // The tip of a triangle is narrower than a pixel for a row or two.
            assert!(height <= reach && height > reach - 4.0, "{number} {height}");
            let count = |part: u8| scene.parts.iter().filter(|&&p| p == part).count() as f64;
            assert!(count(1) > 20.0 && count(2) > 20.0, "{number}");
            // In units of the squared half width; the rim is a pixel wide.
            let expected = match scene.shape {
                Shape::Disc => std::f64::consts::PI,
                Shape::Square => 1.7 * 1.7,
                Shape::Triangle => 2.0,
                Shape::Cross => 2.0 * 2.0 * 0.8 - 0.8 * 0.8,
            };
            let area = (count(1) + count(2)) / (scene.radius * scene.radius);
            assert!((area - expected).abs() < 0.25 * expected, "{number} {area}");
        }
    }

    #[test]
    fn a_disc_in_the_middle_is_a_bad_guess() {
        let scenes: Vec<Scene> = (0..320)
            .map(|number| PLAIN.draw(Split::Train, 1, number).unwrap())
            .collect();
        let middle = 23.5;
        let away = |y: usize, x: usize| {
            let (down, right) = (y as f64 - middle, x as f64 - middle);
            down * down + right * right
        };
        for share in [0.1, 0.2, 0.3, 0.4, 0.6] {
            let reach = share * 48.0 * 48.0 / std::f64::consts::PI;
            let overlap = |scene: &Scene| {
                let (mut both, mut either) = (0, 0);
                for ((y, x), &inside) in scene.mask.indexed_iter() {
                    let disc = away(y, x) <= reach;
                    both += usize::from(disc && inside);
                    either += usize::from(disc || inside);
                }
                both as f64 / either as f64
            };
            let mean = scenes.iter().map(overlap).sum::<f64>() / scenes.len() as f64;
            // .25 at best, in 1,500 draws.
            assert!(mean < 0.3, "{share}: {mean}");
        }
        // Every quarter of the picture holds its share of the centres.
        for half in [[false, false], [false, true], [true, false], [true, true]] {
            let there = |scene: &&Scene| scene.centre.map(|c| c > middle) == half;
            let count = scenes.iter().filter(there).count();
            assert!((50..110).contains(&count), "{half:?} {count}");
        }
    }

    #[test]
    fn a_texture_is_no_shade_and_shared_colours_are_shared() {
        let mean = |scene: &Scene, part: u8, channel: usize| {
            let own = scene.parts.indexed_iter().filter(|(_, &p)| p == part);
            let values: Vec<f64> = own
                .map(|((y, x), _)| f64::from(scene.pixels[[channel, y, x]]))
                .collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let shared = Scenes {
            colours: Colours::Shared,
            noise: 10,
            ..PLAIN
        };
        let mut differences = Vec::new();
        for number in 0..4 * CLASSES {
            let scene = shared.draw(Split::Train, 1, number).unwrap();
            assert_eq!(scene.pairs[0], scene.pairs[1]);
            let ground = mean(&scene, 0, 0);
            differences.push(mean(&scene, 1, 0) - ground);
            differences.push(mean(&scene, 2, 0) - ground);
        }
        let bias = differences.iter().sum::<f64>() / differences.len() as f64;
        // A part is tens of pixels of standard deviation 50 in stripes of two: off by 10 alone, by 1 in the mean.
        assert!(bias.abs() < 4.0, "{bias}");
        assert!(
            differences.iter().all(|d| d.abs() < 40.0),
            "{differences:?}"
        );
    }

    #[test]
    fn the_data_set_is_one_of_whole_classes_whose_masks_can_be_drawn_again() {
        for split in [Split::Train, Split::Test] {
            assert_eq!(standard_count(split) % CLASSES, 0);
        }
        let images = standard(Split::Test, Some(21)).unwrap();
        assert_eq!((images.len(), images.shape), (21, [3, 32, 32]));
        for number in [0, 20] {
            let scene = STANDARD.draw(Split::Test, STANDARD_SEED, number).unwrap();
            assert_eq!(images.labels[number], scene.label());
            let picture = images.picture(number).unwrap();
            assert!(picture.planes.iter().eq(scene.pixels.iter()));
        }
        // A limit beyond the set is the set.
        let all = standard(Split::Test, Some(1_000_000)).unwrap();
        assert_eq!(all.len(), 3200);
    }

    #[test]
    fn a_scene_too_small_or_too_noisy_is_refused() {
        let small = Scenes { side: 23, ..PLAIN };
        let noisy = Scenes { noise: 21, ..PLAIN };
        for scenes in [small, noisy] {
            assert_eq!(scenes.draw(Split::Train, 1, 0).unwrap_err().exit_code(), 2);
        }
        assert!(PLAIN.images(0, Split::Train, 1).is_err());
        let smallest = Scenes {
            side: SMALLEST,
            ..PLAIN
        };
        assert!(smallest.draw(Split::Train, 1, 0).is_ok());
    }
}
