//! What is trained for the tables of learners.

use super::trained::{Column, Of, Ranks, Row, Trained, Unit};
use super::{Extent, Source, Table};

/// All tables, in the order of the page.
pub(super) fn all() -> Vec<Table> {
    vec![exam(), school()]
}

/// The first metric of a learner.
const fn first(heading: &'static str, unit: Unit) -> Column {
    Column { heading, of: Of::Task("episodes"), metric: None, unit }
}

/// What a task's own examples are worth to it: rows of a table of schools.
fn of_schools(name: &'static str, config: &'static str) -> Table {
    const OWN: [&str; 3] =
        [r#"learner={kind="ridge"}"#, r#"network={kind="identity"}"#, "training={steps=0}"];
    let rows = vec![
        Row::new("`maml`", &[]),
        Row::new(
            "`maml`, no step on the ten: one network for all schools",
            &["learner.inner_learning_rate=1e-9"],
        ),
        Row::new("`anil`", &[r#"learner={kind="anil",inner_steps=1,inner_learning_rate=0.1}"#]),
        Row::new("`ridge` on the ten alone", &OWN),
    ];
    let columns = vec![first("squared error", Unit::Places(4))];
    let trained = Trained { config, seeds: 1, columns, ranks: Ranks::None, rows };
    Table { name, data: Some(name), extent: Extent::All, source: Source::Trained(trained) }
}

fn exam() -> Table {
    of_schools("exam", "configs/exam_maml.toml")
}

fn school() -> Table {
    of_schools("school", "configs/school_maml.toml")
}
