//! What is trained for which table.

use super::compared::{Compared, Shown};
use super::printed::Printed;
use super::trained::{Column, Of, Ranks, Row, Trained};
use super::{Extent, Source, Table};

/// All tables, in the order of the page.
pub(super) fn all() -> Vec<Table> {
    vec![
        architectures(),
        inputs(),
        practice(),
        strategies(),
        census(),
        exam(),
        jura(),
        tox21(),
        tox21_strategies(),
        scenes(),
        fronts(),
    ]
}

fn row(name: &'static str, settings: &[&'static str]) -> Row {
    Row::new(name, settings)
}

/// The tasks of Census-Income.
const CENSUS: [Column; 2] =
    [Column::task("`income`", "income"), Column::task("`never_married`", "never_married")];

/// Rows on the shipped tenth of Census-Income.
fn of_quickstart(name: &'static str, seeds: u64, rows: Vec<Row>) -> Table {
    let config = "configs/quickstart.toml";
    let trained = Trained { config, seeds, columns: CENSUS.to_vec(), ranks: Ranks::None, rows };
    Table { name, data: None, extent: Extent::Quick, source: Source::Trained(trained) }
}

/// Every architecture that fits two tasks without an order, on the shipped tenth of Census-Income.
fn architectures() -> Table {
    let rows = vec![
        row("`single_task`", &[r#"network={kind="single_task",trunk={kind="mlp",hidden=[128]}}"#]),
        row("`hard_sharing`", &[]),
        row(
            "`soft_sharing`",
            &[r#"network={kind="soft_sharing",strength=1e-4,trunk={kind="mlp",hidden=[128]}}"#],
        ),
        row("`cross_stitch`", &[r#"network={kind="cross_stitch",trunk={kind="mlp",hidden=[128]}}"#]),
        row("`nddr`", &[r#"network={kind="nddr",trunk={kind="mlp",hidden=[128]}}"#]),
        row("`mtan`", &[r#"network={kind="mtan",trunk={kind="mlp",hidden=[128]}}"#]),
        row("`film`", &[r#"network={kind="film",trunk={kind="mlp",hidden=[128]}}"#]),
        row("`adapter`", &[r#"network={kind="adapter",trunk={kind="mlp",hidden=[128]}}"#]),
        row("`lora`", &[r#"network={kind="lora",trunk={kind="mlp",hidden=[128]}}"#]),
        row("`mmoe`", &[r#"network={kind="mmoe",experts=4,trunk={kind="mlp",hidden=[64]}}"#]),
        row("`dselect_k`", &[r#"network={kind="dselect_k",experts=4,trunk={kind="mlp",hidden=[64]}}"#]),
        row("`cgc`", &[r#"network={kind="cgc",trunk={kind="mlp",hidden=[64]}}"#]),
        row("`ple`", &[r#"network={kind="ple",trunk={kind="mlp",hidden=[64]}}"#]),
        row("`adatt`", &[r#"network={kind="adatt",trunk={kind="mlp",hidden=[64]}}"#]),
    ];
    of_quickstart("architectures", 4, rows)
}

/// Forms of numbers and trunks for tables, on the same data.
fn inputs() -> Table {
    const TABM: &str = r#"network={kind="tabm",members=16,trunk={kind="mlp",hidden=[128],dropout=0.1}}"#;
    let rows = vec![
        row("mlp, numbers standardised", &[]),
        row("mlp, scale = \"robust\"", &[r#"data.inputs.scale="robust""#]),
        row("mlp, scale = \"quantile\"", &[r#"data.inputs.scale="quantile""#]),
        row("mlp, scale = \"piecewise\"", &[r#"data.inputs.scale="piecewise""#]),
        row("mlp, periodic embeddings", &["network.periodic={}"]),
        row("residual_mlp", &[r#"network.trunk={kind="residual_mlp"}"#]),
        row("tabm", &[TABM]),
    ];
    of_quickstart("inputs", 3, rows)
}

/// Means of the parameters and changed training rows, on the same data.
fn practice() -> Table {
    let rows = vec![
        row("as it is", &[]),
        row("`average = { ema = { decay = 0.999 } }`", &["training.average={ema={decay=0.999}}"]),
        row("`average = { ema = { decay = 0.99 } }`", &["training.average={ema={decay=0.99}}"]),
        row("`augment = { noise = 0.1 }`", &["training.augment={noise=0.1}"]),
        row("`augment = { mixup = 0.2 }`", &["training.augment={mixup=0.2}"]),
        row("`augment = { manifold_mixup = 0.2 }`", &["training.augment={manifold_mixup=0.2}"]),
    ];
    of_quickstart("practice", 3, rows)
}

/// The whole of Census-Income.
fn census() -> Table {
    const CGC: &str = r#"network={kind="cgc",shared_experts=4,task_experts=2,trunk={kind="mlp",hidden=[64],dropout=0.1},head={kind="mlp",hidden=[16]}}"#;
    let rows = vec![row("`hard_sharing`, 128-64", &[]), row("`cgc`, 4 + 2 experts of 64", &[CGC])];
    let config = "configs/census.toml";
    let trained = Trained { config, seeds: 1, columns: CENSUS.to_vec(), ranks: Ranks::None, rows };
    Table { name: "census", data: Some("census_kdd"), extent: Extent::All, source: Source::Trained(trained) }
}

/// Separate networks and strategies on the shipped tenth of Census-Income.
fn strategies() -> Table {
    let compared = Compared {
        config: "configs/quickstart.toml",
        seeds: 3,
        strategies: "uncertainty_weighting,dwa,famo,pcgrad,mgda,cagrad,nash_mtl,aligned_mtl,upgrad",
        settings: Vec::new(),
        shown: Shown::Tasks,
    };
    Table { name: "strategies", data: None, extent: Extent::Quick, source: Source::Compared(compared) }
}

/// Schools as tasks, under several strategies.
fn exam() -> Table {
    let rows = vec![
        row("`equal_weights`", &[]),
        row("`uncertainty_weighting`", &[r#"aggregator={kind="uncertainty_weighting"}"#]),
        row("`famo`", &[r#"aggregator={kind="famo"}"#]),
        row("`geometric_mean`", &[r#"aggregator={kind="geometric_mean"}"#]),
        row("`pcgrad`", &[r#"aggregator={kind="pcgrad"}"#]),
        row("`cagrad`", &[r#"aggregator={kind="cagrad"}"#]),
        row("`upgrad`", &[r#"aggregator={kind="upgrad"}"#]),
        row("`aligned_mtl`", &[r#"aggregator={kind="aligned_mtl"}"#]),
        row(
            "a network for each school",
            &[r#"network={kind="single_task",trunk={kind="mlp",hidden=[16],activation="tanh"}}"#],
        ),
    ];
    let column = Column { of: Of::Mean, ..Column::task("root mean squared error", "") };
    let config = "configs/exam.toml";
    let trained = Trained { config, seeds: 1, columns: vec![column], ranks: Ranks::Tasks, rows };
    Table { name: "exam", data: Some("exam"), extent: Extent::All, source: Source::Trained(trained) }
}

/// Cadmium by itself, beside nickel and zinc, and where these are known.
fn jura() -> Table {
    const ALONE: &str = r#"data.targets=[{name="Cd",kind="regression"}]"#;
    const KNOWN: &str = r#"data.inputs.numeric=["Xloc","Yloc","Ni","Zn"]"#;
    let rows = vec![
        Row::published(
            "cadmium alone",
            "0.574",
            &[r#"data.inputs.ignore=["Co","Cr","Cu","Pb","Ni","Zn"]"#, ALONE],
        ),
        row("cadmium, nickel and zinc as tasks", &[]),
        Row::published("nickel and zinc as inputs", "0.40 to 0.46", &[KNOWN, ALONE]),
    ];
    let config = "configs/jura.toml";
    let trained =
        Trained { config, seeds: 5, columns: vec![Column::task("`Cd`", "Cd")], ranks: Ranks::None, rows };
    Table { name: "jura", data: Some("jura"), extent: Extent::All, source: Source::Trained(trained) }
}

/// The assays on a random split, as `MoleculeNet` has it.
fn tox21() -> Table {
    let column = Column { of: Of::Mean, ..Column::task("mean ROC-AUC", "") };
    let config = "configs/tox21.toml";
    let rows = vec![Row::published("`hard_sharing`, 512", "0.803", &[])];
    let trained = Trained { config, seeds: 5, columns: vec![column], ranks: Ranks::None, rows };
    Table { name: "tox21", data: Some("tox21"), extent: Extent::All, source: Source::Trained(trained) }
}

/// Whether one network is better than twelve, on a split by scaffolds.
fn tox21_strategies() -> Table {
    let compared = Compared {
        config: "configs/tox21.toml",
        seeds: 3,
        strategies: "uncertainty_weighting,pcgrad",
        settings: vec![
            r#"data.split={grouped={column="scaffold",validation=0.1,test=0.1,seed=1}}"#,
            "training.epochs=12",
        ],
        shown: Shown::Mean,
    };
    let source = Source::Compared(compared);
    Table { name: "tox21-strategies", data: Some("tox21"), extent: Extent::All, source }
}

/// Labels of pixels, with and without sharing.
fn scenes() -> Table {
    let rows = vec![
        row("`single_task`", &[r#"network.kind="single_task""#]),
        row("`hard_sharing`", &[]),
        row("`hard_sharing`, `upgrad`", &[r#"aggregator={kind="upgrad"}"#]),
        row("`cross_stitch`", &[r#"network.kind="cross_stitch""#]),
        row("`mtan`", &[r#"network.kind="mtan""#]),
    ];
    let columns = vec![
        Column::task("classes, mIoU", "segmentation"),
        Column::task("depth, mean absolute error in metres", "depth"),
        Column::task("normals, mean angle in degrees", "normals"),
    ];
    let trained = Trained { config: "configs/scenes.toml", seeds: 1, columns, ranks: Ranks::None, rows };
    Table { name: "scenes", data: None, extent: Extent::All, source: Source::Trained(trained) }
}

/// Problems whose fronts are known.
fn fronts() -> Table {
    let source = Source::Printed(Printed { package: "manytask-multitask", example: "fronts" });
    Table { name: "fronts", data: None, extent: Extent::Quick, source }
}
