//! Where tables that were read before are kept.

use std::ffi::OsString;
use std::path::PathBuf;

/// The variable that turns it off, with the word `off`, or names another folder.
pub const VARIABLE: &str = "MANYTASK_TABLES";

/// The folder for this user: `MANYTASK_TABLES`, else `manytask/tables` in `XDG_CACHE_HOME` or `~/.cache`; `None` where it is
/// turned off or there is no home.
pub(crate) fn folder() -> Option<PathBuf> {
    folder_by(|name| std::env::var_os(name))
}

fn folder_by(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match set(VARIABLE) {
        Some(word) if word.as_os_str() == "off" => return None,
        Some(folder) => return Some(folder),
        None => {}
    }
    // The specification has relative paths ignored.
    let caches = set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let caches = caches.or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(caches.join("manytask").join("tables"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_folder_is_the_users_unless_it_is_named_or_turned_off() {
        let of = |set: &[(&str, &str)]| {
            folder_by(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
        };
        let home = ("HOME", "/h");
        assert_eq!(of(&[home]).as_deref(), Some(Path::new("/h/.cache/manytask/tables")));
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", "/c")]).as_deref(), Some(Path::new("/c/manytask/tables")));
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", "relative")]), of(&[home]));
        assert_eq!(of(&[home, (VARIABLE, "/t")]).as_deref(), Some(Path::new("/t")));
        assert_eq!(of(&[home, (VARIABLE, "")]), of(&[home]));
        assert_eq!(of(&[home, (VARIABLE, "off")]), None);
        assert_eq!(of(&[]), None);
    }
}
