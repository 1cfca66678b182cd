//! What is trained for the tables beside other systems.

use super::folds::{Best, Folds, Metric, Protocol};
use super::trained::{Row, Unit};
use super::{Extent, Source, Table};

/// All tables, in the order of the page.
pub(super) fn all() -> Vec<Table> {
    vec![census(), tox21(), jura(), school(), exam()]
}

/// Every system of the script.
const SYSTEMS: &[&str] = &["linear", "random forest", "gradient boosting", "catboost"];

fn metric(heading: &'static str, places: usize, best: Best) -> Metric {
    Metric { heading, unit: Unit::Places(places), best }
}

fn table(name: &'static str, data: Option<&'static str>, folds: Folds) -> Table {
    let extent = if data.is_none() { Extent::Quick } else { Extent::All };
    Table { name, data, extent, source: Source::Folds(folds) }
}

/// The shipped tenth of Census-Income.
fn census() -> Table {
    const TABM: &str = r#"network={kind="tabm",members=16,trunk={kind="mlp",hidden=[128],dropout=0.1}}"#;
    let folds = Folds {
        config: "configs/quickstart.toml",
        protocol: Protocol::Folds(5),
        rows: vec![Row::new("mlp", &[]), Row::new("tabm", &[TABM])],
        peers: SYSTEMS,
        metrics: vec![
            metric("`income`, ROC-AUC", 4, Best::Highest),
            metric("`never_married`, ROC-AUC", 4, Best::Highest),
        ],
    };
    table("census", None, folds)
}

/// Twelve assays, molecules of one scaffold in one fold.
fn tox21() -> Table {
    const SCAFFOLDS: &str = r#"data.split={grouped={column="scaffold",validation=0.1,test=0.2,seed=1}}"#;
    let folds = Folds {
        config: "configs/tox21.toml",
        protocol: Protocol::Folds(3),
        rows: vec![Row::new("mlp", &[SCAFFOLDS])],
        peers: &["linear", "random forest"],
        metrics: vec![metric("mean ROC-AUC of twelve assays", 4, Best::Highest)],
    };
    table("tox21", Some("tox21"), folds)
}

/// Cadmium where nickel and zinc are known.
fn jura() -> Table {
    const ALONE: [&str; 2] = [
        r#"data.inputs.numeric=["Xloc","Yloc","Ni","Zn"]"#,
        r#"data.targets=[{name="Cd",kind="regression"}]"#,
    ];
    let folds = Folds {
        config: "configs/jura.toml",
        protocol: Protocol::TestFile { name: "jura_test.csv", seeds: 5 },
        rows: vec![Row::new("mlp", &ALONE)],
        peers: SYSTEMS,
        metrics: vec![metric("`Cd`, mean absolute error", 4, Best::Lowest)],
    };
    table("jura", Some("jura"), folds)
}

/// 139 schools.
fn school() -> Table {
    let folds = Folds {
        config: "configs/school.toml",
        protocol: Protocol::Folds(4),
        rows: vec![Row::new("mlp, a head for each school", &[])],
        peers: SYSTEMS,
        metrics: vec![metric("explained variance", 4, Best::Highest)],
    };
    table("school", Some("school"), folds)
}

/// 65 schools.
fn exam() -> Table {
    let folds = Folds {
        config: "configs/exam.toml",
        protocol: Protocol::Folds(4),
        rows: vec![Row::new("mlp, a head for each school", &[])],
        peers: SYSTEMS,
        metrics: vec![metric("explained variance", 4, Best::Highest)],
    };
    table("exam", Some("exam"), folds)
}
