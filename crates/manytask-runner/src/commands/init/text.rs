//! A draft as a configuration with comments.

use std::fmt::Write;

use manytask_data::{Decimal, TargetKind};

use super::draft::{Draft, Target};
use crate::config::one_line;

/// Columns that are named one by one.
const LISTED: usize = 40;
/// Columns of one name and numbers behind it that are named by a pattern.
const ALIKE: usize = 8;
/// Below so many rows nothing is held out to validate on.
const FEW: usize = 40;
/// Steps that a training takes about, if it does not stop early.
const STEPS: usize = 20_000;

/// The whole configuration; `command` is how it is trained.
pub(super) fn config(draft: &Draft, command: &str) -> String {
    let mut text = format!(
        "# {}: {} rows, {} columns. Written by `manytask init`; change what you know better.\n\
         #\n#   {command}\n#   {command} --folds 5          # a cross-validation, with intervals\n\
         #\n# `manytask explain table` and `manytask explain hard_sharing` show all settings, `manytask list` all names.\n\n\
         seed = 1\n\n",
        draft.asked.path,
        draft.rows,
        draft.columns.len()
    );
    text.push_str(&data(draft));
    text.push_str(&inputs(draft));
    for target in &draft.targets {
        text.push_str(&of_target(target));
    }
    text.push_str(&network(draft));
    text
}

fn data(draft: &Draft) -> String {
    let mut source = vec![format!("path = {}", one_line(&draft.asked.path))];
    let of = &draft.source;
    if !of.header {
        source.push("header = false".into());
    }
    let separator = of.separator.to_string();
    if separator != "," {
        source.push(format!("separator = \"{separator}\""));
    }
    if of.decimal == Decimal::Comma {
        source.push("decimal = \",\"".into());
    }
    if !of.missing_by.is_empty() {
        let marks =
            |(column, marks): (&String, &Vec<String>)| format!("{} = {}", one_line(column), list(marks));
        source.push(format!(
            "missing_by = {{ {} }}",
            of.missing_by.iter().map(marks).collect::<Vec<_>>().join(", ")
        ));
    }
    let mut text = format!("[data]\nkind = \"table\"\nsource = {{ {} }}\n", source.join(", "));
    text.push_str(&split(draft));
    if let Some(column) = &draft.asked.tasks_by {
        let _ = writeln!(
            text,
            "# Each of its values is a task with its own rows.\ntasks_by = {}",
            one_line(column)
        );
    }
    text.push('\n');
    text
}

fn split(draft: &Draft) -> String {
    let shares = match draft.rows {
        rows if rows < FEW => "test = 0.2, seed = 1",
        rows if rows < 500 => "validation = 0.2, test = 0.2, seed = 1",
        _ => "validation = 0.1, test = 0.2, seed = 1",
    };
    if let Some(test) = &draft.asked.test {
        let share = if draft.rows < FEW { "" } else { ", validation_fraction = 0.1, seed = 1" };
        return format!("split.files = {{ test = {}{share} }}\n", one_line(test));
    }
    if let Some(column) = &draft.asked.group {
        let column = one_line(column);
        return format!(
            "# Rows of one group are all in one split.\nsplit.grouped = {{ column = {column}, {shares} }}\n"
        );
    }
    if let Some(column) = &draft.asked.tasks_by {
        let column = one_line(column);
        return format!(
            "# Each task has its share of rows in each split.\nsplit.per_group = {{ column = {column}, {shares} }}\n"
        );
    }
    format!(
        "# Rows by chance. Where several rows are of one thing (a patient, a series), keep them together:\n\
         # split.grouped = {{ column = \"NAME\", {shares} }}\nsplit.random = {{ {shares} }}\n"
    )
}

fn inputs(draft: &Draft) -> String {
    let mut text = "[data.inputs]\n".to_owned();
    let (mut numeric, mut one_hot) = (patterns(&draft.numeric, draft), patterns(&draft.one_hot, draft));
    // The longer list of two that are too long is all that is not named elsewhere.
    if numeric.len().max(one_hot.len()) > LISTED {
        let longer = if numeric.len() > one_hot.len() { &mut numeric } else { &mut one_hot };
        *longer = vec!["rest".to_owned()];
    }
    if !numeric.is_empty() {
        let _ = writeln!(
            text,
            "# Numbers{}.\nnumeric = {}",
            if draft.raw { ", all 0 or 1 and left as they are" } else { "" },
            wrapped(&numeric)
        );
        if draft.raw {
            text.push_str("scale = \"raw\"\n");
        }
    }
    if !one_hot.is_empty() {
        let _ =
            writeln!(text, "# Categories, each value an input of its own.\none_hot = {}", wrapped(&one_hot));
    }
    if !draft.ignore.is_empty() {
        let names: Vec<String> = draft.ignore.iter().map(|(name, _)| escaped(name)).collect();
        let mut reasons: Vec<&str> = draft.ignore.iter().map(|(_, why)| *why).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for why in reasons {
            let of: Vec<String> =
                draft.ignore.iter().filter(|(_, own)| *own == why).map(|(name, _)| comment(name)).collect();
            let _ = writeln!(text, "# {}: {why}.", shortened(&of));
        }
        let _ = writeln!(text, "ignore = {}", wrapped(&names));
    }
    text.push('\n');
    text
}

