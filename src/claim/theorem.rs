//! The claims that tests settle, rather than an experiment by a number: what is stated holds or the suite
//! fails. What the tests rest on is said of each: every case drawn, or a sample of fixed draws.

use serde::Serialize;

use super::{Outcome, Whose};

/// What the tests show of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It holds as published.
    Holds,
    /// It holds within the limits given, and a test exhibits what happens beyond.
    HoldsWithin,
    /// As printed it is wrong; the corrected statement holds.
    Corrected,
    /// It does not hold.
    Fails,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::HoldsWithin => "holds within limits",
            Self::Corrected => "corrected",
            Self::Fails => "fails",
        })
    }
}

/// What tests rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// Two expressions of one number, compared in every case that is drawn.
    Identity,
    /// A statement that is checked in every case that is drawn.
    Property,
    /// A sample: so many draws of fixed seeds, and nothing is said of others.
    Draws(usize),
}

impl std::fmt::Display for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity => f.write_str("identity, every case drawn"),
            Self::Property => f.write_str("property, every case drawn"),
            Self::Draws(1) => f.write_str("sample, one fixed draw"),
            Self::Draws(count) => write!(f, "sample, {count} fixed draws"),
        }
    }
}

/// A statement settled by tests.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Theorem {
    /// Catalogue number.
    pub id: &'static str,
    /// Where it is made.
    pub source: &'static str,
    /// By whom.
    pub whose: Whose,
    /// What it says.
    pub statement: &'static str,
    /// What the tests show.
    pub finding: Finding,
    /// What they rest on.
    pub ground: Ground,
    /// Limits, counter-example or correction, with the numbers.
    pub detail: &'static str,
    /// Tests are those whose names begin so.
    pub tests: &'static str,
}

impl Finding {
    /// The outcome that an experiment would call it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Holds => Outcome::Supported,
            Self::HoldsWithin | Self::Corrected => Outcome::Mixed,
            Self::Fails => Outcome::Contradicted,
        }
    }
}

impl Theorem {
    /// A row of the book's table.
    pub fn row(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|");
        format!(
            "| {} | {} | {} | {} | {} |",
            self.id,
            cell(self.statement),
            self.finding,
            self.ground,
            cell(self.detail)
        )
    }
}

use Finding::{Corrected, Fails, Holds, HoldsWithin};
use Ground::{Draws, Identity, Property};

const fn theorem(
    id: &'static str,
    tests: &'static str,
    source: &'static str,
    statement: &'static str,
    finding: Finding,
    ground: Ground,
    detail: &'static str,
) -> Theorem {
    Theorem {
        id,
        source,
        whose: Whose::Authors,
        statement,
        finding,
        ground,
        detail,
        tests,
    }
}

/// One that somebody else states.
const fn by(whose: Whose, theorem: Theorem) -> Theorem {
    Theorem { whose, ..theorem }
}

use Whose::{Critics, Project};

