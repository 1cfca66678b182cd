//! First parameters that are those of another run, or weights that another program has saved.

use std::path::Path;

use manytask_multitask::PARAMS;
use manytask_tensor::ShownPath as _;
use manytask_tensor::{Params, checkpoint};

use crate::failure::{Code, Failure, Result};
use crate::plan::FileWeights;
use crate::run::{RunFolder, SCHEMA, Which, of_checkpoint, read_json};
use crate::schema::InputSchema;

/// Parameters that are named in a message.
const NAMED: usize = 4;

/// The best parameters of a run in the place of drawn ones of the same name and shape, and what is to be said of that.
///
/// # Errors
/// When the run has no checkpoint or a damaged one (exit code 6), or none of its parameters fits, or its inputs are others of the
/// same number, which the first layer would take for one another (3).
pub(super) fn first_from(
    drawn: &Params,
    run: &Path,
    schema: Option<&InputSchema>,
) -> Result<(Params, Vec<String>)> {
    let folder = RunFolder::view(run)?;
    let Some(found) = folder.find(Which::Best)? else {
        return Err(Failure::new(Code::Checkpoint, format!("{} has no checkpoint", run.shown())));
    };
    let mut notes = inputs_fit(run, schema)?;
    let (mut tensors, _) =
        checkpoint::load_tensors(&found.join(PARAMS), drawn.device()).map_err(of_checkpoint)?;
    let (mut leaves, mut own) = (Vec::with_capacity(drawn.leaves().len()), Vec::new());
    for (entry, leaf) in drawn.iter() {
        let fits = tensors.remove(&entry.name).filter(|tensor| tensor.size() == entry.shape);
        if fits.is_none() {
            own.push(entry.name.as_str());
        }
        leaves.push(fits.map_or_else(|| Ok(leaf.shallow_clone()), |tensor| tensor.f_to_kind(leaf.kind()))?);
    }
    let all = leaves.len();
    if own.len() == all {
        let what = format!("no parameter of {} has the name and shape of one of this network", run.shown());
        return Err(Failure::new(Code::Config, what)
            .hint("its trunk must be alike: take the same kind and sizes under [network]"));
    }
    let more = own.len().saturating_sub(NAMED);
    let named = own.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let rest = match (own.len(), more) {
        (0, _) => String::new(),
        (_, 0) => format!("; {named} are drawn"),
        _ => format!("; {named} and {more} more are drawn"),
    };
    notes.push(format!(
        "note: {} of {all} parameters begin as those of {}{rest}",
        all - own.len(),
        run.shown()
    ));
    Ok((Params::new(drawn.layout().clone(), leaves)?, notes))
}

/// The weights of a file in the place of drawn parameters, and what is to be said of that.
///
/// # Errors
/// When memory runs out.
pub(super) fn first_with(drawn: &Params, weights: FileWeights) -> Result<(Params, Vec<String>)> {
    let FileWeights { path, mut named, passed_over } = weights;
    let count = named.len();
    let leaves = drawn.iter().map(|(entry, leaf)| match named.remove(&entry.name) {
        Some(tensor) => Ok(tensor.f_to_kind(leaf.kind())?.f_to_device(leaf.device())?),
        None => Ok(leaf.shallow_clone()),
    });
    let params = Params::new(drawn.layout().clone(), leaves.collect::<Result<_>>()?)?;
    let all = drawn.leaves().len();
    let shown: Vec<&str> = passed_over.iter().take(NAMED).map(String::as_str).collect();
    let more = passed_over.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let rest = match passed_over.len() {
        0 => String::new(),
        _ => format!("; its {}{more} are left out", shown.join(", ")),
    };
    Ok((params, vec![format!("note: {count} of {all} parameters begin as those of {}{rest}", path.shown())]))
}

/// Whether the inputs are those of the run, by name.
fn inputs_fit(run: &Path, schema: Option<&InputSchema>) -> Result<Vec<String>> {
    let path = run.join(SCHEMA);
    let Some(InputSchema::Table(own)) = schema.filter(|_| path.is_file()) else { return Ok(Vec::new()) };
    let InputSchema::Table(other) = read_json(&path)? else { return Ok(Vec::new()) };
    let (own, other) = (own.inputs().input_names(), other.inputs().input_names());
    if own.len() != other.len() {
        return Ok(vec![format!(
            "note: {} has {} inputs and this network {}: its first layer is drawn",
            run.shown(),
            other.len(),
            own.len()
        )]);
    }
    match own.iter().zip(&other).find(|(own, other)| own != other) {
        None => Ok(Vec::new()),
        Some((own, other)) => {
            let what = format!(
                "the inputs of {} are others: `{other}` stands there where `{own}` stands here",
                run.shown()
            );
            Err(Failure::new(Code::Config, what)
                .hint("name the same columns in the same order under [data.inputs]"))
        }
    }
}
