//! Quantities over layers and images.

use super::quantity::Quantity;
use crate::error::{Error, Result};
use crate::measure::statistics::Summary;

/// One quantity over all layers and images.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What was measured.
    pub quantity: Quantity,
    /// `values[layer][image]`.
    pub values: Vec<Vec<f64>>,
}

impl Curve {
    /// Mean and deviation over images, by layer, in the unit of the quantity.
    pub fn summaries(&self) -> Vec<Summary> {
        self.values.iter().map(|v| Summary::of(v)).collect()
    }

    /// Mean over images, by layer, in the unit of the quantity.
    pub fn means(&self) -> Vec<f64> {
        self.summaries().iter().map(|s| s.mean).collect()
    }
}

/// Everything measured on one network and set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Layerwise {
    /// One per quantity asked for, in that order.
    pub curves: Vec<Curve>,
    /// Head-token pairs of length zero that the official convention had to guard.
    pub zero_tokens: usize,
    /// Logits, (images, classes).
    pub logits: Vec<f32>,
}

impl Layerwise {
    /// The curve of `quantity`.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if it was not asked for.
    pub fn curve(&self, quantity: Quantity) -> Result<&Curve> {
        let found = self.curves.iter().find(|curve| curve.quantity == quantity);
        found.ok_or_else(|| Error::Unmeasured {
            what: quantity.to_string(),
            remedy: "name it among the quantities to measure".into(),
        })
    }

    /// Means over images, by layer, of `quantity`.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if it was not asked for.
    pub fn means(&self, quantity: Quantity) -> Result<Vec<f64>> {
        Ok(self.curve(quantity)?.means())
    }

    /// Means over images, by layer, of several quantities, in their order.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] naming the first that was not asked for.
    pub fn all<const N: usize>(&self, quantities: [Quantity; N]) -> Result<[Vec<f64>; N]> {
        let mut found = std::array::from_fn(|_| Vec::new());
        for (means, quantity) in found.iter_mut().zip(quantities) {
            *means = self.means(quantity)?;
        }
        Ok(found)
    }
}
