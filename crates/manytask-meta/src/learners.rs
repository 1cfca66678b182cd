//! The learners, each with its settings.

mod cnp;
mod maml;
mod meta_sgd;
mod protonet;
mod r2d2;
mod relation_net;

pub use cnp::Cnp;
pub use maml::Maml;
pub use meta_sgd::MetaSgd;
pub use protonet::ProtoNet;
pub use r2d2::R2d2;
pub use relation_net::RelationNet;
