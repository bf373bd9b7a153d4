//! The tasks.
//!
//! | file | what |
//! |---|---|
//! | [`classify`] | pictures with labels |
//! | [`reconstruct`] | pictures of which most is masked |

pub mod classify;
pub mod reconstruct;
