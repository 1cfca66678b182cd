//! The closing table of a benchmark run.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One benchmark. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) median: f64,
    /// Median absolute deviation.
    pub(super) spread: f64,
    /// The median of the baseline.
    pub(super) baseline: Option<f64>,
}

impl Row {
    /// From criterion's `benchmark.json`, its `estimates.json`, and the baseline's.
    pub(super) fn new(benchmark: &Value, estimates: &Value, baseline: Option<&Value>) -> Result<Self> {
        let estimate = |from: &Value, name: &str| {
            from[name]["point_estimate"].as_f64().with_context(|| format!("no {name}"))
        };
        Ok(Self {
            name: benchmark["full_id"].as_str().context("no full_id")?.to_owned(),
            median: estimate(estimates, "median")?,
            spread: estimate(estimates, "median_abs_dev")?,
            baseline: baseline.map(|baseline| estimate(baseline, "median")).transpose()?,
        })
    }

    /// Per cent that this run took more than the baseline.
    fn change(&self) -> Option<f64> {
        self.baseline.map(|baseline| 100.0 * (self.median / baseline - 1.0))
    }
}

/// Aligned columns; the change only where there is a baseline.
pub(super) fn text(rows: &[Row]) -> String {
    let names = rows.iter().map(|row| row.name.chars().count());
    let width = names.chain(["benchmark".len()]).max().unwrap_or(0);
    let compared = rows.iter().any(|row| row.baseline.is_some());
    let line = |name: &str, median: &str, spread: &str, change: String| {
        let line = format!("{name:width$}  {median:>10}  {spread:>7}");
        if compared { format!("{line}  {change:>8}\n") } else { line + "\n" }
    };
    let rows = rows.iter().map(|row| {
        let spread = format!("{:.1}%", 100.0 * row.spread / row.median);
        let change = row.change().map_or_else(|| "new".to_owned(), |change| format!("{change:+.1}%"));
        line(&row.name, &time(row.median), &spread, change)
    });
    std::iter::once(line("benchmark", "median", "spread", "change".to_owned())).chain(rows).collect()
}

/// The same for programs: times in nanoseconds, the change in per cent.
pub(super) fn json(rows: &[Row], threads: usize) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "median_ns": row.median,
                "median_abs_dev_ns": row.spread,
                "baseline_median_ns": row.baseline,
                "change_percent": row.change(),
            })
        })
        .collect();
    json!({ "threads": threads, "benchmarks": rows })
}

/// A line for each benchmark that is slower than the gate allows.
pub(super) fn slower(rows: &[Row], percent: f64) -> Vec<String> {
    rows.iter()
        .filter_map(|row| {
            let change = row.change().filter(|change| *change > percent)?;
            Some(format!("{} by {change:.1}%, allowed are {percent}%", row.name))
        })
        .collect()
}

fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{value:.2} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, median: f64, baseline: Option<f64>) -> Row {
        Row { name: name.to_owned(), median, spread: median / 100.0, baseline }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [row("a", 1234.0, Some(1000.0)), row("longer/name", 5e6, None)];
        assert_eq!(
            text(&rows),
            "benchmark        median   spread    change\n\
             a               1.23 µs     1.0%    +23.4%\n\
             longer/name     5.00 ms     1.0%       new\n"
        );
        assert!(!text(&rows[1..]).contains("change"));
    }

    #[test]
    fn the_gate_lets_noise_and_news_pass() {
        let rows = [row("a", 104.0, Some(100.0)), row("b", 106.0, Some(100.0)), row("c", 1.0, None)];
        assert_eq!(slower(&rows, 5.0), ["b by 6.0%, allowed are 5%"]);
        assert!(slower(&rows, 10.0).is_empty());
    }

    #[test]
    fn json_has_the_change() {
        let value = json(&[row("a", 150.0, Some(100.0)), row("b", 1.0, None)], 2);
        assert_eq!(value["threads"], 2);
        assert_eq!(value["benchmarks"][0]["change_percent"], 50.0);
        assert!(value["benchmarks"][1]["change_percent"].is_null());
    }

    #[test]
    fn another_form_is_an_error_that_names_what_is_missing() {
        let error = Row::new(&json!({ "full_id": "a" }), &json!({}), None).unwrap_err().to_string();
        assert!(error.contains("median"), "{error}");
    }
}
