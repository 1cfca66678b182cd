//! Reading fixtures.

use manytask_tensor::{Device, Kind, Tensor};
use serde_json::Value;

pub(crate) fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn tensor(value: &Value, kind: Kind) -> Tensor {
    let shape: Vec<i64> = value["shape"].as_array().unwrap().iter().map(|d| d.as_i64().unwrap()).collect();
    let values: Vec<f64> = value["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    Tensor::from_slice(&values).reshape(&shape).to_kind(kind)
}

/// The largest difference, by the size of what is expected.
pub(crate) fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let (found, expected) = (found.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let scale = expected.abs().max().double_value(&[]).max(1.0);
    (found - expected).abs().max().to_device(Device::Cpu).double_value(&[]) / scale
}

/// Element types with what they must agree to.
pub(crate) const KINDS: [(Kind, f64); 2] = [(Kind::Float, 1e-6), (Kind::Double, 1e-12)];
