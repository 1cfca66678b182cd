//! What a user should know of data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::words::examples;

/// Notes of one sort that are shown one by one.
const NOTED: usize = 8;

/// Something about data that a user should know, with the column, target or task, the part, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Note(pub String);

/// Something about the labels of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNote {
    /// What it is.
    pub text: String,
    /// The tasks it is about; none: all.
    pub tasks: Vec<String>,
    /// How it is shown.
    pub form: NoteForm,
}

/// How a [`TaskNote`] is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteForm {
    /// With the names of the tasks behind the text.
    Listed,
    /// The text names its task. Of many alike the last ones are counted, as further targets that are so.
    OneOfMany(String),
}

impl TaskNote {
    /// About one task; `what` is said of many like it.
    pub(crate) fn of(task: &str, text: String, what: &str) -> Self {
        Self { text, tasks: vec![task.to_owned()], form: NoteForm::OneOfMany(what.to_owned()) }
    }

    /// What of it is about tasks that are kept.
    pub(super) fn kept(mut self, keeps: impl Fn(&str) -> bool) -> Option<Self> {
        if self.tasks.is_empty() {
            return Some(self);
        }
        self.tasks.retain(|task| keeps(task));
        (!self.tasks.is_empty()).then_some(self)
    }
}

/// The first of several notes of one sort, each on a column, and how many columns are left.
pub(crate) fn capped(mut notes: Vec<Note>, what: &str) -> Vec<Note> {
    let left = notes.len().saturating_sub(NOTED);
    notes.truncate(NOTED);
    if left > 0 {
        notes.push(Note(format!("{left} further columns {what}")));
    }
    notes
}

/// The notes as they are shown: of many alike the first ones, and how many are left.
pub(super) fn shown(notes: &[TaskNote]) -> Vec<String> {
    let mut lines = Vec::new();
    for alike in notes.chunk_by(|a, b| a.form == b.form) {
        match alike.first().map(|note| &note.form) {
            Some(NoteForm::OneOfMany(what)) => {
                lines.extend(alike.iter().take(NOTED).map(|note| note.text.clone()));
                if alike.len() > NOTED {
                    lines.push(format!("{} further targets {what}", alike.len() - NOTED));
                }
            }
            _ => lines.extend(alike.iter().map(|note| {
                format!("{}: task {}", note.text, examples(note.tasks.iter().map(String::as_str)))
            })),
        }
    }
    lines
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
