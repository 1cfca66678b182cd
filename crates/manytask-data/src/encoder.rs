//! From columns of text to tensors of inputs, by statistics of the training split alone.

mod category;
mod number;
mod shape;
#[cfg(test)]
mod tests;

use manytask_tensor::{Kind, Tensor};
use serde::{Deserialize, Serialize};

use self::category::Category;
use self::number::Number;
pub(crate) use self::number::{BINS, CLIP};
use crate::input_columns::{InputColumns, Resolved};
use crate::report::capped;
use crate::table::{Column, MISSING};
use crate::{Encoded, Error, InputCounts, Note, OneHot, Result, Table};

/// How columns become inputs: fitted on the training split, kept with the model, applied to any table.
///
/// - A number `x` becomes `(x - mean) / std`, both in double precision; a constant column becomes 0; a missing number becomes
///   the mean, and if the training split had missing ones, a second input says so. Numbers far outside the training range
///   are taken for a bound, see [`InputColumns::clip`].
/// - Categories are compared by value: `1` and `1.0`, `True` and `TRUE` are one. In a column in which a number has leading
///   zeros they are codes: `007` and `7` are two.
/// - A one-hot category never seen in the training split becomes all zeros; missing is a category if it was seen there.
/// - A category for an embedding becomes 1, 2, …; 0 stands for one not seen in the training split.
///
/// ```
/// # use manytask_data::{Table, TableSource};
/// use manytask_data::{Encoder, InputColumns};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("t.csv");
/// # fs_err::write(&path, "x,c,y\n1,a,0\n3,b,1\n5,z,1\n")?;
/// # let table = Table::read(&TableSource::new(&path))?;
/// // x,c,y: 1,a,0 and 3,b,1 to train, 5,z,1 to test
/// let inputs = InputColumns { one_hot: ["c"].into(), ..InputColumns::numeric(["x"]) };
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

/// Whether the training split had missing values in a column.
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
    pub fn fit(table: &Table, inputs: &InputColumns, reserved: &[&str], rows: &[usize]) -> Result<Self> {
        let resolved = inputs.resolve(table, &reserved.iter().copied().collect())?;
        Self::fit_resolved(table, inputs, &resolved, rows)
    }

    /// As [`Encoder::fit`], of columns that were looked up before.
    pub(crate) fn fit_resolved(
        table: &Table,
        inputs: &InputColumns,
        resolved: &Resolved,
        rows: &[usize],
    ) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::config("split", "the training split has no rows; check the split"));
        }
        let categories = |names: &[String]| -> Result<Vec<Category>> {
            names.iter().map(|name| Ok(Category::fit(table, table.column(name)?, rows))).collect()
        };
        Ok(Self {
            numeric: resolved
                .numeric
                .iter()
                .map(|name| Number::fit(table, table.column(name)?, inputs, rows))
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
        table.read_columns(self.columns())?;
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

    /// What these rows have that the training split had not: numbers far outside its range, categories, gaps. `what` is what
    /// the rows are called in the notes, such as `the test split`.
    ///
    /// # Errors
    /// Those of [`Encoder::encode`].
    pub fn review(&self, table: &Table, rows: &[usize], what: &str) -> Result<Vec<Note>> {
        let mut unseen = Vec::new();
        for category in self.one_hot.iter().chain(&self.embedding) {
            unseen.extend(category.review(table, rows, what)?);
        }
        let mut notes = capped(unseen, &format!("have values in {what} that were not seen in training"));
        let mut outside = Vec::new();
        for number in &self.numeric {
            outside.extend(number.review(table, rows, what)?);
        }
        notes.extend(capped(outside, &format!("have values in {what} unlike those of the training")));
        Ok(notes)
    }

    /// What is odd about the numbers of the training split.
    pub(crate) fn oddities(&self, table: &Table, rows: &[usize]) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        for number in &self.numeric {
            notes.extend(number.oddity(table, rows)?);
        }
        Ok(capped(notes, "have odd numbers in the training split"))
    }

    /// The number of inputs that are no embeddings, `D`: numbers and one-hot categories.
    pub fn width(&self) -> i64 {
        let numbers: usize = self.numeric.iter().map(Number::width).sum();
        (numbers + self.one_hot.iter().map(Category::width).sum::<usize>()) as i64
    }

    /// The places of the inputs, counted from 0, that are numbers of the table as they are or rescaled, and not indicators, bins or
    /// categories.
    pub fn number_places(&self) -> Vec<i64> {
        let (mut places, mut at) = (Vec::new(), 0);
        for number in &self.numeric {
            places.extend(number.is_one_number().then_some(at));
            at += number.width() as i64;
        }
        places
    }

    /// The number of one-hot inputs, the last ones of these.
    pub fn one_hot_width(&self) -> i64 {
        self.one_hot.iter().map(Category::width).sum::<usize>() as i64
    }

    /// The names of these inputs: `age`, `age is missing`, `education=Bachelors`.
    pub fn input_names(&self) -> Vec<String> {
        let numbers = self.numeric.iter().flat_map(|number| {
            let indicator = (number.missing == Missing::Seen).then(|| format!("{} is missing", number.name));
            number.names().into_iter().chain(indicator)
        });
        let categories = self.one_hot.iter().flat_map(|category| {
            let missing =
                (category.missing == Missing::Seen).then(|| format!("{} is missing", category.name));
            category.levels.iter().map(|level| format!("{}={level}", category.name)).chain(missing)
        });
        numbers.chain(categories).collect()
    }

    /// The columns of the table that are inputs, each once.
    pub fn columns(&self) -> Vec<&str> {
        let numeric = self.numeric.iter().map(|number| number.name.as_str());
        let categories = self.one_hot.iter().chain(&self.embedding).map(|category| category.name.as_str());
        let mut names: Vec<&str> = Vec::new();
        for name in numeric.chain(categories) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// How many columns there are of each form.
    pub(crate) fn counts(&self) -> InputCounts {
        InputCounts {
            numeric: self.numeric.len(),
            one_hot: self.one_hot.len(),
            one_hot_width: self.one_hot_width() as usize,
            embedding: self.embedding.len(),
            image: Vec::new(),
        }
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
        let mut indices = vec![OneHot::NONE; rows.len() * columns];
        let mut first = 0;
        for (number, category) in self.one_hot.iter().enumerate() {
            let column = table.column(&category.name)?;
            let positions = category.positions(column);
            for (target, code) in indices.chunks_mut(columns).zip(codes(column, rows)) {
                if let (Some(position), Some(place)) = (position(&positions, code), target.get_mut(number)) {
                    *place = (first + position) as i32;
                }
            }
            first += category.width();
        }
        OneHot::new(&indices, columns as i64, width as i64).map(Some)
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

/// Rows beyond the table's end count as missing.
fn codes<'a>(column: &'a Column, rows: &'a [usize]) -> impl Iterator<Item = u32> + Clone + 'a {
    rows.iter().map(|&row| column.codes().get(row).copied().unwrap_or(MISSING))
}

fn position(positions: &[Option<usize>], code: u32) -> Option<usize> {
    positions.get(code as usize).or(positions.last()).copied().flatten()
}
