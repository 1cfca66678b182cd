//! Paths given on the command line: they start where the command runs, those in a file at the file.

use std::borrow::Cow;
use std::path::Path;

use toml::de::DeValue;

/// The keys that hold paths; `*` is any name.
const KEYS: [&[&str]; 6] = [
    &["network", "weights"],
    &["training", "init_from"],
    &["data", "folder"],
    &["data", "source", "path"],
    &["data", "split", "files", "*"],
    &["data", "split", "vinyals", "*"],
];

/// Writes out the relative paths in an override for `key`, where they name something as seen from the working directory;
/// others are left, and start at the file like its own.
pub(super) fn from_here(key: &mut Vec<&str>, value: &mut DeValue<'_>) {
    match value {
        DeValue::String(text) if KEYS.iter().any(|path| fits(path, key)) => {
            let path = Path::new(text.as_ref());
            if path.is_relative()
                && path.exists()
                && let Ok(absolute) = std::path::absolute(path)
                && let Some(absolute) = absolute.to_str()
            {
                *text = Cow::Owned(absolute.to_owned());
            }
        }
        DeValue::Table(table) => {
            for (name, value) in table.iter_mut() {
                let mut inner: Vec<&str> = key.clone();
                inner.push(name.get_ref());
                from_here(&mut inner, value.get_mut());
            }
        }
        _ => {}
    }
}

fn fits(path: &[&str], key: &[&str]) -> bool {
    path.len() == key.len() && path.iter().zip(key).all(|(wanted, name)| *wanted == "*" || wanted == name)
}
