//! Tensors in safetensors files, written whole or not at all, and read with a check of every name and shape.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, View};
use tch::{Device, Kind, Tensor};

use crate::{Error, Layout, Params, Result, io};

/// Text stored beside the tensors.
pub type Metadata = BTreeMap<String, String>;

/// Writes named tensors, in the order of their names.
///
/// # Errors
/// When a tensor's element type has no place in the format, or the file cannot be written.
pub fn save_tensors(path: &Path, tensors: &[(String, Tensor)], metadata: &Metadata) -> Result<()> {
    let views = tensors.iter().map(|(name, tensor)| Ok((name.as_str(), Stored::new(path, name, tensor)?)));
    let views: Vec<_> = views.collect::<Result<_>>()?;
    let metadata: HashMap<String, String> = metadata.clone().into_iter().collect();
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let bytes = safetensors::serialize(views, metadata)
        .map_err(|error| Error::Corrupt { path: path.to_owned(), message: error.to_string() })?;
    io::write_atomically(path, &bytes)
}

/// Reads all tensors of a file onto a device.
///
/// # Errors
/// When the file is absent, truncated or not in this format.
pub fn load_tensors(path: &Path, device: Device) -> Result<(BTreeMap<String, Tensor>, Metadata)> {
    let bytes = fs_err::read(path).map_err(|error| {
        let cause = std::io::Error::new(
            error.kind(),
            std::error::Error::source(&error).map_or(String::new(), ToString::to_string),
        );
        Error::io(path, cause)
    })?;
    let corrupt = |message: String| Error::Corrupt { path: path.to_owned(), message };
    let damaged = |error| corrupt(format!("not a whole safetensors file: {error}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let kind = kind_of(view.dtype())
            .ok_or_else(|| corrupt(format!("`{name}` has elements of type {:?}", view.dtype())))?;
        let shape: Vec<i64> = view.shape().iter().map(|d| *d as i64).collect();
        tensors.insert(name, Tensor::f_from_data_size(view.data(), &shape, kind)?.f_to_device(device)?);
    }
    Ok((tensors, metadata))
}

/// Writes parameters.
///
/// # Errors
/// As [`save_tensors`].
pub fn save(path: &Path, params: &Params, metadata: &Metadata) -> Result<()> {
    let tensors: Vec<_> =
        params.iter().map(|(entry, leaf)| (entry.name.clone(), leaf.shallow_clone())).collect();
    save_tensors(path, &tensors, metadata)
}

/// Reads parameters of a layout, in the element type they were written in.
///
/// # Errors
/// When the file is damaged, or its names or shapes are not the layout's: the message lists what is missing, what is too
/// much, and which shapes differ.
pub fn load(path: &Path, layout: &Arc<Layout>, device: Device) -> Result<(Params, Metadata)> {
    let (mut tensors, metadata) = load_tensors(path, device)?;
    let params = take_params(path, layout, "", &mut tensors)?;
    if let Some(name) = tensors.keys().next() {
        let message = format!(
            "is of another network: it has `{name}`{}, which this one has not",
            and_more(tensors.len())
        );
        return Err(Error::Incompatible { path: path.to_owned(), message });
    }
    Ok((params, metadata))
}

/// Takes the tensors named `prefix` + the layout's names out of what [`load_tensors`] read.
///
/// # Errors
/// When one is missing or has another shape.
pub fn take_params(
    path: &Path,
    layout: &Arc<Layout>,
    prefix: &str,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<Params> {
    let incompatible = |message| Error::Incompatible { path: path.to_owned(), message };
    let name = |entry: &crate::Entry| format!("{prefix}{}", entry.name);
    let missing: Vec<_> =
        layout.entries().iter().map(name).filter(|name| !tensors.contains_key(name)).collect();
    if let Some(first) = missing.first() {
        return Err(incompatible(format!(
            "is of another network: it lacks `{first}`{}",
            and_more(missing.len())
        )));
    }
    let mut leaves = Vec::with_capacity(layout.len());
    for entry in layout.entries() {
        let Some(tensor) = tensors.remove(&name(entry)) else { continue };
        if tensor.size() != entry.shape {
            let message = format!(
                "is of another network: `{}` has shape {:?} there and {:?} here",
                name(entry),
                tensor.size(),
                entry.shape
            );
            return Err(incompatible(message));
        }
        leaves.push(tensor);
    }
    Params::new(layout.clone(), leaves)
}

fn and_more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new(path: &Path, name: &str, tensor: &Tensor) -> Result<Self> {
        let dtype = dtype_of(tensor.kind()).ok_or_else(|| Error::Corrupt {
            path: path.to_owned(),
            message: format!(
                "`{name}` has elements of type {:?}, which the format cannot hold",
                tensor.kind()
            ),
        })?;
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let count = tensor.numel();
        let mut bytes = vec![0; count * tensor.kind().elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, count)?;
        Ok(Self { dtype, shape: tensor.size().iter().map(|d| *d as usize).collect(), bytes })
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

const KINDS: [(Kind, Dtype); 8] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(k, _)| *k == kind).map(|(_, dtype)| *dtype)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, d)| *d == dtype).map(|(kind, _)| *kind)
}
