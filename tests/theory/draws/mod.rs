//! What is seen in drawn tokens of the sizes that the claims are about. These are samples: the draws are many or
//! large, their seeds are fixed, and what holds in all of them need not hold in every case.

mod scale_free;
mod steps;
