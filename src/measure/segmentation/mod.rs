//! Masks that nobody asked a network for, against the objects' own (CPAL 2024; claims C-SEG-01 to
//! C-SEG-08, C-MAE-05, C-CRIT-14): of attention maps, of a cut of the graph of patches, of principal components of
//! tokens. Numbers in, numbers out, but for [`head_maps`], which looks at a network. A patch grid is (rows, columns),
//! row-major; masks are arrays of `bool`, of patches or of pixels.
//!
//! Two conventions go by the same name in more than one place here. Both are there under their own name, and a number
//! of one is never held against a number of the other: [`threshold::mass`] and [`threshold::area`],
//! [`overlap::best_head_per_object`] and [`overlap::best_head_per_class`], [`mask_cut::Foreground`],
//! [`components::Reading`]. What knows the answer when it chooses a head or a sign is called an oracle; what does not
//! chooses on one half of the images and is measured on the other ([`other_half`]).
//!
//! | file | what |
//! |---|---|
//! | [`threshold`] | masks from maps of the class token, by their mass and by their area |
//! | [`overlap`] | intersection over union, and the head whose masks are taken |
//! | [`mask_cut`] | objects as normalised cuts of the graph of patches |
//! | [`layer_scores`] | all this of a layer, over several pictures |
//! | [`parts`] | whether heads stand for parts of objects |
//! | [`average_precision`] | average precision of masks or boxes as COCO defines it |
//! | [`components`] | principal components of tokens, and how well the first one ranks the foreground |
//! | [`colours`] | principal components of tokens as colours of pictures |
//! | [`concentration`] | where a map of the class token has its mass |
//! | [`floors`] | masks and maps that know nothing of a picture |
//! | [`head_maps`] | maps, keys and tokens that layers of a network show of one picture |
//! | [`benchmark`] | the papers' mean IoU and AP on pictures with any number of objects |
//! | [`other_half`] | two halves of the images, for choices that see no answer |

pub mod average_precision;
pub mod benchmark;
pub mod colours;
pub mod components;
pub mod concentration;
pub mod floors;
pub mod head_maps;
pub mod layer_scores;
pub mod mask_cut;
pub mod other_half;
pub mod overlap;
pub mod parts;
pub mod threshold;
