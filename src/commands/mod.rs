//! One file per sub-command: flags, and the few calls they mean.

pub(crate) mod checkpoint;
pub(crate) mod evaluate;
pub(crate) mod finetune;
pub(crate) mod forward;
pub(crate) mod rate;
pub(crate) mod train;
