//! Tensors in safetensors files, written whole or not at all, and read with a check of every name and shape.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::random::elements;
use crate::{Error, Layout, Params, Result, io};

mod writer;

/// Text stored beside the tensors.
pub type Metadata = BTreeMap<String, String>;

/// Writes named tensors; the same tensors and text give the same bytes, whatever their order.
///
/// ```
/// use manytask_tensor::{checkpoint, Device, Tensor};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("state.safetensors");
/// let text = checkpoint::Metadata::from([("step".to_owned(), "7".to_owned())]);
/// checkpoint::save_tensors(&path, &[("momentum".to_owned(), Tensor::from_slice(&[1.0, 2.0]))], &text)?;
/// let (tensors, found) = checkpoint::load_tensors(&path, Device::Cpu)?;
/// assert_eq!(tensors["momentum"], Tensor::from_slice(&[1.0, 2.0]));
/// assert_eq!(found, text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When a tensor's element type or a name has no place in the format, a name comes twice, or the file cannot be written.
pub fn save_tensors(path: &Path, tensors: &[(String, Tensor)], metadata: &Metadata) -> Result<()> {
    let header = writer::Header::new(path, tensors, metadata)?;
    io::write_atomically_with(path, |file| header.write(path, tensors, file))
}

/// What [`save_tensors`] writes, for a file with more in it; errors name `path`.
///
/// # Errors
/// As [`save_tensors`], but for the file.
pub fn to_bytes(path: &Path, tensors: &[(String, Tensor)], metadata: &Metadata) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    writer::Header::new(path, tensors, metadata)?.write(path, tensors, &mut bytes)?;
    Ok(bytes)
}

/// Reads all tensors of a file onto a device.
///
/// # Errors
/// When the file is absent, truncated or not in this format.
pub fn load_tensors(path: &Path, device: Device) -> Result<(BTreeMap<String, Tensor>, Metadata)> {
    from_bytes(path, &io::read(path)?, device)
}

/// As [`load_tensors`], from what [`to_bytes`] gave; errors name `path`.
///
/// # Errors
/// When the bytes are cut off or not in this format.
pub fn from_bytes(path: &Path, bytes: &[u8], device: Device) -> Result<(BTreeMap<String, Tensor>, Metadata)> {
    let corrupt = |message: String| Error::Corrupt { path: path.to_owned(), message };
    let damaged = |error| corrupt(format!("not a whole safetensors file: {error}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let kind = kind_of(view.dtype())
            .ok_or_else(|| corrupt(format!("`{name}` has elements of type {:?}", view.dtype())))?;
        let shape: Option<Vec<i64>> = view.shape().iter().map(|d| i64::try_from(*d).ok()).collect();
        let shape = shape.filter(|shape| elements(shape).is_ok());
        let shape = shape.ok_or_else(|| corrupt(format!("`{name}` has shape {:?}", view.shape())))?;
        // Any other byte is no truth value, and undefined behaviour in libtorch's kernels.
        if kind == Kind::Bool && view.data().iter().any(|byte| *byte > 1) {
            return Err(corrupt(format!("`{name}` has truth values that are neither 0 nor 1")));
        }
        let tensor =
            tensor_of(view.data(), &shape, kind).map_err(|error| corrupt(format!("`{name}`: {error}")))?;
        tensors.insert(name, tensor.f_to_device(device)?);
    }
    Ok((tensors, metadata))
}

/// A tensor of bytes. The binding's own fills it with zeros first, for which libtorch wakes its threads.
fn tensor_of(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor> {
    let tensor = Tensor::f_empty(shape, (kind, Device::Cpu))?;
    if tensor.numel() * kind.elt_size_in_bytes() != bytes.len() {
        let message = format!("{} bytes for shape {shape:?} of {kind:?}", bytes.len());
        return Err(Error::Torch { message });
    }
    if !bytes.is_empty() {
        #[expect(unsafe_code, reason = "the binding gives the memory of a tensor as a pointer only")]
        // SAFETY: the new tensor is contiguous on the processor and has as many bytes, which nobody else has a handle to.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), tensor.data_ptr().cast::<u8>(), bytes.len());
        }
    }
    Ok(tensor)
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
/// ```
/// use manytask_tensor::{checkpoint, Device, Error, Init, Kind, Layout, Role};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("params.safetensors");
/// let mut layout = Layout::builder();
/// layout.add("w", &[2], Init::Ones, Role::Weight)?;
/// let params = layout.build().init(0, Kind::Float, Device::Cpu)?;
/// checkpoint::save(&path, &params, &checkpoint::Metadata::new())?;
/// let (found, _) = checkpoint::load(&path, params.layout(), Device::Cpu)?;
/// assert_eq!(found.max_difference(&params)?, 0.0);
/// let other = Layout::builder().build();
/// assert!(matches!(checkpoint::load(&path, &other, Device::Cpu), Err(Error::Incompatible { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

const KINDS: [(Kind, Dtype); 10] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Int16, Dtype::I16),
    (Kind::Int8, Dtype::I8),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(k, _)| *k == kind).map(|(_, dtype)| *dtype)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, d)| *d == dtype).map(|(kind, _)| *kind)
}
