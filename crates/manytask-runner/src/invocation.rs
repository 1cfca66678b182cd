//! The command as it can be called again, for lines that a reader pastes into a shell.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The name of this program by which a shell finds it: its bare name where `PATH` leads to it, otherwise the path by which it
/// was called.
pub(crate) fn program() -> String {
    let called = std::env::args_os().next().map_or_else(|| "manytask".into(), PathBuf::from);
    let own = std::env::current_exe().and_then(fs_err::canonicalize).ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    quoted(&shortest(&called, own.as_deref(), &path))
}

/// A path as one word of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "_./-+=:@%,".contains(c);
    let option = text.starts_with('-');
    let text = if option { format!("./{text}") } else { text.into_owned() };
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else if text.contains(char::is_control) {
        // What a path holds must not steer a terminal.
        let escape = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        format!("$'{}'", text.chars().map(escape).collect::<String>())
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn shortest(called: &Path, own: Option<&Path>, path: &OsStr) -> PathBuf {
    let Some(name) = called.file_name().filter(|_| called.components().count() > 1) else {
        return called.to_owned();
    };
    // The first of this name is what a shell takes.
    let found = std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let found = found.and_then(|file| fs_err::canonicalize(file).ok());
    if found.is_some() && found.as_deref() == own { name.into() } else { called.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_are_quoted_where_they_must_be() {
        for (path, word) in [
            ("runs/a-2", "runs/a-2"),
            ("runs/Ünï v1.2", "'runs/Ünï v1.2'"),
            ("it's", "'it'\\''s'"),
            ("-x", "./-x"),
            ("a$b", "'a$b'"),
            ("a\u{1b}[1m'\n", "$'a\\u001b[1m\\'\\u000a'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }

    #[test]
    fn a_program_that_the_path_leads_to_has_its_bare_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = fs_err::canonicalize(folder.path()).unwrap();
        let (first, second) = (folder.join("1"), folder.join("2"));
        for place in [&first, &second] {
            fs_err::create_dir(place).unwrap();
            fs_err::write(place.join("manytask"), "").unwrap();
        }
        let path = std::env::join_paths([&first, &second]).unwrap();
        let program = first.join("manytask");
        assert_eq!(shortest(&program, Some(&program), &path), Path::new("manytask"));
        assert_eq!(shortest(Path::new("manytask"), None, &path), Path::new("manytask"));
        // Another program of the name comes first.
        let other = second.join("manytask");
        assert_eq!(shortest(&other, Some(&other), &path), other);
        assert_eq!(shortest(&program, Some(&program), OsStr::new("")), program);
    }
}
