//! What was measured: numbers of several runs, and their place between two marks of a document.

use std::path::Path;

use anyhow::{Context, Result};

/// The text with what was measured between its two marks, in place of what stood there.
pub(crate) fn replaced(path: &Path, text: &str, marks: [&str; 2], measured: &str) -> Result<String> {
    let [begin, end] = marks;
    let parts = text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = parts.with_context(|| format!("{} has not the lines {marks:?}", path.display()))?;
    Ok(format!("{before}{begin}\n{measured}{end}{after}"))
}

/// The median; with an even count the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.wrapping_sub(1)), at(half)) }
}

/// `2 cores of` the processor's name, with its family and model, since virtual machines often hide all of the name but the maker.
pub(crate) fn processor() -> String {
    let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{cores} cores of {}", described(&info))
}

fn described(info: &str) -> String {
    let value = |key: &str| {
        let pairs = info.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == key)
    };
    let Some((_, name)) = value("model name") else { return "an unknown processor".to_owned() };
    match (value("cpu family"), value("model")) {
        (Some((_, family)), Some((_, model))) => format!("{name} (family {family}, model {model})"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let text = "before\n<begin>\nold\n<end>\nafter\n<other>\n";
        let new = replaced(Path::new("R.md"), text, ["<begin>", "<end>"], "new\n").unwrap();
        assert_eq!(new, "before\n<begin>\nnew\n<end>\nafter\n<other>\n");
        let error = replaced(Path::new("R.md"), text, ["<begin>", "<never>"], "new").unwrap_err().to_string();
        assert!(error.contains("R.md") && error.contains("<never>"), "{error}");
    }

    #[test]
    fn a_processor_has_cores() {
        assert!(processor().contains(" cores of "));
        let info = "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nmodel\t\t: 1\n";
        assert_eq!(described(info), "AMD EPYC (family 25, model 17)");
        assert_eq!(described("model name : Other\n"), "Other");
        assert_eq!(described(""), "an unknown processor");
    }

    #[test]
    fn medians_of_even_counts_are_between() {
        assert_eq!(median(vec![4.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
