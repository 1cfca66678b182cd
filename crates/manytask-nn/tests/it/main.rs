//! Values of PyTorch and scikit-learn on the same numbers; `tests/fixtures/make.py` wrote them.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod backbones;
mod fixtures;
mod layers;
mod losses;
mod metrics;
mod optim;
mod precision;
