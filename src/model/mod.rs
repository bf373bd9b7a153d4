//! The networks, on dfdx, with every size known at run time. A network is an embedding, one or two stacks of layers and a
//! head; a layer is data, a list of steps. Imports [`crate::exact`], [`crate::fused`], which only [`kernels`] and
//! [`block`] put to work, and [`crate::data`], for whether images fit; neither training nor measuring. Begin with
//! [`classifier`], then [`block`].
//!
//! | file | what |
//! |---|---|
//! | [`architecture`] | what networks are made of, by name |
//! | [`config`] | kind, sizes, constants and presets of a classifier |
//! | [`block`] | MSSA and ISTA, MHSA and MLP, each a file, and layers as lists of them |
//! | [`norm`], [`linear`], [`tensor`] | LayerNorm, linear map, and what they work on |
//! | [`patches`] | pictures cut into patches, and put together again |
//! | [`embedding`] | patches to tokens |
//! | [`stack`] | layers in a row |
//! | [`kernels`] | how a device runs embedding and layers: by kernels of its own where it has some |
//! | [`runtime`] | a device that runs every network: kernels, and scheduling |
//! | `kernel_weights`, `ordered` | parameters as the kernels read them |
//! | `tape` | gradients from dfdx to the kernels and back |
//! | [`classifier`] | the classifier: embedding, layers, head |
//! | [`autoencoder`] | the masked autoencoder: embedding, two stacks, pixels |
//! | `tied` | an output projection that is the bases up to a scale |
//! | [`names`] | the names of a step's parameters in the official code |
//! | `visit` | all parameters of a classifier, in order |
//! | [`network`] | what can be trained: named parameters on a device |
//! | [`runs`] | work on a network in pieces, by threads or by the device |
//! | [`parameters`] | named access to all parameters, for optimisers and files |
//! | [`checkpoint`] | files of named parameters, written and read |
//! | [`description`] | what fixes a network, whichever it is |
//! | `container` | what a file is, by its first bytes |
//! | `layout` | where in a file the network is |
//! | [`hub`] | folders in the layout of the Hugging Face Hub |
//! | `sizes` | the sizes of a network from the names and shapes of its parameters |
//! | `pytorch`, `pickle`, `entry` | the official code's checkpoint files |
//! | [`positions`] | positions for another grid of patches |
//! | [`encoder`] | what turns a picture into tokens, whichever network it is of |
//! | [`transfer`] | a network for another task made from a trained one |
//! | [`operators`], [`sparsifier`], [`doubles`] | bases and dictionary of a layer in f64, as the papers write them |
//! | [`probe`] | one interface to every intermediate of a forward pass |
//!
//! Everything is generic over the dfdx device and over f32/f64. Rows are tokens here, as in the
//! official code; the papers and [`crate::exact`] write tokens as columns.

pub mod architecture;
pub mod autoencoder;
pub mod block;
pub mod checkpoint;
pub mod classifier;
pub mod config;
mod container;
pub mod description;
pub mod doubles;
pub mod embedding;
pub mod encoder;
mod entry;
pub mod hub;
pub mod kernel_weights;
pub mod kernels;
mod layout;
pub mod linear;
pub mod names;
pub mod network;
pub mod norm;
pub mod operators;
mod ordered;
pub mod parameters;
pub mod patches;
mod pickle;
pub mod positions;
pub mod probe;
mod pytorch;
pub mod runs;
pub mod runtime;
mod sizes;
pub mod sparsifier;
pub mod stack;
mod tape;
pub mod tensor;
mod tied;
pub mod transfer;
mod visit;

pub use autoencoder::{Autoencoder, AutoencoderConfig};
pub use classifier::Classifier;
pub use config::{Architecture, Config, Pool};
pub use encoder::Encoder;
pub use kernels::Execution;
pub use network::Network;
pub use runs::Runs;
pub use runtime::Runtime;

use dfdx::prelude::Dtype;
use rand_distr::uniform::SampleUniform;

/// Number types the networks are built on: f32 for work, f64 for checking gradients.
pub trait Real: Dtype + num_traits::Float + SampleUniform {}
impl Real for f32 {}
impl Real for f64 {}
