//! Weights of other programs' networks, by the names that they are saved under.

use std::collections::BTreeMap;
use std::path::Path;

use manytask_tensor::{Entry, Kind, Tensor};

use crate::{Error, Result};

/// What a file gives to a network.
#[derive(Debug)]
pub struct Weights {
    /// A tensor for each entry that was asked for, in their order.
    pub tensors: Vec<Tensor>,
    /// The names of what the file has beside them: classifiers of other classes.
    pub passed_over: Vec<String>,
}

/// How torchvision calls parts of its vision transformers, and how timm and this crate do.
const OF_TORCHVISION: [(&str, &str); 13] = [
    ("class_token", "cls_token"),
    ("conv_proj.", "patch_embed.proj."),
    ("encoder.pos_embedding", "pos_embed"),
    ("encoder.ln.", "norm."),
    ("encoder.layers.encoder_layer_", "blocks."),
    (".ln_1.", ".norm1."),
    (".ln_2.", ".norm2."),
    (".self_attention.in_proj_", ".attn.qkv."),
    (".self_attention.out_proj.", ".attn.proj."),
    (".mlp.linear_1.", ".mlp.fc1."),
    (".mlp.linear_2.", ".mlp.fc2."),
    (".mlp.0.", ".mlp.fc1."),
    (".mlp.3.", ".mlp.fc2."),
];

/// Layers behind a trunk, whose classes are those of the file's training.
const CLASSIFIERS: [&str; 6] = ["fc.", "head.", "heads.", "classifier.", "linear.", "pretraining."];

impl Weights {
    /// Out of the tensors of a file, for the entries of a network without its head.
    ///
    /// Names are those of timm and torchvision (of `resnet18`, `resnet34` and vision transformers), of Lee et al. 2019 for `ResNet-12`, or this
    /// crate's own, all behind one prefix if they have such (`module.`, `encoder.`, `backbone.` or any other).
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the file has further ones that are no classifier: with their names.
    pub fn take(path: &Path, tensors: BTreeMap<String, Tensor>, entries: &[&Entry]) -> Result<Self> {
        let wrong = |message: String| -> Error {
            manytask_tensor::Error::Incompatible { path: path.to_owned(), message }.into()
        };
        let mut named = renamed(tensors);
        let prefix = prefix(&named, entries).map_err(&wrong)?;
        let mut taken = Vec::with_capacity(entries.len());
        let mut missing = Vec::new();
        for entry in entries {
            let Some(tensor) = named.remove(&format!("{prefix}{}", entry.name)) else {
                missing.push(entry.name.as_str());
                continue;
            };
            if tensor.size() != entry.shape {
                let remedy = match entry.shape.get(1).zip(tensor.size().get(1)) {
                    Some((1, 3)) => "; it is for coloured pictures: take channels = \"rgb\" in [data]",
                    _ => "; take the sizes of that network in [network]",
                };
                return Err(wrong(format!(
                    "`{prefix}{}` has shape {:?}, and this network's is {:?}{remedy}",
                    entry.name,
                    tensor.size(),
                    entry.shape
                )));
            }
            if let Some(what) = unusable(&tensor, &entry.name)? {
                return Err(wrong(format!(
                    "`{prefix}{}` {what}; take another file, this one is of no network that works",
                    entry.name
                )));
            }
            taken.push(tensor);
        }
        if !missing.is_empty() {
            let all = entries.len();
            return Err(wrong(format!(
                "has no weights for {} of the {all} tensors of this network: {}; take the network that the file is of in [network]",
                missing.len(),
                some(&missing)
            )));
        }
        let is_classifier = |name: &String| {
            let own = name.strip_prefix(&prefix).unwrap_or(name);
            CLASSIFIERS.iter().any(|part| own.starts_with(part) || name.starts_with(part))
        };
        let (passed_over, others): (Vec<String>, Vec<String>) = named.into_keys().partition(is_classifier);
        if !others.is_empty() {
            let names: Vec<&str> = others.iter().map(String::as_str).collect();
            return Err(wrong(format!(
                "is of another network: it has {} tensors that this one has not: {}; take the network that the file is of in [network]",
                others.len(),
                some(&names)
            )));
        }
        Ok(Self { tensors: taken, passed_over })
    }
}

/// What no weight of a network is.
fn unusable(tensor: &Tensor, name: &str) -> Result<Option<&'static str>> {
    if !matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) {
        return Ok(Some("holds whole numbers"));
    }
    if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Ok(Some("has numbers that are NaN or infinite"));
    }
    let negative = name.ends_with("running_var") && tensor.f_lt(0.0)?.f_any()?.f_int64_value(&[])? != 0;
    Ok(negative.then_some("has variances below 0"))
}

/// Without counters of batches, which nothing reads, and with timm's names for torchvision's.
fn renamed(tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let of_torchvision = tensors.keys().any(|name| name.ends_with("conv_proj.weight"));
    let tensors = tensors.into_iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    tensors
        .map(|(name, tensor)| {
            let name = if of_torchvision {
                OF_TORCHVISION.iter().fold(name, |name, (theirs, ours)| name.replace(theirs, ours))
            } else {
                name
            };
            (name, tensor)
        })
        .collect()
}

/// What stands before all names, which is found by that of the first entry.
fn prefix(named: &BTreeMap<String, Tensor>, entries: &[&Entry]) -> std::result::Result<String, String> {
    let Some(first) = entries.first() else { return Ok(String::new()) };
    let before = |name: &String| {
        let rest = name.strip_suffix(first.name.as_str())?;
        (rest.is_empty() || rest.ends_with('.')).then(|| rest.to_owned())
    };
    // `layer1.0.conv1.weight` ends as `conv1.weight` does: the network's own is the one with most entries behind it.
    let fits = |prefix: &String| {
        entries.iter().filter(|entry| named.contains_key(&format!("{prefix}{}", entry.name))).count()
    };
    let all: Vec<(usize, String)> =
        named.keys().filter_map(before).map(|prefix| (fits(&prefix), prefix)).collect();
    let Some(most) = all.iter().map(|(count, _)| *count).max() else { return Ok(String::new()) };
    let mut best = all.into_iter().filter(|(count, _)| *count == most).map(|(_, prefix)| prefix);
    match (best.next(), best.next()) {
        (Some(one), Some(other)) if !one.is_empty() => Err(format!(
            "has weights of several networks, `{one}` and `{other}`; save the one that is meant to a file of its own"
        )),
        (Some(one), _) => Ok(one),
        (None, _) => Ok(String::new()),
    }
}

/// The first of some names.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
