//! One table of `docs/scaling.md` or `benches/RESULTS.md`: `scaling TABLE`; that of a GPU is `scaling gpu [DEVICE]`, `cuda` where
//! nothing is said. Or one measurement, in JSON: `scaling measure CASE`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use anyhow::{Context, Result, bail};
use manytask_benches::scaling::{Case, measure, table};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["measure", case] => {
            let case: Case = serde_json::from_str(case).context("CASE")?;
            println!("{}", serde_json::to_string(&measure(&case)?)?);
        }
        ["gpu", device] => print!("{}", table("gpu", device)?),
        [name] => print!("{}", table(name, "cuda")?),
        _ => bail!("usage: scaling TABLE, or scaling gpu [DEVICE]"),
    }
    Ok(())
}
