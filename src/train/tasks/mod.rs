//! The tasks: each a file, with the examples it draws, the loss it puts on the tape and the score it keeps.
//!
//! | file | what |
//! |---|---|
//! | [`classify`] | pictures with labels |
//! | [`reconstruct`] | pictures of which most is masked |

pub mod classify;
pub mod reconstruct;
