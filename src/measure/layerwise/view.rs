//! One layer on one image, as a quantity sees it: tokens by site, and what several quantities make of them,
//! made once.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};
use rand_chacha::ChaCha8Rng;

use crate::data::subspaces::orthogonal_bases;
use crate::error::{Error, Result};
use crate::exact::log_determinant::Prepared;
use crate::exact::mssa::attention_update;
use crate::exact::neumann::scaled_energies;
use crate::exact::official_rate::{official_rate, OfficialRate};
use crate::exact::scale_free::{scale_free_gradient, unit_projection_gradient};
use crate::exact::subspace_rate_gradient;
use crate::model::operators::LayerOperators;
use crate::model::probe::{Recorder, Site};
use crate::seed;

/// Values that are made once for each key. Making one may ask for values of other kinds, not for another of
/// its own.
#[derive(Debug)]
struct Once<K, T>(Mutex<Vec<(K, Arc<T>)>>);

impl<K, T> Default for Once<K, T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<K: PartialEq, T> Once<K, T> {
    fn get(&self, key: K, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = made.iter().find(|(k, _)| *k == key) {
            return Ok(value.clone());
        }
        let value = Arc::new(make()?);
        made.push((key, value.clone()));
        Ok(value)
    }
}

/// The layers of a network, and the random subspaces that they are held against.
#[derive(Debug)]
pub(super) struct Layers {
    operators: Vec<LayerOperators>,
    random: Once<usize, Array3<f64>>,
    seed: u64,
}

impl Layers {
    pub(super) fn new(operators: Vec<LayerOperators>, seed: u64) -> Self {
        Self {
            operators,
            random: Once::default(),
            seed,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.operators.len()
    }
}

/// The gradient of a rate at tokens (d, N), for bases (K, d, p) and a precision.
type Gradient = fn(ArrayView2<'_, f64>, ArrayView3<'_, f64>, f64) -> Result<Array2<f64>>;

/// A precision as a key.
type Precision = u64;

/// What quantities share of one layer on one image.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    recorder: &'a Recorder<f32>,
    layers: &'a Layers,
    layer: usize,
    /// Place in the recorded batch.
    position: usize,
    /// Number in the data set.
    image: usize,
    tokens: Once<Site, Array2<f64>>,
    prepared: Once<Site, Prepared>,
    energies: Once<Precision, Vec<f64>>,
    gradient: Once<Precision, Array2<f64>>,
    unit_gradient: Once<Precision, Array2<f64>>,
    projected_gradient: Once<Precision, Array2<f64>>,
    update: Once<(), Array2<f64>>,
    own: Once<&'static str, Array2<f64>>,
    official: Once<(), OfficialRate>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        recorder: &'a Recorder<f32>,
        layers: &'a Layers,
        layer: usize,
        position: usize,
        image: usize,
    ) -> Self {
        Self {
            recorder,
            layers,
            layer,
            position,
            image,
            tokens: Once::default(),
            prepared: Once::default(),
            energies: Once::default(),
            gradient: Once::default(),
            unit_gradient: Once::default(),
            projected_gradient: Once::default(),
            update: Once::default(),
            own: Once::default(),
            official: Once::default(),
        }
    }

    /// As a quantity sees it that names `sites`.
    pub(super) fn view(&'a self, sites: &'static [Site]) -> View<'a> {
        View {
            shared: self,
            sites,
        }
    }

    /// Head-token pairs of length zero, if the official rate was asked for.
    pub(super) fn zero_tokens(&self) -> usize {
        let official = &self.official.0;
        let official = official.lock().unwrap_or_else(PoisonError::into_inner);
        official.iter().map(|(_, rate)| rate.zero_tokens).sum()
    }

    /// The (n, features) numbers that were recorded at `site`.
    fn recorded(&self, site: Site) -> Result<ArrayView2<'a, f32>> {
        let name = || format!("{site:?} of layer {}", self.layer + 1);
        let Some((shape, values)) = self.recorder.get(site, self.layer) else {
            return Err(Error::Unmeasured {
                what: name(),
                remedy: "record it in the pass forward".into(),
            });
        };
        let &[images, n, features] = shape else {
            return Err(Error::shape(
                name(),
                "(images, tokens, features)",
                format!("{shape:?}"),
                "measure another site",
            ));
        };
        let size = n * features;
        let at = self.position.min(images.saturating_sub(1)) * size;
        let own = values.get(at..at + size).unwrap_or_default();
        ArrayView2::from_shape((n, features), own).map_err(|e| Error::misfit(name(), shape, &e))
    }
}

/// One layer on one image, as one quantity sees it. `X = LN1(Z^l)` are the tokens MSSA works on.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    shared: &'a Shared<'a>,
    sites: &'static [Site],
}

impl<'a> View<'a> {
    /// Refuses a site that the quantity's entry does not name, whatever other quantities have recorded.
    fn declared(&self, site: Site) -> Result<()> {
        if self.sites.contains(&site) {
            return Ok(());
        }
        Err(Error::Unmeasured {
            what: format!("{site:?} for a quantity of {:?}", self.sites),
            remedy: "name the site in the quantity's entry".into(),
        })
    }

