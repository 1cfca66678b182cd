use manytask_data::Inputs;
use manytask_nn::layers::{Embedding, Periodic, PeriodicConfig};
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Params, Tensor, WHOLE, Within as _};

use crate::{Error, Result};

/// The form and the sizes of what comes in, see [`Inputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSizes {
    /// Columns of a table.
    Features {
        /// Numbers in each row, one-hot categories included.
        dense: i64,
        /// Which of them, counted from 0, are numbers of the table and not indicators, bins or categories.
        numbers: Vec<i64>,
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
        Self::Features { dense, numbers: (0..dense).collect(), categories: Vec::new() }
    }

    /// The number of values of each column that is embedded.
    pub fn categories(&self) -> &[i64] {
        match self {
            Self::Features { categories, .. } => categories,
            Self::Images { .. } | Self::Vectors(_) => &[],
        }
    }

    /// Which numbers of a row are numbers of the data, which can be embedded; none of images.
    pub fn numbers_in_row(&self) -> Vec<i64> {
        match self {
            Self::Features { numbers, .. } => numbers.clone(),
            Self::Images { .. } => Vec::new(),
            Self::Vectors(width) => (0..*width).collect(),
        }
    }

    /// The shape of a row as it comes into a trunk, `[D]` or `[C, H, W]`, where each embedded column becomes `embedding`
    /// numbers and numbers stay as they are.
    pub fn shape(&self, embedding: i64) -> Vec<i64> {
        match self {
            Self::Features { dense, categories, .. } => vec![dense + embedding * categories.len() as i64],
            Self::Images { channels, height, width } => vec![*channels, *height, *width],
            Self::Vectors(width) => vec![*width],
        }
    }
}

/// How columns of a table become numbers of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Encoding {
    /// Numbers for each column of categories that is embedded.
    pub embedding: i64,
    /// What becomes of numbers; left out: they stay.
    pub periodic: Option<PeriodicConfig>,
}

impl From<i64> for Encoding {
    /// With numbers as they are.
    fn from(embedding: i64) -> Self {
        Self { embedding, periodic: None }
    }
}

/// What turns rows of inputs into one tensor: features with an embedding for each column of categories and, where it is asked for, of
/// each number; images; or vectors. All tasks share it, whatever the architecture.
#[derive(Debug)]
pub struct InputEncoder {
    embeddings: Vec<Embedding>,
    numbers: Option<EmbeddedNumbers>,
    shape: Vec<i64>,
}

/// Numbers of a row that are embedded, and the others, which follow them.
#[derive(Debug)]
struct EmbeddedNumbers {
    periodic: Periodic,
    numbers: Vec<i64>,
    others: Vec<i64>,
}

impl EmbeddedNumbers {
    fn new(root: &mut Builder<'_>, inputs: &InputSizes, settings: &PeriodicConfig) -> Result<Self> {
        let numbers = inputs.numbers_in_row();
        if numbers.is_empty() {
            return Err(Error::setting(
                WHOLE,
                "no input is a number: there is nothing to embed",
                "name columns under `inputs.numeric` with another `scale` than \"piecewise\", or leave `periodic` out",
            ));
        }
        let periodic = Periodic::new(&mut root.scope("periodic"), numbers.len() as i64, settings)?;
        let width = inputs.shape(0).first().copied().unwrap_or_default();
        let others = (0..width).filter(|place| !numbers.contains(place)).collect();
        Ok(Self { periodic, numbers, others })
    }

    fn forward(&self, params: &Params, rows: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let of = |places: &[i64]| -> Result<Tensor> {
            Ok(rows.f_index_select(1, &Tensor::f_from_slice(places)?.f_to_device(rows.device())?)?)
        };
        let embedded = self.periodic.forward(params, &of(&self.numbers)?, cx)?;
        if self.others.is_empty() {
            Ok(embedded)
        } else {
            Ok(Tensor::f_cat(&[embedded, of(&self.others)?], 1)?)
        }
    }
}

