//! The learners, each with its settings.

mod baseline;
mod cnp;
mod dsn;
mod frn;
mod lr_d2;
mod maml;
mod matching_net;
mod meta_baseline;
mod meta_opt_net;
mod meta_sgd;
mod proto_maml;
mod protonet;
mod r2d2;
mod relation_net;
mod rfs;
mod simple_shot;

pub use baseline::{Baseline, BaselinePlusPlus, FineTuning};
pub use cnp::Cnp;
pub use dsn::Dsn;
pub use frn::Frn;
pub use lr_d2::LrD2;
pub use maml::Maml;
pub use matching_net::MatchingNet;
pub use meta_baseline::MetaBaseline;
pub use meta_opt_net::{MetaOptNetRr, MetaOptNetSvm};
pub use meta_sgd::MetaSgd;
pub use proto_maml::ProtoMaml;
pub use protonet::ProtoNet;
pub use r2d2::R2d2;
pub use relation_net::RelationNet;
pub use rfs::Rfs;
pub use simple_shot::{FeatureTransform, SimpleShot};
