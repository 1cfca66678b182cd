//! Backbones of few-shot learning: as many parameters as their papers say, the numbers of an independent computation, and weights that other
//! programs have saved.

use std::collections::BTreeMap;
use std::path::Path;

use manytask_nn::nets::{
    Conv4, Conv4Config, ConvR2d2, ConvR2d2Config, Downsampling, Pooling, ResNet, ResNet12, ResNet12Config,
    ResNetConfig, Stem, VisionTransformer, VitConfig, WideResNet, WideResNetConfig,
};
use manytask_nn::weights::Weights;
use manytask_nn::{BatchNormPolicy, Builder, Context, Module, Result};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Entry, Kind, Layout, Params, Tensor};

const ON: (Kind, Device) = (Kind::Double, Device::Cpu);

fn built<M: Module>(make: impl FnOnce(&mut Builder<'_>) -> Result<M>) -> (M, std::sync::Arc<Layout>) {
    let mut layout = Layout::builder();
    let net = make(&mut Builder::new(&mut layout)).unwrap();
    (net, layout.build())
}

/// How many numbers are trained.
fn count<M: Module>(make: impl FnOnce(&mut Builder<'_>) -> Result<M>) -> i64 {
    let (_, layout) = built(make);
    let trained = layout.entries().iter().filter(|entry| entry.role.is_trained());
    trained.map(|entry| entry.shape.iter().product::<i64>()).sum()
}

#[test]
fn parameters_are_as_many_as_in_the_papers() {
    let image = [3, 224, 224];
    let resnet = |blocks, output| {
        let config = ResNetConfig { output, ..ResNetConfig::default() };
        count(|b| ResNet::new(b, &image, blocks, &config))
    };
    // torchvision's resnet18 and resnet34 with 1,000 classes.
    assert_eq!(resnet([2, 2, 2, 2], Some(1000)), 11_689_512);
    assert_eq!(resnet([3, 4, 6, 3], Some(1000)), 21_797_672);
    assert_eq!(resnet([1, 1, 1, 1], None), 4_905_792);
    // 12.4 million of Lee et al. 2019, and 8.0 million of Oreshkin et al. 2018.
    let resnet12 = |channels: [i64; 4]| {
        let config = ResNet12Config { channels: channels.to_vec(), ..ResNet12Config::default() };
        count(|b| ResNet12::new(b, &[3, 84, 84], &config))
    };
    assert_eq!(resnet12([64, 160, 320, 640]), 12_424_320);
    assert_eq!(resnet12([64, 128, 256, 512]), 7_996_800);
    // 36.5 million with ten classes.
    let wide = WideResNetConfig { output: Some(10), ..WideResNetConfig::default() };
    assert_eq!(count(|b| WideResNet::new(b, &[3, 32, 32], &wide)), 36_479_194);
    // timm's vit_small_patch16_224.
    let vit = VitConfig { output: Some(1000), ..VitConfig::default() };
    assert_eq!(count(|b| VisionTransformer::new(b, &image, &vit)), 22_050_664);
}

#[test]
fn features_are_as_many_as_in_the_papers() {
    let resnet12 = |pooling| {
        let config = ResNet12Config { pooling, ..ResNet12Config::default() };
        built(|b| ResNet12::new(b, &[3, 84, 84], &config)).0.features()
    };
    assert_eq!((resnet12(Pooling::Flatten), resnet12(Pooling::Mean)), (16_000, 640));
    let r2d2 = |side| built(|b| ConvR2d2::new(b, &[3, side, side], &ConvR2d2Config::default())).0.features();
    assert_eq!((r2d2(84), r2d2(28)), (72_576, 3_584));
    let conv4 = |side, config: Conv4Config| built(|b| Conv4::new(b, 1, side, &config)).0.features();
    let strided =
        Conv4Config { down: Downsampling::Stride, pooling: Pooling::Mean, ..Conv4Config::default() };
    assert_eq!((conv4(28, Conv4Config::default()), conv4(84, Conv4Config::default())), (64, 1600));
    assert_eq!(
        (conv4(28, strided), conv4(84, Conv4Config { hidden: 32, ..Conv4Config::default() })),
        (64, 800)
    );
    let wide = Conv4Config { channels: vec![96, 192, 384, 512], ..Conv4Config::default() };
    assert_eq!(conv4(84, wide), 512 * 25);
}

/// Random tensors for every entry, variances above 0.
fn weights(layout: &Layout, rename: impl Fn(&str) -> String) -> BTreeMap<String, Tensor> {
    let tensors = layout.entries().iter().enumerate().map(|(number, entry)| {
        let drawn = Key::new(5, "w").task(number as u64).normal(&entry.shape, ON.0, ON.1).unwrap();
        let drawn = if entry.name.ends_with("running_var") { drawn.abs() + 0.5 } else { drawn * 0.4 };
        (rename(&entry.name), drawn)
    });
    tensors.collect()
}

/// The parameters of a network out of a file's tensors.
fn loaded(layout: &std::sync::Arc<Layout>, file: &BTreeMap<String, Tensor>) -> Result<(Params, Vec<String>)> {
    let all: Vec<&Entry> = layout.entries().iter().collect();
    let copies = file.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let found = Weights::take(Path::new("w.safetensors"), copies, &all)?;
    Ok((Params::new(layout.clone(), found.tensors)?, found.passed_over))
}

/// Looks tensors of a file up.
struct File<'a>(&'a BTreeMap<String, Tensor>, &'static str);

impl File<'_> {
    fn get(&self, name: &str) -> &Tensor {
        &self.0[&format!("{}{name}", self.1)]
    }

    fn conv(&self, x: &Tensor, name: &str, stride: i64, padding: i64) -> Tensor {
        let weight = self.get(&format!("{name}.weight"));
        x.conv2d(weight, None::<&Tensor>, [stride; 2], [padding; 2], [1; 2], 1)
    }

    /// Normalised by running statistics, from the definition.
    fn norm(&self, x: &Tensor, name: &str) -> Tensor {
        let of = |what: &str| self.get(&format!("{name}.{what}")).reshape([1, -1, 1, 1]);
        (x - of("running_mean")) / (of("running_var") + 1e-5).sqrt() * of("weight") + of("bias")
    }

    fn linear(&self, x: &Tensor, name: &str) -> Tensor {
        x.matmul(&self.get(&format!("{name}.weight")).tr()) + self.get(&format!("{name}.bias"))
    }
}

fn close(net: &dyn Module, params: &Params, x: &Tensor, expected: &Tensor) {
    let mut cx = Context::eval().with_batch_norm(BatchNormPolicy::Running);
    let found = net.forward(params, x, &mut cx).unwrap();
    assert_eq!(found.size(), expected.size());
    let scale = expected.abs().max().double_value(&[]);
    let gap = (found - expected).abs().max().double_value(&[]);
    assert!(gap < 1e-10 * scale.max(1.0) && scale > 1e-3, "{gap} of {scale}");
    // Several tasks at once are the same.
    let both = params.expand_tasks(2).unwrap();
    let mut cx = Context::eval().with_batch_norm(BatchNormPolicy::Running);
    let found = net.forward(&both, &Tensor::stack(&[x, x], 0), &mut cx).unwrap();
    assert!((found - expected.unsqueeze(0)).abs().max().double_value(&[]) < 1e-9 * scale.max(1.0));
}

fn pictures(side: i64) -> Tensor {
    Key::new(1, "x").normal(&[2, 3, side, side], ON.0, ON.1).unwrap()
}

#[test]
fn a_residual_network_with_torchvisions_weights_is_torchvisions_network() {
    let config = ResNetConfig { width: 3, ..ResNetConfig::default() };
    let (net, layout) = built(|b| ResNet::new(b, &[3, 64, 64], [1, 2, 1, 1], &config));
    let mut file = weights(&layout, |name| format!("module.{name}"));
    file.insert("module.fc.weight".into(), Tensor::zeros([7, 24], ON));
    file.insert("module.bn1.num_batches_tracked".into(), Tensor::from(3_i64));
    let (params, passed_over) = loaded(&layout, &file).unwrap();
    assert_eq!(passed_over, ["module.fc.weight"]);
    let own = File(&file, "module.");
    let x = pictures(64);
    let mut y = own.norm(&own.conv(&x, "conv1", 2, 3), "bn1").relu();
    y = y.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
    for (block, stride) in
        [("layer1.0", 1), ("layer2.0", 2), ("layer2.1", 1), ("layer3.0", 2), ("layer4.0", 2)]
    {
        let inner = own.conv(&y, &format!("{block}.conv1"), stride, 1);
        let inner = own.norm(&inner, &format!("{block}.bn1")).relu();
        let inner = own.norm(&own.conv(&inner, &format!("{block}.conv2"), 1, 1), &format!("{block}.bn2"));
        if stride == 2 {
            y = own.norm(
                &own.conv(&y, &format!("{block}.downsample.0"), 2, 0),
                &format!("{block}.downsample.1"),
            );
        }
        y = (inner + y).relu();
    }
    close(&net, &params, &x, &y.mean_dim([2, 3].as_slice(), false, ON.0));
}

#[test]
fn resnet12_pools_after_the_sum() {
    let config =
        ResNet12Config { channels: vec![3, 4], pooling: Pooling::Flatten, ..ResNet12Config::default() };
    let (net, layout) = built(|b| ResNet12::new(b, &[3, 13, 13], &config));
    let file = weights(&layout, |name| format!("encoder.{name}"));
    let (params, _) = loaded(&layout, &file).unwrap();
    let own = File(&file, "encoder.");
    let x = pictures(13);
    let leaky = |x: &Tensor| x.maximum(&(x * 0.1));
    let mut y = x.shallow_clone();
    for block in ["layer1.0", "layer2.0"] {
        let at = |what: &str| format!("{block}.{what}");
        let mut inner = leaky(&own.norm(&own.conv(&y, &at("conv1"), 1, 1), &at("bn1")));
        inner = leaky(&own.norm(&own.conv(&inner, &at("conv2"), 1, 1), &at("bn2")));
        inner = own.norm(&own.conv(&inner, &at("conv3"), 1, 1), &at("bn3"));
        let past = own.norm(&own.conv(&y, &at("downsample.0"), 1, 0), &at("downsample.1"));
        y = leaky(&(inner + past)).max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
    }
    close(&net, &params, &x, &y.flatten(1, -1));
}

#[test]
fn a_wide_residual_network_normalises_before_it_convolves() {
    let config = WideResNetConfig { depth: 10, widen: 1, ..WideResNetConfig::default() };
    let (net, layout) = built(|b| WideResNet::new(b, &[3, 8, 8], &config));
    let file = weights(&layout, str::to_owned);
    let (params, _) = loaded(&layout, &file).unwrap();
    let own = File(&file, "");
    let x = pictures(8);
    let mut y = own.conv(&x, "conv1", 1, 1);
    for (group, stride) in [(1, 1), (2, 2), (3, 2)] {
        let at = |what: &str| format!("block{group}.layer.0.{what}");
        let before = own.norm(&y, &at("bn1")).relu();
        let inner = own.norm(&own.conv(&before, &at("conv1"), stride, 1), &at("bn2")).relu();
        let inner = own.conv(&inner, &at("conv2"), 1, 1);
        // Of the first group too a block that keeps the 16 channels takes its input as it is.
        y = if group == 1 { inner + y } else { inner + own.conv(&before, &at("convShortcut"), stride, 0) };
    }
    let y = own.norm(&y, "bn1").relu().mean_dim([2, 3].as_slice(), false, ON.0);
    close(&net, &params, &x, &y);
}

/// torchvision's names for this crate's.
fn of_torchvision(name: &str) -> String {
    [
        ("patch_embed.proj.", "conv_proj."),
        ("cls_token", "class_token"),
        ("pos_embed", "encoder.pos_embedding"),
        (".norm1.", ".ln_1."),
        (".norm2.", ".ln_2."),
        (".attn.qkv.", ".self_attention.in_proj_"),
        (".attn.proj.", ".self_attention.out_proj."),
        (".mlp.fc1.", ".mlp.0."),
        (".mlp.fc2.", ".mlp.3."),
        ("blocks.", "encoder.layers.encoder_layer_"),
    ]
    .iter()
    .fold(name.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
    .replace("norm.", "encoder.ln.")
}

#[test]
fn a_vision_transformer_with_torchvisions_weights_is_torchvisions_network() {
    let config = VitConfig { patch: 4, width: 6, depth: 2, heads: 2, output: None };
    let (net, layout) = built(|b| VisionTransformer::new(b, &[3, 8, 12], &config));
    let mut file = weights(&layout, of_torchvision);
    file.insert("heads.head.weight".into(), Tensor::zeros([7, 6], ON));
    assert!(file.contains_key("encoder.layers.encoder_layer_1.self_attention.in_proj_weight"), "{file:?}");
    let (params, passed_over) = loaded(&layout, &file).unwrap();
    assert_eq!(passed_over, ["heads.head.weight"]);
    let own = File(&file, "");
    let x = Key::new(1, "x").normal(&[2, 3, 8, 12], ON.0, ON.1).unwrap();
    let patches =
        x.conv2d(own.get("conv_proj.weight"), Some(own.get("conv_proj.bias")), [4, 4], [0, 0], [1, 1], 1);
    let patches = patches.flatten(2, 3).transpose(1, 2);
    let mut y = Tensor::cat(&[own.get("class_token").expand([2, 1, 6], false), patches], 1);
    y += own.get("encoder.pos_embedding");
    let norm = |x: &Tensor, name: &str| {
        let mean = x.mean_dim([-1].as_slice(), true, ON.0);
        let var = (x - &mean).square().mean_dim([-1].as_slice(), true, ON.0);
        (x - mean) / (var + 1e-6).sqrt() * own.get(&format!("{name}.weight"))
            + own.get(&format!("{name}.bias"))
    };
    for block in 0..2 {
        let at = |what: &str| format!("encoder.layers.encoder_layer_{block}.{what}");
        let normed = norm(&y, &at("ln_1"));
        let weight = own.get(&at("self_attention.in_proj_weight"));
        let all = normed.matmul(&weight.tr()) + own.get(&at("self_attention.in_proj_bias"));
        let heads: Vec<Tensor> = (0..2)
            .map(|head| {
                let part = |which: i64| all.narrow(2, 6 * which + 3 * head, 3);
                let scores = part(0).matmul(&part(1).transpose(1, 2)) / 3.0_f64.sqrt();
                scores.softmax(-1, ON.0).matmul(&part(2))
            })
            .collect();
        y += own.linear(&Tensor::cat(&heads, 2), &at("self_attention.out_proj"));
        let inner = own.linear(&norm(&y, &at("ln_2")), &at("mlp.0")).gelu("none");
        y += own.linear(&inner, &at("mlp.3"));
    }
    close(&net, &params, &x, &norm(&y, "encoder.ln").select(1, 0));
}

#[test]
fn the_network_of_r2d2_gives_its_last_two_blocks() {
    let config = ConvR2d2Config { channels: [2, 3, 4, 5], ..ConvR2d2Config::default() };
    let (net, layout) = built(|b| ConvR2d2::new(b, &[3, 24, 24], &config));
    let file = weights(&layout, str::to_owned);
    let (params, _) = loaded(&layout, &file).unwrap();
    let own = File(&file, "");
    let x = pictures(24);
    let leaky = |x: &Tensor| x.maximum(&(x * 0.1));
    let block = |x: &Tensor, number: usize, stride: i64| {
        let at = |what: &str| format!("layer{number}.{what}");
        let bias = own.get(&at("conv.bias")).reshape([1, -1, 1, 1]);
        let y = own.norm(&(own.conv(x, &at("conv"), 1, 1) + bias), &at("norm"));
        leaky(&y.max_pool2d([2, 2], [stride; 2], [0, 0], [1, 1], false))
    };
    let third = block(&block(&block(&x, 0, 2), 1, 2), 2, 2);
    let fourth = block(&third, 3, 1);
    let again = third.max_pool2d([2, 2], [1, 1], [0, 0], [1, 1], false);
    close(&net, &params, &x, &Tensor::cat(&[again.flatten(1, -1), fourth.flatten(1, -1)], 1));
}

#[test]
fn weights_that_do_not_fit_say_which() {
    let config = ResNetConfig { stem: Stem::Small, width: 2, output: None };
    let (_, layout) = built(|b| ResNet::new(b, &[1, 8, 8], [1, 1, 1, 1], &config));
    let good = weights(&layout, str::to_owned);
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut file = good.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        change(&mut file);
        loaded(&layout, &file).unwrap_err().to_string()
    };
    let message = refused(&|file| drop(file.remove("layer2.0.conv2.weight")));
    assert!(message.starts_with("w.safetensors: has no weights for 1 of the"), "{message}");
    assert!(message.contains("`layer2.0.conv2.weight`"), "{message}");
    let message = refused(&|file| drop(file.insert("layer1.1.conv1.weight".into(), Tensor::zeros([1], ON))));
    assert!(message.contains("1 tensors that this one has not: `layer1.1.conv1.weight`"), "{message}");
    let message = refused(&|file| drop(file.insert("conv1.weight".into(), Tensor::zeros([2, 3, 3, 3], ON))));
    assert!(
        message.contains("`conv1.weight` has shape [2, 3, 3, 3]") && message.contains("rgb"),
        "{message}"
    );
    let message = refused(&|file| drop(file.insert("bn1.weight".into(), Tensor::zeros([5], ON))));
    assert!(message.contains("`bn1.weight` has shape [5], and this network's is [2]"), "{message}");
    let twice = |name: &str| {
        let prefixed = good.iter().map(|(own, tensor)| (format!("{name}{own}"), tensor.shallow_clone()));
        prefixed.collect::<Vec<_>>()
    };
    let both = twice("query.").into_iter().chain(twice("key.")).collect();
    let message = loaded(&layout, &both).unwrap_err().to_string();
    assert!(message.contains("several networks, `key.` and `query.`"), "{message}");
}

#[test]
fn weights_that_no_network_works_with_are_refused() {
    let (_, layout) = built(|b| Conv4::new(b, 1, 28, &Conv4Config { hidden: 2, ..Conv4Config::default() }));
    let good = weights(&layout, str::to_owned);
    assert!(loaded(&layout, &good).is_ok());
    for (ending, kind, factor, says) in [
        ("norm.running_var", Kind::Double, -1.0, "variances below 0"),
        ("conv.weight", Kind::Double, f64::NAN, "NaN or infinite"),
        ("norm.weight", Kind::Int, 1.0, "whole numbers"),
    ] {
        let mut file = weights(&layout, str::to_owned);
        let (name, tensor) = file.iter_mut().find(|(name, _)| name.ends_with(ending)).unwrap();
        *tensor = (&*tensor * factor).to_kind(kind);
        let name = name.clone();
        let error = loaded(&layout, &file).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(&name) && error.contains("w.safetensors"), "{error}");
    }
}
