//! Learners that compute a head from a support set's embeddings, and those of pretrained networks.

use std::sync::Arc;

use manytask_meta::{
    Baseline, BaselinePlusPlus, Dsn, Frn, LrD2, MatchingNet, MetaBaseline, MetaOptNetRr, MetaOptNetSvm,
    ProtoMaml, Rfs, SimpleShot,
};

use super::{Any, about};
use crate::registry::Registry;

/// How a pretraining is asked for.
const PRETRAINED: &str = "The network learns in [pretraining] alone, which takes all steps of [training]; it wants batch_norm = \"running\".";

/// Those whose meta-gradient goes through the head.
pub(super) fn heads(registry: &mut Registry<Any>) {
    registry.add(
        "matching_net",
        "a query attends to the support set by cosines",
        &about(
            "Vinyals et al. 2016, arXiv:1606.04080, without full-context embeddings: the softmax of `scale` times the cosines, summed over\n\
             the examples of a class.",
        ),
        &MatchingNet::default(),
        |m: MatchingNet| Arc::new(m) as Any,
    );
    registry.add(
        "proto_maml",
        "MAML whose last layer starts as that of a prototypical network",
        &about(
            "Triantafillou et al. 2020, arXiv:1903.03096: W = 2c and b = −‖c‖² with the classes' mean embeddings c, then `inner_steps` steps of\n\
             network and layer; the meta-gradient goes through c. [network] needs an `output` or hidden layers.",
        ),
        &ProtoMaml::default(),
        |p: ProtoMaml| Arc::new(p) as Any,
    );
    registry.add(
        "meta_opt_net_rr",
        "a head by ridge regression with a fixed λ, without offset",
        &about("Lee et al. 2019, arXiv:1904.03758: 2 Xᵀ(XXᵀ + λI)⁻¹ Y with a learned scale of the logits."),
        &MetaOptNetRr::default(),
        |m: MetaOptNetRr| Arc::new(m) as Any,
    );
    registry.add(
        "meta_opt_net_svm",
        "a head by a support vector machine, differentiated through its optimum",
        &about(
            "Lee et al. 2019, arXiv:1904.03758: the machine for several classes of Crammer and Singer, its dual solved by an interior-point\n\
             method with I added to the inner products as in the authors' code; a learned scale of the logits.",
        ),
        &MetaOptNetSvm::default(),
        |m: MetaOptNetSvm| Arc::new(m) as Any,
    );
    registry.add(
        "lr_d2",
        "a head by logistic regression of each class against the others",
        &about(
            "Bertinetto et al. 2019, arXiv:1805.08136, section 3.3: `newton_steps` steps of iteratively reweighted least squares with a column\n\
             of ones; λ, scale and offset of the logits are learned from these starts.",
        ),
        &LrD2::default(),
        |l: LrD2| Arc::new(l) as Any,
    );
    registry.add(
        "dsn",
        "classes are subspaces through the means of their embeddings",
        &about(
            "Simon et al. 2020, CVPR: logits are negative squared distances to the span of a class' centred embeddings, of K − 1 directions;\n\
             `discriminative` times the overlap of the subspaces is added to the loss.",
        ),
        &Dsn::default(),
        |d: Dsn| Arc::new(d) as Any,
    );
    registry.add(
        "frn",
        "the class from whose features a query's are best reconstructed",
        &about(
            "Wertheimer et al. 2021, arXiv:2012.01506: ridge regression of a query's positions on those of a class, λ, ρ and the scale of the\n\
             logits learned. `channels` are those of the network's last feature map; left out, an embedding is one position.",
        ),
        &Frn::default(),
        |f: Frn| Arc::new(f) as Any,
    );
    registry.add(
        "meta_baseline",
        "cosines to the classes' mean embeddings, after a pretraining",
        &about(
            "Chen et al. 2021, arXiv:2003.04390: τ cos(f(q), w_c) with τ learned; [pretraining] first trains the network on all classes.",
        ),
        &MetaBaseline::default(),
        |m: MetaBaseline| Arc::new(m) as Any,
    );
}

/// Those whose network learns in a pretraining alone.
pub(super) fn pretrained(registry: &mut Registry<Any>) {
    let about = |text: &str| about(&format!("{text}\n{PRETRAINED}"));
    registry.add(
        "simple_shot",
        "the nearest mean of pretrained features, centred and of length 1",
        &about("Wang et al. 2019, arXiv:1911.04623: features are centred by their mean over all training classes, then scaled (`transform`)."),
        &SimpleShot::default(),
        |s: SimpleShot| Arc::new(s) as Any,
    );
    registry.add(
        "baseline",
        "a linear layer trained in each task on pretrained features",
        &about("Chen et al. 2019, arXiv:1904.04232: stochastic gradient descent on the support set (`fine_tuning`)."),
        &Baseline::default(),
        |b: Baseline| Arc::new(b) as Any,
    );
    registry.add(
        "baseline_pp",
        "a layer of cosines trained in each task on pretrained features",
        &about(
            "Chen et al. 2019, arXiv:1904.04232, Baseline++: weight-normalised class vectors with learned lengths; [pretraining] wants\n\
             classifier = { cosine = { scale = 2.0 } } (10.0 for more than 200 classes).",
        ),
        &BaselinePlusPlus::default(),
        |b: BaselinePlusPlus| Arc::new(b) as Any,
    );
    registry.add(
        "rfs",
        "logistic regression on pretrained features of length 1",
        &about("Tian et al. 2020, arXiv:2003.11539: `regularisation` is the C of scikit-learn's LogisticRegression, solved to its optimum."),
        &Rfs::default(),
        |r: Rfs| Arc::new(r) as Any,
    );
}
