//! A random table with tasks on it.

use crate::attack::random::Rng;
use crate::attack::scenario::array;
use crate::attack::table::Table;

/// What is being put together.
pub(super) struct Draft {
    pub(super) table: Table,
    pub(super) tasks: Vec<Target>,
    /// The task names where tasks are the values of a column.
    pub(super) groups: Vec<String>,
    pub(super) numeric: Vec<String>,
    pub(super) categorical: Vec<String>,
}

#[derive(Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) columns: Vec<String>,
    pub(super) rest: String,
}

/// A random table with tasks on it.
pub(super) fn draft(rng: &mut Rng) -> Draft {
    let rows = if rng.chance(0.2) { rng.between(8, 20) } else { rng.between(20, 80) };
    let mut table = Table::of_rows(rows);
    let (mut numeric, mut categorical) = (Vec::new(), Vec::new());
    for number in 0..rng.between(0, 3) {
        let name = format!("x{number}");
        let gaps = rng.pick(&[0.0, 0.0, 0.2, 0.6]);
        let scale = rng.pick(&[1.0, 1.0, 1e-3, 1e4]);
        table.draw(rng, &name, gaps, |rng| format!("{:.4}", rng.normal() * scale));
        numeric.push(name);
    }
    if rng.chance(0.1) {
        table.draw(rng, "constant", 0.0, |_| "7".to_owned());
        numeric.push("constant".to_owned());
    }
    for number in 0..rng.between(usize::from(numeric.is_empty()), 2) {
        let name = format!("c{number}");
        let gaps = rng.pick(&[0.0, 0.1, 0.5]);
        let levels = rng.between(2, 5);
        table.draw(rng, &name, gaps, |rng| format!("level {}", rng.below(levels)));
        categorical.push(name);
    }
    let mut groups = Vec::new();
    if rng.chance(0.2) {
        let count = rng.between(2, 4);
        table.draw(rng, "g", 0.0, |rng| format!("s{}", rng.below(count)));
        groups = table.levels("g");
    }
    let count = if groups.is_empty() { rng.between(1, 4) } else { 1 };
    let tasks = (0..count).map(|number| target(rng, &mut table, number)).collect();
    Draft { table, tasks, groups, numeric, categorical }
}

fn target(rng: &mut Rng, table: &mut Table, number: usize) -> Target {
    let name = format!("y{number}");
    let gaps = rng.pick(&[0.0, 0.0, 0.1, 0.4, 0.8]);
    let kind = rng.pick(&["binary", "binary", "regression", "regression", "multiclass", "multilabel"]);
    let (mut columns, mut rest) = (Vec::new(), String::new());
    match kind {
        "binary" if rng.chance(0.3) => {
            table.draw(rng, &name, gaps, |rng| rng.pick(&["yes", "no"]).to_owned());
            "positive = [\"yes\"]\n".clone_into(&mut rest);
        }
        "multiclass" => {
            let classes = rng.between(2, 4);
            table.draw(rng, &name, gaps, |rng| format!("k{}", rng.below(classes)));
            rest =
                format!("classes = {}\n", array(&(0..classes).map(|k| format!("k{k}")).collect::<Vec<_>>()));
        }
        "multilabel" => {
            columns = (0..rng.between(2, 3)).map(|label| format!("{name}l{label}")).collect();
            for column in &columns {
                table.draw(rng, column, gaps, |rng| rng.below(2).to_string());
            }
        }
        "regression" => {
            let offset = rng.pick(&[0.0, 100.0, 1e6]);
            table.draw(rng, &name, gaps, |rng| format!("{:.3}", offset + rng.normal() * 3.0));
            if rng.chance(0.5) {
                "standardise = true\n".clone_into(&mut rest);
            }
        }
        _ => table.draw(rng, &name, gaps, |rng| rng.below(2).to_string()),
    }
    Target { name, kind, columns, rest }
}
