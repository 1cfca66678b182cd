//! Meta-learning on manytask's crates, which are re-exported here so that one dependency is enough.

pub use manytask_data as data;
pub use manytask_multitask as multitask;
pub use manytask_nn as nn;
pub use manytask_tensor as tensor;
