//! Columns in the making: distinct texts and their numbers.

use super::{Column, MISSING};

/// Distinct strings, numbered in order of first occurrence.
pub(super) struct Interner {
    levels: Vec<String>,
    /// Open addressing: the number of a level plus one, or zero.
    slots: Vec<u32>,
}

/// The text is new and no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Interner {
    pub(super) fn with_levels(levels: Vec<String>) -> Self {
        let mut interner = Self { levels, slots: Vec::new() };
        interner.grow();
        interner
    }

    pub(super) fn into_levels(self) -> Vec<String> {
        self.levels
    }

    /// The number of this text, a new one if it was not seen before and is no `mark` of a missing value.
    pub(super) fn code(&mut self, text: &[u8], mut mark: impl FnMut(&[u8]) -> bool) -> Result<u32, NotUtf8> {
        if (self.levels.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(text) as usize & mask;
        loop {
            // The mask keeps `at` within the slots.
            let Some(slot) = self.slots.get_mut(at) else { return Err(NotUtf8) };
            match slot.checked_sub(1) {
                None if mark(text) => return Ok(MISSING),
                None => {
                    let level = std::str::from_utf8(text).map_err(|_| NotUtf8)?;
                    let code = self.levels.len() as u32;
                    *slot = code + 1;
                    self.levels.push(level.to_owned());
                    return Ok(code);
                }
                Some(code)
                    if self.levels.get(code as usize).is_some_and(|level| level.as_bytes() == text) =>
                {
                    return Ok(code);
                }
                Some(_) => at = (at + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let size = ((self.levels.len() + 2) * 4).next_power_of_two();
        self.slots = vec![0; size];
        for (code, level) in self.levels.iter().enumerate() {
            let mut at = hash(level.as_bytes()) as usize & (size - 1);
            while self.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = code as u32 + 1;
            }
        }
    }
}

/// Multiply and rotate, eight bytes at a time; only this process sees the result.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut take = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        take(u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        take(rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
    }
    hash ^ (hash >> 32)
}

/// The marks of missing values: those of every column, and those of one.
#[derive(Clone, Copy)]
pub(super) struct Marks<'a> {
    pub(super) all: &'a [String],
    pub(super) own: &'a [String],
}

/// A column in the making.
pub(super) struct Builder {
    interner: Interner,
    codes: Vec<u32>,
    /// Which marks of missing values stood in it.
    marks: Vec<String>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { interner: Interner::with_levels(Vec::new()), codes: Vec::new(), marks: Vec::new() }
    }

    /// The code of a text, which is not added to the rows yet.
    pub(super) fn code(&mut self, text: &[u8], marks: Marks) -> Result<u32, NotUtf8> {
        let seen = &mut self.marks;
        self.interner.code(text, |text| {
            let is_text = |mark: &&String| mark.as_bytes() == text;
            if marks.own.iter().any(|mark| is_text(&mark)) {
                return true;
            }
            let Some(mark) = marks.all.iter().find(is_text) else { return false };
            if !seen.contains(mark) {
                seen.push(mark.clone());
            }
            true
        })
    }

    /// Adds a row.
    pub(super) fn push(&mut self, code: u32) {
        self.codes.push(code);
    }

    pub(super) fn finish(self, name: String) -> Column {
        Column {
            name,
            named: super::Named::Header,
            levels: self.interner.into_levels(),
            codes: self.codes,
            marks: self.marks,
            absent_from: None,
        }
    }
}
