//! What is trained for the tables of learners.

use super::{Row, Table};

/// All tables, in the order of the page.
pub(super) fn all() -> Vec<Table> {
    vec![exam(), school()]
}

fn row(name: &'static str, settings: &[&'static str]) -> Row {
    Row { name, settings: settings.to_vec() }
}

const EPISODES: &[&str] = &["episodes"];

/// What a task's own examples are worth to it: rows of a table of schools.
fn of_schools() -> Vec<Row> {
    const OWN: [&str; 3] =
        [r#"learner={kind="ridge"}"#, r#"network={kind="identity"}"#, "training={steps=0}"];
    vec![
        row("`maml`", &[]),
        row("`maml`, no step on the ten: one network for all schools", &["learner.inner_learning_rate=1e-9"]),
        row("`anil`", &[r#"learner={kind="anil",inner_steps=1,inner_learning_rate=0.1}"#]),
        row("`ridge` on the ten alone", &OWN),
    ]
}

fn exam() -> Table {
    let data = Some("exam");
    Table {
        name: "exam",
        config: "configs/exam_maml.toml",
        data,
        seeds: 1,
        tasks: EPISODES,
        rows: of_schools(),
    }
}

fn school() -> Table {
    let data = Some("school");
    let config = "configs/school_maml.toml";
    Table { name: "school", config, data, seeds: 1, tasks: EPISODES, rows: of_schools() }
}
