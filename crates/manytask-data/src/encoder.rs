//! From columns of text to tensors of inputs, by statistics of the training part alone.

use manytask_tensor::{Kind, Tensor};
use serde::{Deserialize, Serialize};

use crate::inputs::{Inputs, Scale};
use crate::table::{Column, MISSING, level_value};
use crate::{Encoded, Error, OneHot, Result, Table};

#[cfg(test)]
mod tests;

/// How columns become inputs: fitted on the training part, kept with the model, applied to any table.
///
/// - A number `x` becomes `(x - mean) / std`; a constant column becomes 0; a missing number becomes the mean, and if the
///   training part had missing ones, a second input says so.
/// - A one-hot category never seen in the training part becomes all zeros; missing is a category if it was seen there.
/// - A category for an embedding becomes 1, 2, …; 0 stands for one not seen in the training part.
///
/// ```
/// # use manytask_data::{Table, TableSource};
/// use manytask_data::{Encoder, Inputs};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("t.csv");
/// # fs_err::write(&path, "x,c,y\n1,a,0\n3,b,1\n5,z,1\n")?;
/// # let table = Table::read(&TableSource::new(&path))?;
/// // x,c,y: 1,a,0 and 3,b,1 to train, 5,z,1 to test
/// let inputs = Inputs { one_hot: ["c"].into(), ..Inputs::numeric(["x"]) };
/// let encoder = Encoder::fit(&table, &inputs, &["y"], &[0, 1])?;
/// assert_eq!(encoder.input_names(), ["x", "c=a", "c=b"]);
/// let rows = encoder.encode(&table, &[1, 2])?.matrix()?;
/// assert_eq!(Vec::<f32>::try_from(rows.reshape([-1]))?, [1.0, 0.0, 1.0, 3.0, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    numeric: Vec<Number>,
    one_hot: Vec<Category>,
    embedding: Vec<Category>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    name: String,
    mean: f64,
    /// What a missing value is taken for, before scaling.
    fill: f64,
    /// 0 where the column is constant.
    inverse_std: f64,
    missing: Missing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Category {
    name: String,
    levels: Vec<String>,
    missing: Missing,
}

/// Whether the training part had missing values in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Missing {
    Seen,
    Unseen,
}

impl Encoder {
    /// Looks at the given rows (counted from 0) and no others. `reserved` columns are targets, weights and the like,
    /// which `rest` and patterns pass over.
    ///
    /// # Errors
    /// When a column is not there, named twice, reserved, or has text where numbers should be; when no row is given.
    pub fn fit(table: &Table, inputs: &Inputs, reserved: &[&str], rows: &[usize]) -> Result<Self> {
        let resolved = inputs.resolve(table, reserved)?;
        if rows.is_empty() {
            return Err(Error::config("the training part has no rows; check the split"));
        }
        let categories = |names: &[String]| -> Result<Vec<Category>> {
            names.iter().map(|name| Ok(Category::fit(table.column(name)?, rows))).collect()
        };
        Ok(Self {
            numeric: resolved
                .numeric
                .iter()
                .map(|name| Number::fit(table, table.column(name)?, inputs.scale, rows))
                .collect::<Result<_>>()?,
            one_hot: categories(&resolved.one_hot)?,
            embedding: categories(&resolved.embedding)?,
        })
    }

    /// The inputs of these rows (counted from 0), in their order. The table needs no other columns than the inputs.
    ///
    /// # Errors
    /// When an input column is not there or has text where a number should be.
    pub fn encode(&self, table: &Table, rows: &[usize]) -> Result<Encoded> {
        let width: usize = self.numeric.iter().map(Number::width).sum();
        let mut dense = vec![0.0_f32; rows.len() * width];
        let mut at = 0;
        for number in &self.numeric {
            number.encode(table, rows, &mut dense, width, at)?;
            at += number.width();
        }
        let shape = [rows.len() as i64, width as i64];
        let dense = Tensor::f_from_slice(&dense)?.f_reshape(shape)?;
        Ok(Encoded {
            dense,
            one_hot: self.encode_one_hot(table, rows)?,
            categorical: self.encode_embeddings(table, rows)?,
        })
    }

    /// The number of inputs that are no embeddings, `D`: numbers and one-hot categories.
    pub fn width(&self) -> i64 {
        let numbers: usize = self.numeric.iter().map(Number::width).sum();
        (numbers + self.one_hot.iter().map(Category::width).sum::<usize>()) as i64
    }

    /// The number of one-hot inputs, the last ones of these.
    pub fn one_hot_width(&self) -> i64 {
        self.one_hot.iter().map(Category::width).sum::<usize>() as i64
    }

    /// The names of these inputs: `age`, `age is missing`, `education=Bachelors`.
    pub fn input_names(&self) -> Vec<String> {
        let numbers = self.numeric.iter().flat_map(|number| {
            let indicator = (number.missing == Missing::Seen).then(|| format!("{} is missing", number.name));
            std::iter::once(number.name.clone()).chain(indicator)
        });
        let categories = self.one_hot.iter().flat_map(|category| {
            let missing =
                (category.missing == Missing::Seen).then(|| format!("{} is missing", category.name));
            category.levels.iter().map(|level| format!("{}={level}", category.name)).chain(missing)
        });
        numbers.chain(categories).collect()
    }

