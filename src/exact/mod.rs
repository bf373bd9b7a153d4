//! The papers' quantities in f64 on ndarray, as the papers write them: columns are tokens, `Z` is (d, N), a basis `U_k`
//! is (d, p). Natural logarithms: rates are in nats. What is here defines what the networks and kernels have to give:
//! it is short and slow, but for [`log_determinant`], which is held against 1,200 digits. Imports [`crate::error`],
//! [`crate::vectorised`], LAPACK and BLAS; no dfdx, no model. Begin with [`mod@coding_rate`]; every formula has an
//! example that can be checked by hand.
//!
//! Sources are cited as `NeurIPS 2023 (12)`, an equation of arXiv 2306.01129, and `book (4.2.13)`, one of *Learning
//! Deep Representations of Data Distributions*; `book/src/equations.md` leads from each to its function, kernel and
//! test, and `book/src/bibliography.md` says which edition is meant. Claims (C-THY-05) are in [`crate::claim`].
//!
//! | file | what |
//! |---|---|
//! | [`mod@coding_rate`] | `R`, `R^c`, `Delta R` and their gradients, in the papers' convention |
//! | [`mod@official_rate`] | `R^c` in the convention of the official measurement code |
//! | [`scale_free`] | `R^c` of tokens brought to one length, and its gradient |
//! | [`log_determinant`] | `1/2 logdet(I + B^T B)` to 1e-12 without squaring a bad condition number |
//! | [`mod@gram`] | `B^T B` and sums over an inverse, the inner loops of that |
//! | [`householder`] | the QR factorisation that this needs in the hard cases |
//! | [`double_double`] | numbers of 32 digits, for the hardest of them |
//! | [`mod@frame`] | orthonormal bases of the subspaces that bases span |
//! | [`linear`] | inner product, length and angle of matrices |
//! | [`spectrum`] | eigenvalues and eigenvectors, and how many directions a matrix fills |
//! | [`neumann`] | the Neumann series of the gradient of `R^c`, and where it converges |
//! | [`mssa`] | subspace self-attention in the papers' form, and the steps built on it |
//! | [`polar`] | the orthogonal matrix nearest to a matrix |
//! | [`ista`] | sparse codes: objective, proximal map, one step, two from zero, the solution |
//! | [`mixture`] | the Bayes denoiser of a mixture of low-rank Gaussians |
//! | [`mcr2`] | the label-based rate of maximal coding rate reduction |
//! | [`ascent`] | projected gradient ascent, for the searches of its maxima |
//! | [`low_rank`] | singular values and the nearest matrix of a lower rank |
//! | [`tssa`] | token statistics attention and its variational rate |
//! | [`attention_only`] | the attention-only layer with a thresholded softmax |
//! | [`layer`] | one CRATE layer with the parameters of the official code |

pub mod ascent;
pub mod attention_only;
pub mod coding_rate;
pub mod double_double;
pub mod frame;
pub mod gram;
pub mod householder;
pub mod ista;
pub mod layer;
pub mod linear;
pub mod log_determinant;
pub mod low_rank;
pub mod mcr2;
pub mod mixture;
pub mod mssa;
pub mod neumann;
pub mod official_rate;
pub mod polar;
pub mod scale_free;
pub mod spectrum;
pub mod tssa;

pub use coding_rate::{
    coding_rate, coding_rate_gradient, rate_reduction, rate_reduction_gradient, subspace_rate,
    subspace_rate_gradient, subspace_rates, RateReduction, SubspaceRate,
};
pub use official_rate::{official_rate, OfficialRate};

use std::sync::Once;

/// Keeps OpenBLAS on the calling thread: the many small factorisations are spread over threads by
/// rayon, and a second layer of threads would only get in its way.
pub(crate) fn single_threaded_blas() {
    extern "C" {
        fn openblas_set_num_threads(threads: std::ffi::c_int);
    }
    static ONCE: Once = Once::new();
    // SAFETY: OpenBLAS exports this function with this signature (cblas.h), and is linked: the
    // dependency ndarray-linalg is built with its feature openblas-system. It has no precondition.
    ONCE.call_once(|| unsafe { openblas_set_num_threads(1) });
}
