use serde::{Deserialize, Serialize};

/// A function applied to each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    #[default]
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// x Φ(x) with the normal distribution function Φ, without approximation.
    Gelu,
    /// x · sigmoid(x).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// x, and 0.01 x below 0.
    LeakyRelu,
    /// x, and eˣ − 1 below 0 (Clevert et al. 2016).
    Elu,
    /// 1.0507 x, and 1.7581 (eˣ − 1) below 0 (Klambauer et al. 2017).
    Selu,
}
