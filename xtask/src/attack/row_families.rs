//! Random tables whose rows make tasks, or classes, for a learner.

use super::random::Rng;
use super::scenario::{TABLE, Text, array};
use super::table::Table;

/// A table with the data section that fits it.
pub(crate) struct RowFamily {
    /// The table.
    pub(crate) table: Table,
    /// `[data]`.
    pub(crate) data: String,
    /// Whether there are tasks to validate by.
    pub(crate) validated: bool,
}

/// A table whose column `g` names tasks, or classes.
pub(crate) fn draw(rng: &mut Rng, of_classes: bool) -> RowFamily {
    let groups = rng.between(8, 12);
    let mut table = Table::of_rows(groups * rng.between(6, 9));
    let names = ["a", "b c", "s,1", "ä"];
    let (prefix, mut row) = (rng.pick(&names), 0);
    table.names.push("g".to_owned());
    for fields in &mut table.rows {
        fields.push(format!("{prefix}{}", row % groups));
        row += 1;
    }
    let gaps = rng.pick(&[0.0, 0.0, 0.2]);
    let numeric: Vec<String> = (0..rng.between(1, 3)).map(|number| format!("x{number}")).collect();
    for name in &numeric {
        table.draw(rng, name, gaps, |rng| format!("{:.4}", rng.normal()));
    }
    let categorical: Vec<String> = (0..rng.below(2)).map(|number| format!("c{number}")).collect();
    for name in &categorical {
        table.draw(rng, name, gaps, |rng| format!("level {}", rng.below(3)));
    }
    let validated = rng.chance(0.6);
    let validation = if validated { 0.25 } else { 0.0 };
    let mut data = Text::from(format!(
        "[data]\nkind = \"table\"\nsource = {{ path = {:?} }}\nsplit.random = {{ validation = {validation:?}, test = 0.25, seed = {} }}\n\
         shots = {}\nqueries = {}\n",
        TABLE,
        rng.below(9),
        rng.between(1, 3),
        rng.between(1, 3)
    ));
    data.add(if of_classes {
        "classes_by = \"g\"\nways = 2\n".to_owned()
    } else {
        let kind = rng.pick(&["regression", "regression", "binary", "multiclass"]);
        table.draw(rng, "y", 0.0, |rng| match kind {
            "regression" => format!("{:.3}", 50.0 + 9.0 * rng.normal()),
            "binary" => rng.below(2).to_string(),
            _ => format!("k{}", rng.below(3)),
        });
        let classes = if kind == "multiclass" { ", classes = [\"k0\", \"k1\", \"k2\"]" } else { "" };
        format!("tasks_by = \"g\"\ntargets = [{{ name = \"y\", kind = {kind:?}{classes} }}]\n")
    });
    data.add("[data.inputs]\n");
    data.set("numeric", array(&numeric));
    data.set("one_hot", array(&categorical));
    data.set("scale", rng.pick(&["\"standard\"", "\"robust\"", "\"raw\""]));
    RowFamily { table, data: data.done(), validated }
}
