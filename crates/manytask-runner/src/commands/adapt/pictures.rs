//! Pictures labelled from a few examples of each class.

use manytask_data::image_folder::{self, PictureForm};
use manytask_tensor::{Kind, Tensor};

use super::super::predict::{nothing_to_keep, of_input};
use super::{Asked, Labelled, by_class, of_classes};
use crate::device;
use crate::failure::Result;
use crate::report::say;

pub(super) fn labelled(asked: &Asked<'_>, form: PictureForm) -> Result<Labelled> {
    let arguments = asked.arguments;
    if !arguments.keep.is_empty() {
        return Err(nothing_to_keep(&arguments.query));
    }
    let examples = image_folder::read(&arguments.support, form).map_err(of_input)?;
    let queries = image_folder::pictures(&arguments.query, form).map_err(of_input)?;
    let classes = examples.classes.names().to_vec();
    let remedy = "give a folder with a folder of pictures for each of two classes or more";
    let shape = of_classes(form.shape(), &classes, &arguments.support, remedy)?;
    let trained = asked.episodes.source.outline()?.map(|outline| outline.form.outputs);
    let adapter = asked.adapter(&shape, trained)?;
    let (device, note) = device::open(asked.plan)?;
    if let Some(note) = note {
        say(&note);
    }
    let params = asked.params(&adapter, device)?;
    let (support_x, support_y) = examples.classes.labelled()?;
    let numbers = |pixels: &Tensor| -> Result<Tensor> {
        Ok(pixels.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?.f_to_device(device)?)
    };
    let support = (numbers(&support_x)?, support_y.f_to_device(device)?);
    let steps = asked.episodes.settings.evaluation_steps;
    let found = adapter.predict(&params, (&support.0, &support.1), &numbers(&queries.pixels)?, steps)?;
    let notes = examples.notes.iter().chain(&queries.notes).map(ToString::to_string);
    let notes = notes.chain(Asked::transduction(&adapter, "the other pictures of the query folder"));
    let what = format!("the classes of {} pictures", queries.files.len());
    let predictions = by_class(&classes, &found.values, Vec::new())?.of_files(Some(queries.files));
    Ok(Labelled { predictions, notes: notes.collect(), what })
}