    /// The numbers at `site` as the network has them, (n, features).
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the site.
    pub fn recorded(&self, site: Site) -> Result<ArrayView2<'a, f32>> {
        self.declared(site)?;
        self.shared.recorded(site)
    }

    /// The numbers at `site` in doubles, (n, features): rows are tokens.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the site.
    pub fn tokens(&self, site: Site) -> Result<Arc<Array2<f64>>> {
        self.declared(site)?;
        let make = || Ok(self.shared.recorded(site)?.mapv(f64::from));
        self.shared.tokens.get(site, make)
    }

    /// The numbers at `site` in doubles, (features, n), columns are tokens, prepared for rates.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the site; [`Error::Domain`] if one is not finite.
    pub fn prepared(&self, site: Site) -> Result<Arc<Prepared>> {
        let tokens = self.tokens(site)?;
        let make = || Prepared::new("tokens", tokens.t());
        self.shared.prepared.get(site, make)
    }

    /// The layer's own operators.
    pub fn operators(&self) -> &'a LayerOperators {
        &self.shared.layers.operators[self.shared.layer]
    }

    /// The bases of the next layer, (K, d, p); the last has the first's.
    pub fn next_bases(&self) -> ArrayView3<'a, f64> {
        let operators = &self.shared.layers.operators;
        operators[(self.shared.layer + 1) % operators.len()]
            .bases
            .view()
    }

    /// K blocks of one random orthogonal matrix (K, d, d / K), drawn for each layer: exactly orthogonal
    /// subspaces that together are everything.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of heads does not divide the width.
    pub fn random_bases(&self) -> Result<Arc<Array3<f64>>> {
        let (layers, layer) = (self.shared.layers, self.shared.layer);
        let (heads, d, _) = self.operators().bases.dim();
        layers.random.get(layer, || {
            if d % heads != 0 {
                return Err(Error::shape(
                    "random orthogonal bases",
                    format!("a width that {heads} heads divide"),
                    format!("{d}"),
                    "measure a network of another width, or leave out what is held against them",
                ));
            }
            let name = format!("subspaces of layer {}", layer + 1);
            orthogonal_bases(layers.seed, &name, heads, d / heads)
        })
    }

    /// Randomness of this layer and image, for the purpose `what`.
    pub fn random(&self, what: &str) -> ChaCha8Rng {
        let Shared { image, layer, .. } = self.shared;
        let name = format!("{what}, image {image}, layer {}", layer + 1);
        seed::stream(self.shared.layers.seed, &name)
    }

    /// The scale of the scores in the code's softmax, `p^{-1/2}`.
    pub fn attention_scale(&self) -> f64 {
        (self.operators().bases.dim().2 as f64).powf(-0.5)
    }

    /// `M = sum_k U_k SSA(X | U_k)`, (d, n), with the code's scale.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the sites that this is made of.
    pub fn update(&self) -> Result<Arc<Array2<f64>>> {
        let x = self.tokens(Site::NORMALISED_INPUT)?;
        let bases = self.operators().bases.view();
        let make = || Ok(attention_update(x.t(), bases, self.attention_scale()));
        self.shared.update.get((), make)
    }

    /// What the quantities of one file share, under a name of theirs.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn once(
        &self,
        name: &'static str,
        make: impl FnOnce() -> Result<Array2<f64>>,
    ) -> Result<Arc<Array2<f64>>> {
        self.shared.own.get(name, make)
    }

    /// `Z^{l+1/2} - Z^l`, (d, n), what the block adds.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the sites that this is made of.
    pub fn added(&self) -> Result<Array2<f64>> {
        let (before, after) = (
            self.tokens(Site::LayerInput)?,
            self.tokens(Site::AFTER_MSSA)?,
        );
        Ok((&*after - &*before).reversed_axes())
    }

    /// The eigenvalues of `c (U_k^T X)(U_k^T X)^T` of all heads, one after the other, without unit.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the site of `X`; [`Error::Domain`] for tokens that
    /// are not finite or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
    pub fn energies(&self, epsilon: f64) -> Result<Arc<Vec<f64>>> {
        let x = self.tokens(Site::NORMALISED_INPUT)?;
        let make = || {
            let bases = self.operators().bases.view();
            Ok(scaled_energies(x.t(), bases, epsilon)?.concat())
        };
        self.shared.energies.get(epsilon.to_bits(), make)
    }

    /// `grad R^c` at `X`, (d, n).
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the site of `X`; [`Error::Domain`] for tokens that
    /// are not finite or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
    pub fn gradient(&self, epsilon: f64) -> Result<Arc<Array2<f64>>> {
        let own = &self.shared.gradient;
        self.gradient_of(own, epsilon, subspace_rate_gradient)
    }

    /// The gradient at `X` of `R^c` of the tokens brought to length 1, (d, n).
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the site of `X`; [`Error::Domain`] for tokens that
    /// are not finite or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
    pub fn unit_gradient(&self, epsilon: f64) -> Result<Arc<Array2<f64>>> {
        let own = &self.shared.unit_gradient;
        self.gradient_of(own, epsilon, scale_free_gradient)
    }

    /// The gradient at `X`, (d, n), of the official measure, in which every projected token is brought to length 1.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the site of `X`; [`Error::Domain`] for tokens that
    /// are not finite or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
    pub fn projected_gradient(&self, epsilon: f64) -> Result<Arc<Array2<f64>>> {
        let own = &self.shared.projected_gradient;
        self.gradient_of(own, epsilon, unit_projection_gradient)
    }

    fn gradient_of(
        &self,
        own: &Once<Precision, Array2<f64>>,
        epsilon: f64,
        gradient: Gradient,
    ) -> Result<Arc<Array2<f64>>> {
        let x = self.tokens(Site::NORMALISED_INPUT)?;
        let make = || gradient(x.t(), self.operators().bases.view(), epsilon);
        own.get(epsilon.to_bits(), make)
    }

    /// The official measurement, nats.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity's entry does not name the sites that this is made of; [`Error::Domain`]
    /// for tokens that are not finite; [`Error::Lapack`] if a factorisation fails.
    pub fn official(&self) -> Result<Arc<OfficialRate>> {
        let projection = self.recorded(Site::PROJECTION)?;
        let make = || official_rate(projection, self.operators().prepared.len());
        self.shared.official.get((), make)
    }
}
