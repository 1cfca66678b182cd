//! The learners, each with its settings.

mod maml;
mod meta_sgd;
mod protonet;

pub use maml::Maml;
pub use meta_sgd::MetaSgd;
pub use protonet::ProtoNet;
