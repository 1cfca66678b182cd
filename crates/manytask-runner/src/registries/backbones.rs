//! Networks of learners by their names in a configuration.

use manytask_nn::nets::{
    Conv4Config, ConvR2d2Config, MlpConfig, ResNet12Config, ResNetConfig, VitConfig, WideResNetConfig,
};

use crate::episodes::{BackboneSettings, IdentitySection, ResNetOf};
use crate::registry::Registry;

type Any = Box<dyn BackboneSettings>;

/// What is said of every residual network.
const OF_RESNET: &str = "`stem` is \"large\" (7 x 7 of stride 2 and pooling, for some 224 pixels) or \"small\" (3 x 3, for 32 to 84). \
                         `weights` takes those of torchvision or timm.";

pub(super) fn backbones() -> Registry<Any> {
    let mut registry = Registry::<Any>::new("backbone", "network");
    registry.add(
        "mlp",
        "a multi-layer perceptron",
        "Linear layers, each followed by normalisation, activation and dropout; pictures are flattened.",
        &MlpConfig { hidden: vec![40, 40], ..MlpConfig::default() },
        |mlp: MlpConfig| Box::new(mlp) as Any,
    );
    registry.add(
        "identity",
        "examples as they are: vectors of an encoder that is trained already",
        "Without parameters; pictures are flattened. Where a learner needs a head it is a linear layer, `head`. With a learner that \
         computes its classifier from the examples (`logistic`, `ridge`, `simple_shot`, `tip_adapter` and others) and `steps = 0` in \
         [training] nothing is trained, and [optimizer] and [aggregator] may be left out.",
        &IdentitySection::default(),
        |identity: IdentitySection| Box::new(identity) as Any,
    );
    convolutional(&mut registry);
    residual(&mut registry);
    registry.add(
        "vit_s",
        "a small vision transformer, ViT-S/16",
        "Dosovitskiy et al. 2021, arXiv:2010.11929; Touvron et al. 2021, arXiv:2012.12877: patches and a class token with learned places, \
         and blocks of attention; what comes out is the class token. `weights` takes those of timm (DINO's too) or torchvision, whose places \
         are of one size of images, 224 as a rule.",
        &VitConfig::default(),
        |vit: VitConfig| Box::new(vit) as Any,
    );
    registry
}

fn convolutional(registry: &mut Registry<Any>) {
    registry.add(
        "conv4",
        "four blocks of convolution, batch-norm, ReLU and max-pooling",
        "Vinyals et al. 2016: the network of few-shot learning. Its batch-norm takes the statistics of each forward pass' own \
         examples: a task's queries are normalised together (transductive). `channels` are those of each block, where they differ; \
         down = \"stride\" with pooling = \"mean\" is the one of MAML on Omniglot, which halves by convolutions of stride 2.",
        &Conv4Config::default(),
        |conv: Conv4Config| Box::new(conv) as Any,
    );
    registry.add(
        "conv_r2d2",
        "the network of R2-D2: 96-192-384-512 channels, and the last two blocks together",
        "Bertinetto et al. 2019, arXiv:1805.08136, section 4.2: leaky ReLU of slope 0.1 behind the pooling, dropout in the last two blocks, and \
         both give what comes out: 3,584 numbers of 28 pixels, 72,576 of 84.",
        &ConvR2d2Config::default(),
        |conv: ConvR2d2Config| Box::new(conv) as Any,
    );
}

fn residual(registry: &mut Registry<Any>) {
    registry.add(
        "resnet12",
        "the residual network of few-shot learning, of 12 layers",
        "Lee et al. 2019, arXiv:1904.03758: four blocks of three convolutions, leaky ReLU of slope 0.1 and pooling after the sum; in training \
         numbers are dropped in the first two blocks and squares of side `block_size` in the last two (DropBlock), a share that grows to \
         `dropout` over 40,000 steps. `channels` [64, 160, 320, 640] (12.4 million parameters) or [64, 128, 256, 512] (8.0); `pooling` \"mean\" \
         or \"flatten\". `weights` takes files with the names of the authors' code.",
        &ResNet12Config::default(),
        |resnet: ResNet12Config| Box::new(resnet) as Any,
    );
    for (name, summary, blocks) in [
        ("resnet10", "a residual network of 10 layers", [1; 4]),
        ("resnet18", "a residual network of 18 layers", [2; 4]),
        ("resnet34", "a residual network of 34 layers", [3, 4, 6, 3]),
    ] {
        let about = format!("He et al. 2016, arXiv:1512.03385. {OF_RESNET}");
        registry.add(name, summary, &about, &ResNetConfig::default(), move |config: ResNetConfig| {
            Box::new(ResNetOf(blocks, config)) as Any
        });
    }
    registry.add(
        "wrn_28_10",
        "a wide residual network, of 28 layers and ten times the channels",
        "Zagoruyko & Komodakis 2016, arXiv:1605.07146: normalisation and activation before each convolution; 36.5 million parameters. \
         `depth` is 4 more than a multiple of 6, `widen` how many times 16-32-64 channels.",
        &WideResNetConfig::default(),
        |wide: WideResNetConfig| Box::new(wide) as Any,
    );
}