fn of_target(target: &Target) -> String {
    let mut text =
        format!("# {}.\n[[data.targets]]\nname = {}\n", comment(&target.comment), one_line(&target.name));
    let kind = match target.kind {
        TargetKind::Regression => "regression",
        TargetKind::Binary => "binary",
        TargetKind::Multiclass => "multiclass",
        TargetKind::Multilabel => "multilabel",
    };
    let _ = writeln!(text, "kind = \"{kind}\"");
    if let Some(positive) = &target.positive {
        let _ = writeln!(text, "positive = [{}]", one_line(positive));
    }
    if !target.classes.is_empty() {
        let _ = writeln!(text, "classes = {}", list(&target.classes));
    }
    text.push('\n');
    text
}

fn network(draft: &Draft) -> String {
    let rows = draft.rows;
    let hidden = match rows {
        0..500 => "[32]",
        500..5_000 => "[64]",
        5_000..50_000 => "[128, 64]",
        _ => "[256, 128]",
    };
    let wide = draft.width * 10 > rows;
    let (hidden, dropout) = if wide && rows > 500 { ("[256]", 0.5) } else { (hidden, 0.1) };
    let batch = (rows / 100).next_power_of_two().clamp(16, 256);
    let epochs = (STEPS / (rows / batch).max(1)).clamp(20, 200);
    let stopping = if rows < FEW {
        String::new()
    } else {
        "validate_every_epochs = 1\n# The parameters that are best on the validation split are kept.\nearly_stopping = { patience = 10 }\n".to_owned()
    };
    format!(
        "[network]\nkind = \"hard_sharing\"\ntrunk = {{ kind = \"mlp\", hidden = {hidden}, dropout = {dropout} }}\n\n\
         # How the tasks' losses become one direction: `manytask compare-strategies` tries others.\n\
         [aggregator]\nkind = \"equal_weights\"\n\n\
         [optimizer]\nkind = \"adamw\"\nlearning_rate = 1e-3\nweight_decay = 1e-2\n\n\
         [training]\nepochs = {epochs}\nbatch_size = {batch}\n{stopping}"
    )
}

/// Names of columns, many of one name and numbers behind it as a pattern.
fn patterns(names: &[String], draft: &Draft) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in names {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let alike = |other: &&String| {
            other
                .strip_prefix(stem)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let count = names.iter().filter(alike).count();
        // The pattern must mean these columns and no others.
        let matched =
            draft.columns.iter().filter(|other| other.starts_with(stem) && !draft.is_closed(other)).count();
        let text = if stem.len() < name.len() && !stem.is_empty() && count >= ALIKE && matched == count {
            format!("{}*", escaped_signs(stem))
        } else {
            escaped(name)
        };
        if !out.contains(&text) {
            out.push(text);
        }
    }
    out
}

impl Draft {
    /// Whether a pattern of inputs passes over a column.
    fn is_closed(&self, name: &str) -> bool {
        self.asked.targets.iter().any(|target| target == name)
            || self.ignore.iter().any(|(ignored, _)| ignored == name)
            || [&self.asked.tasks_by, &self.asked.group].into_iter().flatten().any(|own| own == name)
    }
}

/// A name that means its column alone.
fn escaped(name: &str) -> String {
    if name == "rest" { "\\rest".to_owned() } else { escaped_signs(name) }
}

fn escaped_signs(name: &str) -> String {
    name.replace('\\', "\\\\").replace('*', "\\*")
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| one_line(text)).collect::<Vec<_>>().join(", "))
}

/// A list in lines that are not too long; the word `rest` and a single pattern stand by themselves.
fn wrapped(names: &[String]) -> String {
    const WIDTH: usize = 100;
    if let [only] = names
        && (only == "rest" || only.ends_with('*'))
    {
        return one_line(only);
    }
    let one = list(names);
    if one.len() <= WIDTH {
        return one;
    }
    let (mut text, mut line) = ("[\n".to_owned(), String::new());
    for name in names {
        let item = format!("{}, ", one_line(name));
        if line.len() + item.len() > WIDTH {
            let _ = writeln!(text, "  {}", line.trim_end());
            line.clear();
        }
        line.push_str(&item);
    }
    let _ = write!(text, "  {}\n]", line.trim_end());
    text
}

/// What can stand in a comment: one line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
