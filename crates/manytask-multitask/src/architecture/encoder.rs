use manytask_data::Inputs;
use manytask_nn::layers::Embedding;
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Params, Tensor, WHOLE};

use crate::{Error, Result};

/// The form and the sizes of what comes in, see [`Inputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSizes {
    /// Columns of a table.
    Features {
        /// Numbers in each row, one-hot categories included.
        dense: i64,
        /// The number of values of each column that is embedded.
        categories: Vec<i64>,
    },
    /// Images.
    Images {
        /// Channels.
        channels: i64,
        /// Rows of pixels.
        height: i64,
        /// Columns of pixels.
        width: i64,
    },
    /// Vectors of so many numbers.
    Vectors(i64),
}

impl InputSizes {
    /// Features that are so many numbers and nothing else.
    pub fn numbers(dense: i64) -> Self {
        Self::Features { dense, categories: Vec::new() }
    }

    /// The number of values of each column that is embedded.
    pub fn categories(&self) -> &[i64] {
        match self {
            Self::Features { categories, .. } => categories,
            Self::Images { .. } | Self::Vectors(_) => &[],
        }
    }

    /// The shape of a row as it comes into a trunk, `[D]` or `[C, H, W]`, where each embedded column becomes `embedding`
    /// numbers.
    pub fn shape(&self, embedding: i64) -> Vec<i64> {
        match self {
            Self::Features { dense, categories } => vec![dense + embedding * categories.len() as i64],
            Self::Images { channels, height, width } => vec![*channels, *height, *width],
            Self::Vectors(width) => vec![*width],
        }
    }
}

/// What turns rows of inputs into one tensor: features with an embedding for each column of categories, images, or vectors. All
/// tasks share it, whatever the architecture.
#[derive(Debug)]
pub struct InputEncoder {
    embeddings: Vec<Embedding>,
    shape: Vec<i64>,
}

impl InputEncoder {
    /// Adds `embedding0.weight …` for columns of categories, which become `embedding` numbers each.
    ///
    /// # Errors
    /// When a size is below 1.
    pub fn new(root: &mut Builder<'_>, inputs: &InputSizes, embedding: i64) -> Result<Self> {
        let embeddings = inputs.categories().iter().enumerate().map(|(column, &values)| {
            Ok(Embedding::new(&mut root.scope(format!("embedding{column}")), values, embedding)?)
        });
        let embeddings = embeddings.collect::<Result<Vec<_>>>()?;
        Ok(Self { embeddings, shape: inputs.shape(embedding) })
    }

    /// How many columns are embedded, each with one entry of the layout.
    pub fn columns(&self) -> usize {
        self.embeddings.len()
    }

    /// The shape of a row, `[D]` or `[C, H, W]`.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Some rows as one tensor of the parameters' kind, `[B, D]` or `[B, C, H, W]`.
    ///
    /// # Errors
    /// When the inputs are not those that it was built for.
    pub fn forward(&self, params: &Params, inputs: &Inputs, cx: &mut Context) -> Result<Tensor> {
        let rows = inputs.tensor(params.kind())?;
        let Some(categories) = inputs.features().and_then(|features| features.categorical.as_ref()) else {
            return Ok(rows);
        };
        if categories.size().get(1).copied() != Some(self.embeddings.len() as i64) {
            return Err(Error::setting(
                WHOLE,
                format!("{:?} categories for {} embedded columns", categories.size(), self.embeddings.len()),
                "give the inputs that the network was built for",
            ));
        }
        let mut parts = vec![rows];
        for (column, embedding) in self.embeddings.iter().enumerate() {
            parts.push(embedding.forward(params, &categories.f_select(1, column as i64)?, cx)?);
        }
        Ok(Tensor::f_cat(&parts, 1)?)
    }
}
