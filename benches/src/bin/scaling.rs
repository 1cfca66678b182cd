//! One table of `docs/scaling.md`: `scaling TABLE`. That of a GPU in `benches/RESULTS.md`: `scaling gpu [DEVICE [PYTHON PEERS [WORK …]]]`, on
//! `cuda` where nothing is said, beside the systems in the folder PEERS where it is named (WORK:SYSTEM for one of them); the program `twin` must lie beside this one. Or
//! one measurement, in JSON: `scaling measure CASE`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use anyhow::{Context, Result, bail};
use manytask_benches::scaling::gpu::{self, Peers};
use manytask_benches::scaling::{Case, measure, table};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["measure", case] => {
            let case: Case = serde_json::from_str(case).context("CASE")?;
            println!("{}", serde_json::to_string(&measure(&case)?)?);
        }
        ["gpu"] => print!("{}", gpu::table("cuda", None, &[])?),
        ["gpu", device] => print!("{}", gpu::table(device, None, &[])?),
        ["gpu", device, python, folder, works @ ..] => {
            let peers = Peers { folder: folder.into(), python: python.into() };
            let works: Vec<String> = works.iter().map(ToString::to_string).collect();
            print!("{}", gpu::table(device, Some(&peers), &works)?);
        }
        [name] => print!("{}", table(name)?),
        _ => bail!("usage: scaling TABLE, or scaling gpu [DEVICE [PYTHON PEERS [WORK …]]]"),
    }
    Ok(())
}
