//! One interface to every intermediate of a forward pass.

/// Where in layer `l` a tensor was taken. `Z^l` are the tokens that enter the layer; steps are numbered from 0, and the
/// constants are the sites of a layer of CRATE: step 0 is MSSA, step 1 is ISTA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// `Z^l`, shape (b, n, d).
    LayerInput,
    /// What a step's LayerNorm makes of its input, shape (b, n, d).
    Normalised(usize),
    /// Of an attention step, the projections side by side, shape (b, n, k p); with separate queries, keys and values,
    /// the values.
    Projection(usize),
    /// Of an attention step, the keys of all heads side by side, shape (b, n, k p): the projections, where queries, keys and
    /// values are one.
    Keys(usize),
    /// Of an attention step, the attention maps, whose rows sum to one, shape (b, k, n, n).
    Attention(usize),
    /// What a step makes, with its skip, shape (b, n, d).
    After(usize),
}

impl Site {
    /// `LN1(Z^l)`.
    pub const NORMALISED_INPUT: Self = Self::Normalised(0);
    /// `LN1(Z^l) U`, the projections `U_k^T LN1(z)` side by side: where the official coding-rate measurement hooks in.
    pub const PROJECTION: Self = Self::Projection(0);
    /// The attention maps of MSSA.
    pub const ATTENTION: Self = Self::Attention(0);
    /// `Z^{l+1/2} = Z^l + MSSA(LN1(Z^l))`.
    pub const AFTER_MSSA: Self = Self::After(0);
    /// `LN2(Z^{l+1/2})`, the input and target of ISTA.
    pub const NORMALISED_AFTER_MSSA: Self = Self::Normalised(1);
    /// `Z^{l+1}`, the ISTA output.
    pub const AFTER_ISTA: Self = Self::After(1);
}

/// Receives intermediates. A pass copies only the tensors that are wanted.
pub trait Probe<E> {
    /// Whether [`Probe::observe`] should be called for this site and layer (from 0).
    fn wants(&self, site: Site, layer: usize) -> bool;

    /// Takes a tensor in row-major order; see [`Site`] for its shape.
    fn observe(&mut self, site: Site, layer: usize, shape: &[usize], values: Vec<E>);
}

/// Wants nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProbe;

impl<E> Probe<E> for NoProbe {
    fn wants(&self, _: Site, _: usize) -> bool {
        false
    }
    fn observe(&mut self, _: Site, _: usize, _: &[usize], _: Vec<E>) {}
}

/// Keeps every tensor of the given sites.
#[derive(Debug, Clone)]
pub struct Recorder<E> {
    /// The sites to keep.
    pub sites: Vec<Site>,
    /// Site, layer, shape and values, in the order of the pass.
    pub records: Vec<(Site, usize, Vec<usize>, Vec<E>)>,
}

impl<E> Recorder<E> {
    /// Records `sites` of all layers.
    pub fn new(sites: impl Into<Vec<Site>>) -> Self {
        Self {
            sites: sites.into(),
            records: Vec::new(),
        }
    }

    /// The tensor of `site` in `layer`, if it was recorded.
    pub fn get(&self, site: Site, layer: usize) -> Option<(&[usize], &[E])> {
        self.records
            .iter()
            .find(|(s, l, _, _)| (*s, *l) == (site, layer))
            .map(|(_, _, shape, values)| (shape.as_slice(), values.as_slice()))
    }
}

impl<E> Probe<E> for Recorder<E> {
    fn wants(&self, site: Site, _: usize) -> bool {
        self.sites.contains(&site)
    }
    fn observe(&mut self, site: Site, layer: usize, shape: &[usize], values: Vec<E>) {
        self.records.push((site, layer, shape.to_vec(), values));
    }
}
