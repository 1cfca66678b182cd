//! What was measured, between two marks of a document.

use std::path::Path;

use anyhow::{Context, Result};

/// The text with what was measured between its two marks, in place of what stood there.
pub(crate) fn replaced(path: &Path, text: &str, marks: [&str; 2], measured: &str) -> Result<String> {
    let [begin, end] = marks;
    let parts = text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = parts.with_context(|| format!("{} has not the lines {marks:?}", path.display()))?;
    Ok(format!("{before}{begin}\n{measured}{end}{after}"))
}

/// `2 cores of` the processor's name.
pub(crate) fn processor() -> String {
    let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{cores} cores of {model}")
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
    }
}
