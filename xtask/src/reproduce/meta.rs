//! What is trained for the tables of learners.

use super::trained::{Column, Of, Ranks, Row, Trained, Unit};
use super::{Extent, Source, Table};

/// All tables, in the order of the page.
pub(super) fn all() -> Vec<Table> {
    vec![sinusoid_frequency(), exam(), school()]
}

/// The first metric of a learner.
const fn first(heading: &'static str, unit: Unit) -> Column {
    Column { heading, of: Of::Task("episodes"), metric: None, unit }
}

const SQUARED: Column = first("squared error", Unit::Places(3));

fn median() -> Column {
    Column { heading: "its median", metric: Some("mse_median"), ..SQUARED }
}

fn table(name: &'static str, config: &'static str, columns: Vec<Column>, rows: Vec<Row>) -> Table {
    let trained = Trained { config, seeds: 1, columns, ranks: Ranks::None, rows };
    Table { name, data: None, extent: Extent::Quick, source: Source::Trained(trained) }
}

/// Table 1 of Meta-SGD.
fn sinusoid_frequency() -> Table {
    const MAML: &str = r#"learner={kind="maml",inner_steps=1,inner_learning_rate=0.01}"#;
    let rows = vec![
        Row::published("`maml`, 5 shots", "1.13 ± 0.18", &[MAML, "data.shots=5"]),
        Row::published("`maml`, 10 shots", "0.77 ± 0.11", &[MAML]),
        Row::published("`maml`, 20 shots", "0.48 ± 0.08", &[MAML, "data.shots=20"]),
        Row::published("`meta_sgd`, 5 shots", "0.90 ± 0.16", &["data.shots=5"]),
    ];
    table("sinusoid-frequency", "configs/sinusoid_meta_sgd.toml", vec![SQUARED, median()], rows)
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
