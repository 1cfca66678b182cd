use std::collections::BTreeMap;

use manytask_tensor::Tensor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// What an aggregator saves: what serde writes of its memory, and tensors by name.
#[derive(Debug)]
pub struct State {
    /// Names and numbers, with all their bits.
    pub memory: Value,
    /// Tensors of the size of tasks × parameters.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Default for State {
    fn default() -> Self {
        Self { memory: Value::Object(Map::new()), tensors: BTreeMap::new() }
    }
}

impl State {
    /// A memory without tensors.
    ///
    /// # Errors
    /// When serde cannot write it.
    pub fn of(memory: &impl Serialize) -> Result<Self> {
        Ok(Self { memory: value(memory)?, ..Self::default() })
    }

    /// Takes back what [`State::of`] wrote, into a memory for the same tasks.
    ///
    /// # Errors
    /// When a name is missing or a length differs.
    pub fn read_into<M: Serialize + DeserializeOwned>(&self, aggregator: &str, memory: &mut M) -> Result<()> {
        let refuse = |message: String| Error::State { aggregator: aggregator.into(), message };
        fits(&self.memory, &value(memory)?, "").map_err(refuse)?;
        *memory = M::deserialize(&self.memory).map_err(|error| refuse(error.to_string()))?;
        Ok(())
    }

    /// A state of several parts, each under its name.
    pub fn join(parts: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        let mut whole = Self::default();
        let mut memory = Map::new();
        for (part, state) in parts {
            memory.insert(part.to_owned(), state.memory);
            let tensors = state.tensors.into_iter();
            whole.tensors.extend(tensors.map(|(name, tensor)| (format!("{part}.{name}"), tensor)));
        }
        Self { memory: Value::Object(memory), ..whole }
    }

    /// A part of what [`State::join`] made; an empty one where there is none.
    #[must_use]
    pub fn part(&self, part: &str) -> Self {
        let memory = self.memory.get(part).cloned().unwrap_or_else(|| Self::default().memory);
        let own = |(name, tensor): (&String, &Tensor)| {
            let name = name.strip_prefix(part)?.strip_prefix('.')?;
            Some((name.to_owned(), tensor.shallow_clone()))
        };
        Self { memory, tensors: self.tensors.iter().filter_map(own).collect() }
    }

    /// A tensor of so many rows.
    ///
    /// # Errors
    /// When it is missing or of another number of rows.
    pub fn rows(&self, aggregator: &str, name: &str, rows: usize) -> Result<Tensor> {
        let found = self.tensors.get(name).filter(|tensor| tensor.size().first() == Some(&(rows as i64)));
        let missing = || Error::State {
            aggregator: aggregator.into(),
            message: format!("the saved state has no tensor `{name}` of {rows} rows"),
        };
        Ok(found.ok_or_else(missing)?.shallow_clone())
    }
}

fn value(memory: &impl Serialize) -> Result<Value> {
    serde_json::to_value(memory)
        .map_err(|error| Error::State { aggregator: "state".into(), message: error.to_string() })
}

/// Whether a saved value has the form of another: the same names, and lists of the same lengths.
fn fits(saved: &Value, form: &Value, name: &str) -> std::result::Result<(), String> {
    match (saved, form) {
        (Value::Object(saved), Value::Object(form)) => {
            form.iter().try_for_each(|(name, form)| match (saved.get(name), form) {
                (Some(saved), _) => fits(saved, form, name),
                (None, Value::Array(form)) => Err(missing(name, form.len())),
                (None, _) => Err(format!("the saved state has no `{name}`")),
            })
        }
        (Value::Array(saved), Value::Array(form)) if saved.len() == form.len() => {
            saved.iter().zip(form).try_for_each(|(saved, form)| fits(saved, form, name))
        }
        (_, Value::Array(form)) => Err(missing(name, form.len())),
        _ => Ok(()),
    }
}

fn missing(name: &str, numbers: usize) -> String {
    format!("the saved state has no `{name}` of {numbers} numbers")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Memory {
        weights: Vec<Option<f64>>,
        age: u64,
    }

    #[test]
    fn a_memory_comes_back_to_the_bit_and_of_other_tasks_not_at_all() {
        let memory = Memory { weights: vec![Some(0.1 + 0.2), None], age: 3 };
        let state = State::join([("one", State::of(&memory).unwrap()), ("two", State::default())]);
        let text = serde_json::to_string(&state.memory).unwrap();
        let state = State { memory: serde_json::from_str(&text).unwrap(), ..State::default() };
        let mut other = Memory { weights: vec![None, None], age: 0 };
        state.part("one").read_into("method", &mut other).unwrap();
        assert_eq!(other, memory);
        let mut longer = Memory { weights: vec![None; 3], age: 0 };
        let error = state.part("one").read_into("method", &mut longer).unwrap_err().to_string();
        assert!(error.contains("`method`") && error.contains("no `weights` of 3 numbers"), "{error}");
        assert!(state.part("two").read_into("method", &mut longer).is_err());
        assert!(state.part("three").read_into("method", &mut other).is_err());
    }
}
