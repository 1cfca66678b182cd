//! Columns that count the rows.

use crate::Column;

/// Whether a column without a name numbers the rows, as tables do that were written with their index.
pub(crate) fn numbers_rows(column: &Column) -> bool {
    column.is_nameless() && column.levels().len() > 2 && counts_up(column)
}

/// Whether the values are integers, each one more than the one before, and nearly as many as there are rows.
pub(crate) fn counts_up(column: &Column) -> bool {
    let mut before = None;
    for level in column.levels() {
        let Ok(number) = level.trim().parse::<i64>() else { return false };
        if before.is_some_and(|before: i64| before.checked_add(1) != Some(number)) {
            return false;
        }
        before = Some(number);
    }
    // Files of other parts may count anew.
    2 * column.levels().len() >= column.codes().len()
}
