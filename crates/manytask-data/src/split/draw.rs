//! Drawing of rows and groups.

use manytask_tensor::random::stream;
use rand::seq::SliceRandom;

use super::{Fractions, Indices};
use crate::value::Values;
use crate::{Result, Table};

/// The rows of each value of a column, in order of first occurrence; rows without a value are a group of their own.
pub(super) fn groups(table: &Table, name: &str) -> Result<Vec<Vec<usize>>> {
    let column = table.column(name)?;
    let all: Vec<usize> = (0..table.rows()).collect();
    let values = Values::of(table, column, &all);
    let by_level = values.compare.places_of(column, &values.names);
    let mut groups = vec![Vec::new(); values.names.len() + 1];
    for (row, code) in column.codes().iter().enumerate() {
        let place = by_level.get(*code as usize).copied().flatten().unwrap_or(values.names.len());
        if let Some(group) = groups.get_mut(place) {
            group.push(row);
        }
    }
    groups.retain(|group| !group.is_empty());
    Ok(groups)
}

pub(super) fn random(rows: usize, fractions: Fractions, seed: u64) -> Indices {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut stream(seed, "split", 0, 0));
    deal(&order, fractions).sorted()
}

/// The first of a shuffled order to the test split, the next to validation, the rest, at least one, to training.
fn deal(order: &[usize], fractions: Fractions) -> Indices {
    let (validation, test) = fractions.counts(order.len());
    let spare = order.len().saturating_sub(1);
    let test = test.min(spare);
    let validation = validation.min(spare - test);
    let mut rest = order.iter().copied();
    let test = rest.by_ref().take(test).collect();
    let validation = rest.by_ref().take(validation).collect();
    Indices { train: rest.collect(), validation, test }
}

/// Whole groups in random order to the test split until it has its share of rows, then to validation, then to training;
/// of two groups or more the last one always trains.
pub(super) fn grouped(groups: &[Vec<usize>], fractions: Fractions, seed: u64) -> Indices {
    let mut order: Vec<&Vec<usize>> = groups.iter().collect();
    order.shuffle(&mut stream(seed, "split", 0, 0));
    let (validation, test) = fractions.counts(groups.iter().map(Vec::len).sum());
    let mut indices = Indices::default();
    if let [_, .., _] = order.as_slice() {
        indices.train.extend(order.pop().into_iter().flatten());
    }
    for group in order {
        // A group goes where it fits at least half.
        let fits = |part: &Vec<usize>, share: usize| part.len() + group.len().div_ceil(2) <= share;
        let part = if fits(&indices.test, test) {
            &mut indices.test
        } else if fits(&indices.validation, validation) {
            &mut indices.validation
        } else {
            &mut indices.train
        };
        part.extend(group);
    }
    indices.sorted()
}

pub(super) fn per_group(groups: &[Vec<usize>], fractions: Fractions, seed: u64) -> Indices {
    let mut indices = Indices::default();
    for (number, group) in groups.iter().enumerate() {
        let mut order = group.clone();
        order.shuffle(&mut stream(seed, "split", 0, number as u64));
        let part = deal(&order, fractions);
        indices.train.extend(part.train);
        indices.validation.extend(part.validation);
        indices.test.extend(part.test);
    }
    indices.sorted()
}