/// All of them, in the catalogue's order.
#[rustfmt::skip]
pub const THEOREMS: &[Theorem] = &[
    theorem("C-THY-01", "c_thy_01", "book, chapter 4, eq. coding_rate",
        "logdet(I_d + a Z Z^T) = logdet(I_N + a Z^T Z)", Holds, Identity, "all shapes, ranks and scales"),
    theorem("C-THY-02", "c_thy_02", "book, chapter 4, eq. expand-directions",
        "grad R = a (I + a Z Z^T)^{-1} Z = a Z (I + a Z^T Z)^{-1}", Holds, Identity, ""),
    theorem("C-THY-03", "c_thy_03", "book, chapter 4, eq. rate-gradient",
        "grad R^c = c sum_k U_k U_k^T Z (I + c W_k^T W_k)^{-1}", Holds, Identity, "any bases, orthonormal or not"),
    theorem("C-THY-04", "c_thy_04", "book, chapter 4, exercise 1",
        "the gradient of logdet(I + alpha Z Z^T) is alpha X^{-1} Z", Corrected, Identity,
        "2 alpha X^{-1} Z; the printed gradient and Hessian are too small by exactly 2"),
    theorem("C-THY-05", "c_thy_05", "book, chapter 4, eq. gd_rc_neumann",
        "(I + A)^{-1} is about I - A", HoldsWithin, Property,
        "error rho^2 / (1 + rho) exactly; the series converges for rho < 1; beyond, the leading direction has the wrong sign and higher orders are worse"),
    by(Project, theorem("C-THY-06", "c_thy_06", "derived by this project",
        "tokens of length 1 lie outside that radius", Holds, Property,
        "N >= p: the mean of c sigma^2 over directions is 1 / eps^2 exactly, 100 at the official 0.1")),
    theorem("C-THY-07", "c_thy_07", "book, chapter 4, eq. Z l+1/2",
        "an exact gradient step does not raise R^c", HoldsWithin, Property,
        "steps up to 2 / c for orthogonal bases; in general c has to be multiplied by ||sum_k U_k U_k^T||_2; 4 / c can raise it"),
    theorem("C-THY-08", "c_thy_08", "book, chapter 4, eq. gd_rc_neumann",
        "the step with the first-order gradient compresses", HoldsWithin, Property,
        "sigma becomes sigma (1 - kappa c (1 - c sigma^2)): directions with c sigma^2 > 1 grow"),
    by(Critics, theorem("C-THY-09", "c_thy_09", "arXiv 2411.17182",
        "without its first-order term the linear step always raises R^c", Holds, Property,
        "any step and any tokens; with the sign turned it lowers R^c while kappa c^2 sigma^2 < 2")),
    theorem("C-THY-12", "c_thy_12", "book, chapter 3, eq. gmm_lowrank_denoiser",
        "the posterior of a mixture of low-rank Gaussians is a softmax of projection energies", Holds, Identity, ""),
    theorem("C-THY-13", "c_thy_13", "book, chapter 3",
        "for small noise the denoiser projects on the nearest subspace", HoldsWithin, Property,
        "error t^2 ||x|| while the energies of the two nearest subspaces differ by more than 200 t^2"),
    theorem("C-THY-14", "c_thy_14", "ICLR 2024, arXiv 2404.02446",
        "one exact step with kappa = 1 / c is Wiener's filter for noise of variance eps^2 / p", Holds, Identity,
        "a filter of second moments; what it does to a mixture is exp_denoise's"),
    theorem("C-THY-15", "c_thy_15", "ICLR 2024, arXiv 2404.02446",
        "the decoder's step reverses the encoder's", HoldsWithin, Property, "to second order in the step"),
    theorem("C-THY-16", "c_thy_16", "book, chapter 4, eq. ista-block",
        "the shifted ReLU is the proximal map of the non-negative l1 norm", Holds, Property, ""),
    theorem("C-THY-17", "c_thy_17", "book, chapter 4",
        "an ISTA step does not raise the LASSO objective", HoldsWithin, Property,
        "steps up to 2 / L from a feasible start; 4 / L can raise it"),
    theorem("C-THY-18", "c_thy_18", "NeurIPS 2023, section 2.4",
        "one step from X = Z solves for the sparse code well enough", Fails, Draws(1),
        "the start is infeasible, and at the official initialisation the step ends above the zero code"),
    theorem("C-THY-19", "c_thy_19", "book, chapter 7",
        "the step may be beta = 1", HoldsWithin, Draws(20),
        "for rotations; at the official initialisation ten steps grow the objective a thousandfold and more"),
    theorem("C-THY-20", "c_thy_20", "book, chapter 4",
        "an incoherent dictionary keeps the rate", HoldsWithin, Property,
        "|R(D Z) - R(Z)| <= rank(Z) max |ln s_i(D)|, 0 for rotations"),
    theorem("C-THY-21", "c_thy_21", "ICLR 2024, arXiv 2404.02446",
        "the decoder's D undoes ISTA", HoldsWithin, Identity,
        "for rotations and step 1, up to sum_i min(v_i, lambda)^2, v = D^T z: exact only for lambda = 0 and v >= 0"),
    theorem("C-THY-22", "c_thy_22", "book, chapter 4, theorem thm:1",
        "a layer of the attention-only transformer multiplies the signal-to-noise ratio by 1 + eta tau", HoldsWithin, Property,
        "wherever every map is tau times the identity; how long that lasts is exp_denoise's"),
    theorem("C-THY-24", "c_thy_24", "ToST, arXiv 2412.17810",
        "diagonals bound concave spectral sums", Holds, Property, "equality at eigenvectors, gap quadratic in the angle"),
    theorem("C-THY-25", "c_thy_25", "book, chapter 4, eq. grad Rcf",
        "the gradient of the variational rate", HoldsWithin, Identity, "with the memberships held fixed"),
    theorem("C-THY-26", "c_thy_26", "book, chapter 4, var_concave_logdet",
        "the variational rate bounds the label rate", HoldsWithin, Property, "while every group lies in its subspace; a counter-example outside"),
    theorem("C-THY-28", "c_thy_28", "book, chapter 4",
        "TSSA keeps strong directions and suppresses weak ones", Holds, Identity, "factor 1 - tau f'(m_i) / N, growing with the moment m_i"),
    theorem("C-THY-29", "c_thy_29", "book, chapter 4",
        "the rate reduction is blind to rotations", Holds, Identity, "of tokens and bases together; the l0 norm is not"),
    by(Project, theorem("C-THY-30", "c_thy_30", "derived by this project",
        "the rate reduction is blind to mixing tokens", Holds, Identity, "it depends on Z Z^T alone; the label rate does change")),
    theorem("C-THY-31", "c_thy_31", "book, chapter 3",
        "bounds and monotonicity of the rate", Holds, Property, "attained at rank one and at isotropic tokens; concave in Z Z^T, neither convex nor concave in Z"),
    theorem("C-THY-32", "c_thy_32", "book, chapter 4, exercise 1",
        "rates are sub-additive over tokens and heads", Holds, Property, "equality for orthogonal parts; submodular in the set of tokens"),
    by(Project, theorem("C-THY-33", "c_thy_33", "derived by this project",
        "the rate reduction stays below (d / 2) ln K", Holds, Property, "complete orthogonal bases; it can be negative, and with equal coefficients never is positive")),
    theorem("C-THY-34", "c_thy_34", "book, chapter 3, theorem MCR2-properties",
        "orthogonal groups beat turned ones", Holds, Property, "two balanced groups; the search for the maximum is exp_optima's"),
    theorem("C-THY-35", "c_thy_35", "book, chapter 3, theorem mcr-global-opt",
        "closed form of the regularised maxima", Holds, Property, "a critical point to rounding; the smaller root is a saddle"),
    theorem("C-THY-36", "c_thy_36", "book, chapter 3",
        "the rate counts balls: it is near the Gaussian rate-distortion function", Holds, Property,
        "above it by between 0 and ln 2 / 2 per direction, and by at most eps^2 / (2 d ev) where that is smaller"),
    theorem("C-THY-37", "c_thy_37", "book, chapter 3",
        "the label rate is concave in the memberships", Holds, Property, ""),
    theorem("C-THY-38", "c_thy_38", "book, chapter 4",
        "ReduNet's operator is a ridge residual", Holds, Identity, ""),
    theorem("C-THY-39", "c_thy_39", "book, chapter 3",
        "denoising lowers entropy", Holds, Property, "one Gaussian, by logdet((S + t^2) (S + s^2)^{-1}); a mixture is exp_optima's"),
    by(Project, theorem("C-THY-42", "c_thy_42", "derived by this project",
        "fewer tokens than dimensions make R - R^c negative, whatever the complete orthogonal bases", Corrected, Property,
        "ranks and precision decide: with sum_k rank(U_k^T Z) > rank(Z), as N < d tokens in general position have it, R - R^c falls below 0 at some precision and without bound beyond; along the tokens' own singular vectors, and for d sigma_max^2 / (N eps^2) up to x, ln(1 + x) = x / K, it is positive whatever N; at full rank it tends to d/2 ln K less what the heads share")),
    by(Project, theorem("C-THY-43", "c_thy_43", "derived by this project",
        "up to LayerNorm, Z + M is the convex step at kappa c = 1/2; on the scale-free R^c adding M descends and subtracting it ascends, on raw tokens the other way round", HoldsWithin, Draws(100),
        "the identity always; the signs on raw tokens in all 36 cells of 100 draws; on one length with orthogonal subspaces and attention that tells tokens apart, in 98 draws of 100 and more; with nearly equal weights in 77 to 93; overlapping subspaces turn the sign for tokens of one length, and not for projections of one length")),
    theorem("C-SUP-01", "c_sup_01", "book, chapter 4",
        "the convex form of MSSA descends on R^c", HoldsWithin, Property,
        "rho <= 1 with the network's scale; at rho = 100 with unscaled scores it can ascend"),
    by(Project, theorem("C-SUP-02", "c_sup_02", "derived by this project",
        "doubly stochastic attention cannot raise the rate", Holds, Property, "softmax is singly stochastic: a counter-example")),
    by(Project, theorem("C-SUP-03", "c_sup_03", "derived by this project",
        "adding attention raises both the signal-to-noise ratio and R^c, subtracting lowers both", HoldsWithin, Draws(20),
        "20 of 20 draws at noise 0.3, p 16; the region is exp_denoise's")),
    by(Project, theorem("C-SUP-04", "c_sup_04", "derived by this project",
        "where the attention-only theorem holds, attention is diagonal: no token reads another", Holds, Property,
        "thresholds of a half or more leave a token one to read, itself where no score comes near its own")),
    theorem("C-SUP-05", "c_sup_05", "book, chapters 3 and 4",
        "attention's softmax is the posterior's", Fails, Property,
        "one normalises over tokens, the other over subspaces: the masses of a token sum to K, not to 1"),
    theorem("C-VAR-04", "c_var_04", "CRATE-alpha",
        "the overcomplete block is two ISTA steps from zero", Holds, Identity, ""),
    theorem("C-VAR-08", "c_var_08", "ToST, released code",
        "the code is the paper's operator", HoldsWithin, Identity, "after three deviations are undone: memberships over the token axis, eps absorbed, untied output"),
    theorem("C-VAR-09", "c_var_09", "ToST, arXiv 2412.17810",
        "a step of TSSA lowers its own objective", Holds, Property, "tau / N up to 2 / max f', complete orthogonal bases, memberships held fixed"),
    by(Project, theorem("C-CRIT-08", "c_thy_30", "derived by this project",
        "the objective cannot see membership", Holds, Identity, "as C-THY-30: equal rates with purity 1 and 1 / K")),
    theorem("C-MAE-08", "c_mae_08", "ICLR 2024, official model/crate_ae",
        "the sign of the decoder's attention matters", Fails, Identity, "turning it is turning the sign of a free output projection: the same functions"),
    theorem("C-THY-10", "c_thy_10", "NeurIPS 2023, official code",
        "the official step Z + M compresses", Fails, Draws(20), "it raises R^c in 20 of 20 draws; scaled back to unit tokens, R^c falls"),
    theorem("C-THY-11", "c_thy_11", "book, chapter 4",
        "softmax(W^T W) is membership", HoldsWithin, Draws(1), "its mass on the own subspace is all on the token itself unless the scores are scaled down"),
];
