//! `.cargo/libtorch.toml`: tells cargo, rust-analyzer and the linker where libtorch lies.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The linker's arguments that let a binary find libtorch when it starts.
pub(crate) fn link_flags(libtorch: &Path) -> Result<[String; 2]> {
    let path = utf8(libtorch)?;
    if path.contains(',') {
        // `-Wl,` separates its arguments by commas.
        bail!(
            "the linker cannot take a path with a comma: {path}; choose another folder with MANYTASK_CACHE or \
             LIBTORCH"
        );
    }
    Ok(["-C".to_owned(), format!("link-arg=-Wl,-rpath,{path}/lib")])
}

/// The text of the configuration for a libtorch folder (the one with `lib` and `include`).
///
/// The flags for rustc are under `target` because cargo joins those with the user's own `target` flags,
/// whereas it drops `build.rustflags` as soon as there are any.
pub(crate) fn text(libtorch: &Path) -> Result<String> {
    let path = quoted(utf8(libtorch)?);
    let [first, second] = link_flags(libtorch)?.map(|flag| quoted(&flag));
    Ok(format!(
        "# Written by `cargo xtask setup`.\n\
         [env]\n\
         LIBTORCH = {path}\n\
         [target.'cfg(unix)']\n\
         rustflags = [{first}, {second}]\n\
         [build]\n\
         rustdocflags = [{first}, {second}]\n"
    ))
}

/// Writes the configuration, atomically; leaves an equal file alone.
pub(crate) fn write(path: &Path, libtorch: &Path) -> Result<()> {
    let text = text(libtorch)?;
    if fs_err::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let folder = path.parent().context("the configuration has no folder")?;
    fs_err::create_dir_all(folder)?;
    let partial = folder.join(format!(".libtorch.toml.{}", std::process::id()));
    let mut file = fs_err::File::create(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs_err::rename(&partial, path)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The libtorch folder that the configuration in a file names, if there is one.
pub(crate) fn configured(file: &Path) -> Option<PathBuf> {
    parse(&fs_err::read_to_string(file).ok()?)
}

/// The user's own `LIBTORCH`. Under `cargo run` the variable may come from the configuration in a file; then it
/// says nothing new.
pub(crate) fn user_libtorch(file: &Path) -> Option<PathBuf> {
    let set = std::env::var_os("LIBTORCH").map(PathBuf::from)?;
    (configured(file).as_ref() != Some(&set)).then_some(set)
}

fn parse(text: &str) -> Option<PathBuf> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("LIBTORCH = \""))?;
    let value = value.strip_suffix('"')?;
    Some(PathBuf::from(value.replace("\\\"", "\"").replace("\\\\", "\\")))
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("cargo's configuration needs a UTF-8 path, not {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_libtorch_three_times() {
        let text = text(Path::new("/opt/libtorch")).unwrap();
        assert_eq!(
            text,
            "# Written by `cargo xtask setup`.\n\
             [env]\n\
             LIBTORCH = \"/opt/libtorch\"\n\
             [target.'cfg(unix)']\n\
             rustflags = [\"-C\", \"link-arg=-Wl,-rpath,/opt/libtorch/lib\"]\n\
             [build]\n\
             rustdocflags = [\"-C\", \"link-arg=-Wl,-rpath,/opt/libtorch/lib\"]\n"
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        for path in ["/opt/libtorch", "/home/a b/torch", "/odd/\"quoted\"/x"] {
            assert_eq!(parse(&text(Path::new(path)).unwrap()), Some(PathBuf::from(path)));
        }
        assert_eq!(parse("[env]\nOTHER = \"x\"\n"), None);
    }

    #[test]
    fn a_comma_is_refused_with_a_remedy() {
        let error = text(Path::new("/a,b/torch")).unwrap_err().to_string();
        assert!(error.contains("/a,b/torch") && error.contains("MANYTASK_CACHE"), "{error}");
    }
}
