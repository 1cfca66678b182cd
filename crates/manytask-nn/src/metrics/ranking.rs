//! Metrics of an order of rows. Rows with one score stand at one place.

use super::Row;

/// The weights of positive and negative rows at each score, from the highest down.
fn indices(rows: &[Row]) -> Vec<(f64, f64)> {
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by(|a, b| b.x.total_cmp(&a.x));
    let mut indices: Vec<(f64, f64)> = Vec::new();
    let mut last = None;
    for row in order {
        if last != Some(row.x) {
            indices.push((0.0, 0.0));
            last = Some(row.x);
        }
        if let Some((positive, negative)) = indices.last_mut() {
            if row.y > 0.5 { *positive += row.w } else { *negative += row.w }
        }
    }
    indices
}

pub(super) fn roc_auc(rows: &[Row]) -> Option<f64> {
    if rows.iter().any(|row| row.x.is_nan()) {
        return None;
    }
    let (mut above, mut area, mut negatives) = (0.0, 0.0, 0.0);
    for (positive, negative) in indices(rows) {
        area += negative * (above + positive / 2.0);
        above += positive;
        negatives += negative;
    }
    (above > 0.0 && negatives > 0.0).then(|| area / (above * negatives))
}

pub(super) fn average_precision(rows: &[Row]) -> Option<f64> {
    if rows.iter().any(|row| row.x.is_nan()) {
        return None;
    }
    let (mut found, mut seen, mut sum) = (0.0, 0.0, 0.0);
    for (positive, negative) in indices(rows) {
        found += positive;
        seen += positive + negative;
        sum += positive * found / seen;
    }
    (found > 0.0).then(|| sum / found)
}
