//! The `whitebox` command, one file per sub-command: flags, and the few calls of the library they mean. It may import
//! everything public; nothing imports it. Begin with `rate`, which reads a file and prints numbers.

pub(crate) mod attend;
pub(crate) mod checkpoint;
pub(crate) mod evaluate;
pub(crate) mod finetune;
pub(crate) mod forward;
pub(crate) mod pictures;
pub(crate) mod probe;
pub(crate) mod rate;
pub(crate) mod reconstruct;
pub(crate) mod segment;
pub(crate) mod size;
pub(crate) mod train;
