//! The tasks.
//!
//! | file | what |
//! |---|---|
//! | [`classify`] | pictures with labels |

pub mod classify;
