//! One interface to every intermediate of a forward pass.

/// Where in layer `l` a tensor was taken. `Z^l` are the tokens that enter the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// `Z^l`, shape (b, n, d).
    LayerInput,
    /// `LN1(Z^l)`, shape (b, n, d).
    NormalisedInput,
    /// `LN1(Z^l) U`, the projections `U_k^T LN1(z)` side by side, shape (b, n, k p). This is
    /// where the official coding-rate measurement hooks in.
    Projection,
    /// Attention maps, rows sum to one, shape (b, k, n, n).
    Attention,
    /// `Z^{l+1/2} = Z^l + MSSA(LN1(Z^l))`, shape (b, n, d).
    AfterMssa,
    /// `LN2(Z^{l+1/2})`, the input and target of ISTA, shape (b, n, d).
    NormalisedAfterMssa,
    /// `Z^{l+1}`, the ISTA output, shape (b, n, d).
    AfterIsta,
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