impl InputEncoder {
    /// Adds `embedding0.weight …` for columns of categories, and `periodic.…` where numbers are embedded.
    ///
    /// # Errors
    /// When a size is below 1, or numbers are to be embedded where there are none.
    pub fn new(root: &mut Builder<'_>, inputs: &InputSizes, encoding: &Encoding) -> Result<Self> {
        let embedding = encoding.embedding;
        let embeddings = inputs.categories().iter().enumerate().map(|(column, &values)| {
            Ok(Embedding::new(&mut root.scope(format!("embedding{column}")), values, embedding)?)
        });
        let embeddings = embeddings.collect::<Result<Vec<_>>>()?;
        let mut shape = inputs.shape(embedding);
        let numbers = match &encoding.periodic {
            None => None,
            Some(settings) => {
                let numbers = EmbeddedNumbers::new(root, inputs, settings).within("periodic")?;
                for width in &mut shape {
                    *width += numbers.numbers.len() as i64 * (settings.size - 1);
                }
                Some(numbers)
            }
        };
        Ok(Self { embeddings, numbers, shape })
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
        let rows = match &self.numbers {
            None => rows,
            Some(numbers) => numbers.forward(params, &rows, cx)?,
        };
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

#[cfg(test)]
mod tests {
    use manytask_data::Encoded;
    use manytask_tensor::random::Key;
    use manytask_tensor::{Layout, Owner};

    use super::*;
    use crate::testing::F64;

    #[test]
    fn numbers_are_embedded_and_what_is_none_follows_as_it_is() {
        let sizes = InputSizes::Features { dense: 4, numbers: vec![0, 2], categories: vec![3] };
        let periodic = PeriodicConfig { size: 5, scale: 0.5, ..PeriodicConfig::default() };
        let mut layout = Layout::builder();
        let encoding = Encoding { embedding: 2, periodic: Some(periodic) };
        let encoder = InputEncoder::new(&mut Builder::new(&mut layout), &sizes, &encoding).unwrap();
        let layout = layout.build();
        assert!(layout.entries().iter().all(|entry| entry.owner == Owner::Shared));
        let params = layout.init(1, F64.0, F64.1).unwrap();
        let dense = Key::new(1, "x").normal(&[3, 4], F64.0, F64.1).unwrap();
        let inputs = Inputs::Features(Encoded {
            categorical: Some(Tensor::from_slice(&[0_i64, 1, 2]).reshape([3, 1])),
            ..Encoded::numbers(dense.shallow_clone())
        });
        let rows = encoder.forward(&params, &inputs, &mut Context::eval()).unwrap();
        assert_eq!((rows.size().as_slice(), encoder.shape()), (&[3, 2 * 5 + 2 + 2][..], &[14][..]));
        assert_eq!(rows.narrow(1, 10, 1), dense.narrow(1, 1, 1), "an indicator stays");
        assert_eq!(rows.narrow(1, 11, 1), dense.narrow(1, 3, 1), "an indicator stays");
        let of_two = Tensor::cat(&[dense.narrow(1, 0, 1), dense.narrow(1, 2, 1)], 1);
        let mut alone = Layout::builder();
        let module = Periodic::new(&mut Builder::new(&mut alone), 2, &periodic).unwrap();
        let of = |name: &str| params.named(&format!("periodic.{name}")).unwrap().reshape([-1]);
        let flat = Tensor::cat(&[of("frequencies"), of("weight"), of("bias")], 0);
        let own = alone.build().init(1, F64.0, F64.1).unwrap().unflatten(&flat).unwrap();
        let expected = module.forward(&own, &of_two, &mut Context::eval()).unwrap();
        assert!((rows.narrow(1, 0, 10) - expected).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn where_no_input_is_a_number_none_can_be_embedded() {
        let encoding = Encoding { embedding: 8, periodic: Some(PeriodicConfig::default()) };
        for sizes in [
            InputSizes::Features { dense: 3, numbers: Vec::new(), categories: Vec::new() },
            InputSizes::Images { channels: 1, height: 8, width: 8 },
        ] {
            let error = InputEncoder::new(&mut Builder::new(&mut Layout::builder()), &sizes, &encoding);
            let message = error.unwrap_err().to_string();
            assert!(message.contains("no input is a number"), "{message}");
        }
    }
}
