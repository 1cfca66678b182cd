//! What is trained for which table.

use super::{Row, Table};

/// All tables, in the order of the page.
pub(super) fn all() -> Vec<Table> {
    vec![architectures(), inputs(), practice(), census()]
}

fn row(name: &'static str, settings: &[&'static str]) -> Row {
    Row { name, settings: settings.to_vec() }
}

const CENSUS: &[&str] = &["income", "never_married"];

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
    Table {
        name: "architectures",
        config: "configs/quickstart.toml",
        data: None,
        seeds: 4,
        tasks: CENSUS,
        rows,
    }
}

/// Forms of numbers and trunks for tables, on the same data.
fn inputs() -> Table {
    const TABM: &str = r#"network={kind="tabm",members=16,trunk={kind="mlp",hidden=[128],dropout=0.1}}"#;
    let rows = vec![
        row("mlp, numbers standardised", &[]),
        row("mlp, scale = \"robust\"", &[r#"data.inputs.scale="robust""#]),
        row("mlp, scale = \"quantile\"", &[r#"data.inputs.scale="quantile""#]),
        row("mlp, scale = \"piecewise\"", &[r#"data.inputs.scale="piecewise""#]),
        row("residual_mlp", &[r#"network.trunk={kind="residual_mlp"}"#]),
        row("tabm", &[TABM]),
    ];
    Table { name: "inputs", config: "configs/quickstart.toml", data: None, seeds: 3, tasks: CENSUS, rows }
}

/// Means of the parameters and changed training rows, on the same data.
fn practice() -> Table {
    let rows = vec![
        row("as it is", &[]),
        row("`average = { ema = { decay = 0.999 } }`", &["training.average={ema={decay=0.999}}"]),
        row("`average = { ema = { decay = 0.99 } }`", &["training.average={ema={decay=0.99}}"]),
        row("`augment = { noise = 0.1 }`", &["training.augment={noise=0.1}"]),
    ];
    Table { name: "practice", config: "configs/quickstart.toml", data: None, seeds: 3, tasks: CENSUS, rows }
}

/// The whole of Census-Income.
fn census() -> Table {
    const CGC: &str = r#"network={kind="cgc",shared_experts=4,task_experts=2,trunk={kind="mlp",hidden=[64],dropout=0.1},head={kind="mlp",hidden=[16]}}"#;
    let rows = vec![row("`hard_sharing`, 128-64", &[]), row("`cgc`, 4 + 2 experts of 64", &[CGC])];
    let data = Some("census_kdd");
    Table { name: "census", config: "configs/census.toml", data, seeds: 1, tasks: CENSUS, rows }
}