    /// For each embedding column the number of values it can take, with the 0 of unseen ones.
    pub fn cardinalities(&self) -> Vec<i64> {
        self.embedding.iter().map(|category| category.width() as i64 + 1).collect()
    }

    /// The names of the embedding columns.
    pub fn embedding_names(&self) -> Vec<&str> {
        self.embedding.iter().map(|category| category.name.as_str()).collect()
    }

    fn encode_one_hot(&self, table: &Table, rows: &[usize]) -> Result<Option<OneHot>> {
        if self.one_hot.is_empty() {
            return Ok(None);
        }
        let columns = self.one_hot.len();
        let width: usize = self.one_hot.iter().map(Category::width).sum();
        let mut places = vec![OneHot::NONE; rows.len() * columns];
        let mut first = 0;
        for (number, category) in self.one_hot.iter().enumerate() {
            let column = table.column(&category.name)?;
            let positions = category.positions(column);
            for (target, code) in places.chunks_mut(columns).zip(codes(column, rows)) {
                if let (Some(position), Some(place)) = (position(&positions, code), target.get_mut(number)) {
                    *place = (first + position) as i32;
                }
            }
            first += category.width();
        }
        OneHot::new(&places, columns as i64, width as i64).map(Some)
    }

    fn encode_embeddings(&self, table: &Table, rows: &[usize]) -> Result<Option<Tensor>> {
        if self.embedding.is_empty() {
            return Ok(None);
        }
        let columns = self.embedding.iter().map(|category| -> Result<Tensor> {
            let column = table.column(&category.name)?;
            let positions = category.positions(column);
            let number = |code| position(&positions, code).map_or(0, |position| position as i64 + 1);
            Ok(Tensor::f_from_slice(&codes(column, rows).map(number).collect::<Vec<i64>>())?)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Some(Tensor::f_stack(&columns, 1)?.f_to_kind(Kind::Int64)?))
    }
}

impl Number {
    fn fit(table: &Table, column: &Column, scale: Scale, rows: &[usize]) -> Result<Self> {
        let by_level = table.level_numbers(column)?;
        let values = || codes(column, rows).map(|code| level_value(&by_level, code)).filter(|x| !x.is_nan());
        let count = values().count();
        if count == 0 {
            let message = format!(
                "{}: column `{}` has no value in the training part; put it under `ignore`",
                table.path().display(),
                column.name()
            );
            return Err(Error::config(message));
        }
        let mean = values().sum::<f64>() / count as f64;
        let std = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64).sqrt();
        let (shift, inverse_std) = match scale {
            Scale::Raw => (0.0, 1.0),
            Scale::Standard if std > mean.abs() * 1e-12 => (mean, std.recip()),
            Scale::Standard => (mean, 0.0),
        };
        let missing = if count < rows.len() { Missing::Seen } else { Missing::Unseen };
        Ok(Self { name: column.name().to_owned(), mean: shift, fill: mean, inverse_std, missing })
    }

    fn width(&self) -> usize {
        1 + usize::from(self.missing == Missing::Seen)
    }

    fn encode(
        &self,
        table: &Table,
        rows: &[usize],
        dense: &mut [f32],
        width: usize,
        at: usize,
    ) -> Result<()> {
        let column = table.column(&self.name)?;
        let scaled = |x: f64| ((x - self.mean) * self.inverse_std) as f32;
        let by_level: Vec<f32> = table.level_numbers(column)?.into_iter().map(scaled).collect();
        let fill = scaled(self.fill);
        for (target, code) in dense.chunks_mut(width.max(1)).zip(codes(column, rows)) {
            let value = by_level.get(code as usize);
            if let Some(cell) = target.get_mut(at) {
                *cell = *value.unwrap_or(&fill);
            }
            if let (Missing::Seen, None, Some(cell)) = (self.missing, value, target.get_mut(at + 1)) {
                *cell = 1.0;
            }
        }
        Ok(())
    }
}

impl Category {
    fn fit(column: &Column, rows: &[usize]) -> Self {
        let mut seen = vec![false; column.levels().len()];
        let mut missing = Missing::Unseen;
        for code in codes(column, rows) {
            match seen.get_mut(code as usize) {
                Some(seen) => *seen = true,
                None => missing = Missing::Seen,
            }
        }
        let levels =
            column.levels().iter().zip(seen).filter(|(_, seen)| *seen).map(|(level, _)| level.clone());
        let mut levels: Vec<String> = levels.collect();
        levels.sort_unstable();
        Self { name: column.name().to_owned(), levels, missing }
    }

    fn width(&self) -> usize {
        self.levels.len() + usize::from(self.missing == Missing::Seen)
    }

    /// For each level of a column, and last for a missing value, the position among this category's values.
    fn positions(&self, column: &Column) -> Vec<Option<usize>> {
        let missing = (self.missing == Missing::Seen).then_some(self.levels.len());
        let known = column.levels().iter().map(|level| self.levels.binary_search(level).ok());
        known.chain([missing]).collect()
    }
}

/// Rows beyond the table's end count as missing.
fn codes<'a>(column: &'a Column, rows: &'a [usize]) -> impl Iterator<Item = u32> + 'a {
    rows.iter().map(|&row| column.codes().get(row).copied().unwrap_or(MISSING))
}

fn position(positions: &[Option<usize>], code: u32) -> Option<usize> {
    positions.get(code as usize).or(positions.last()).copied().flatten()
}
