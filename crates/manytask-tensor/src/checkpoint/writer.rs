//! The safetensors writer. The one of crate `safetensors` writes its text in a random order, and needs all bytes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorInfo};
use serde::Serialize;
use tch::{Device, Tensor};

use super::{Metadata, dtype_of};
use crate::{Error, Result};

/// The name that the format keeps for the text.
const RESERVED: &str = "__metadata__";

/// The text before the tensors, and the order in which they follow it.
pub(super) struct Header {
    json: Vec<u8>,
    order: Vec<usize>,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a Metadata,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

impl Header {
    pub(super) fn new(path: &Path, tensors: &[(String, Tensor)], metadata: &Metadata) -> Result<Self> {
        let refused = |message| Error::io(path, io::Error::new(io::ErrorKind::InvalidInput, message));
        let mut names = BTreeSet::from([RESERVED]);
        let mut order = Vec::with_capacity(tensors.len());
        for (i, (name, tensor)) in tensors.iter().enumerate() {
            if !names.insert(name) {
                return Err(refused(format!("the name `{name}` is taken")));
            }
            if !tensor.defined() {
                return Err(refused(format!("`{name}` holds no tensor")));
            }
            let kind = tensor.kind();
            let dtype = dtype_of(kind).ok_or_else(|| {
                refused(format!("`{name}` has elements of type {kind:?}, which the format cannot hold"))
            })?;
            order.push((std::cmp::Reverse(alignment(dtype)), dtype, name, i));
        }
        // Widest elements first, so that each lies at a multiple of its size; then by name.
        order.sort_unstable();
        let mut start = 0;
        let mut infos = BTreeMap::new();
        for (_, dtype, name, i) in &order {
            let Some((_, tensor)) = tensors.get(*i) else { continue };
            let shape: Vec<usize> = tensor.size().iter().map(|d| *d as usize).collect();
            let end = start + shape.iter().product::<usize>() * alignment(*dtype);
            infos.insert(name.as_str(), TensorInfo { dtype: *dtype, shape, data_offsets: (start, end) });
            start = end;
        }
        let mut json = serde_json::to_vec(&Json { metadata, tensors: infos })
            .map_err(|error| refused(error.to_string()))?;
        json.resize(json.len().next_multiple_of(8), b' ');
        Ok(Self { json, order: order.into_iter().map(|(.., i)| i).collect() })
    }

    pub(super) fn write(
        &self,
        path: &Path,
        tensors: &[(String, Tensor)],
        file: &mut dyn Write,
    ) -> Result<()> {
        let failed = |source| Error::io(path, source);
        file.write_all(&(self.json.len() as u64).to_le_bytes()).map_err(failed)?;
        file.write_all(&self.json).map_err(failed)?;
        let mut bytes = Vec::new();
        for (_, tensor) in self.order.iter().filter_map(|i| tensors.get(*i)) {
            let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
            let count = tensor.numel();
            bytes.resize(count * tensor.kind().elt_size_in_bytes(), 0);
            tensor.f_copy_data_u8(&mut bytes, count)?;
            file.write_all(&bytes).map_err(failed)?;
        }
        Ok(())
    }
}

/// The size of an element in bytes.
fn alignment(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}
