//! `cargo xtask doctor`: what was found, what is missing, how to fix it.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cache::{self, Cache};
use crate::config;
use crate::libtorch::{self, Origin};
use crate::pip;
use crate::platform::{Platform, Support};
use crate::repo::Repository;
use crate::wheels::{Compute, wheels};

/// The first cargo whose configuration files can include others.
const OLDEST_CARGO: (u32, u32) = (1, 94);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    state: State,
    found: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Good,
    /// Works without, or is not known to be wrong.
    Note(String),
    /// Needed; with what to do about it.
    Missing(String),
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Good, found: found.into() }
    }

    fn note(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what, state: State::Note(hint.into()), found: found.into() }
    }

    fn missing(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, state: State::Missing(remedy.into()), found: found.into() }
    }
}

/// Prints the findings; fails when something needed is missing.
pub(crate) fn doctor(repo: &Repository) -> Result<ExitCode> {
    let platform = Platform::host()?;
    let libtorch = libtorch(repo, platform);
    let have_libtorch = libtorch.state == State::Good;
    let findings = [
        machine(platform),
        toolchain(repo, "rustc"),
        cargo(repo),
        compiler(),
        libtorch,
        configuration(repo),
        flags(),
        python(have_libtorch),
        disk(platform, have_libtorch)?,
        cuda(repo, platform),
    ];
    print!("{}", report(&findings));
    let lacking = findings.iter().any(|finding| matches!(finding.state, State::Missing(_)));
    Ok(if lacking { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let lines = findings.iter().map(|Finding { what, state, found }| {
        let (sign, hint) = match state {
            State::Good => ("ok  ", None),
            State::Note(hint) => ("note", Some(hint)),
            State::Missing(hint) => ("MISS", Some(hint)),
        };
        let hint = hint.map_or_else(String::new, |hint| format!("      {:width$}  -> {hint}\n", ""));
        format!("{sign}  {what:width$}  {found}\n{hint}")
    });
    lines.collect()
}

fn machine(platform: Platform) -> Finding {
    match platform.support() {
        Support::Tried => Finding::good("machine", platform.to_string()),
        Support::Untried => Finding::note(
            "machine",
            platform.to_string(),
            "set-up follows the published wheels, but was never run on such a machine by its authors",
        ),
    }
}

fn toolchain(repo: &Repository, program: &'static str) -> Finding {
    match first_line(repo.command(program).arg("--version")) {
        Some(line) => Finding::good(program, line),
        None => Finding::missing(program, "not found", "install Rust: https://rustup.rs"),
    }
}

fn cargo(repo: &Repository) -> Finding {
    let Some(line) = first_line(repo.cargo().arg("--version")) else {
        return Finding::missing("cargo", "not found", "install Rust: https://rustup.rs");
    };
    match minor_version(&line) {
        Some(version) if version < OLDEST_CARGO => {
            let (major, minor) = OLDEST_CARGO;
            let remedy = format!(
                "{major}.{minor} or newer is needed: `rustup toolchain install` here takes the right one"
            );
            Finding::missing("cargo", line, remedy)
        }
        _ => Finding::good("cargo", line),
    }
}

/// `torch-sys` compiles its C++ half with the compiler that the `cc` crate would take.
fn compiler() -> Finding {
    let program = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    match first_line(Command::new(&program).arg("--version")) {
        Some(line) => Finding::good("C++ compiler", line),
        None => Finding::missing(
            "C++ compiler",
            format!("`{program}` not found"),
            "Debian, Ubuntu: `sudo apt-get install g++`; Fedora: `sudo dnf install gcc-c++`; macOS: `xcode-select \
             --install`; or set CXX",
        ),
    }
}

fn libtorch(repo: &Repository, platform: Platform) -> Finding {
    const WHAT: &str = "libtorch";
    let (path, from) = match libtorch::origin(repo) {
        Ok(Origin::PyTorch(path)) => (path, "LIBTORCH_USE_PYTORCH"),
        Ok(Origin::Variable(path)) => (path, "LIBTORCH"),
        Ok(Origin::Configured(path)) => (path, ".cargo/libtorch.toml"),
        Ok(Origin::Unset) => return Finding::missing(WHAT, "not set up", "cargo xtask setup"),
        Err(error) => return Finding::missing(WHAT, "not usable", format!("{error:#}")),
    };
    if let Err(error) = libtorch::check(&path, platform) {
        let way = if from == "LIBTORCH" { "mend it, or unset it and run" } else { "run" };
        let remedy = format!("{error:#}; {way} `cargo xtask setup`");
        return Finding::missing(WHAT, format!("{} (from {from})", path.display()), remedy);
    }
    let version = libtorch::version(&path).unwrap_or_else(|| "of unknown version".to_owned());
    Finding::good(WHAT, format!("{version} in {} (from {from})", path.display()))
}

fn configuration(repo: &Repository) -> Finding {
    let file = repo.config_file();
    let place = file.strip_prefix(repo.root()).unwrap_or(&file).display().to_string();
    if config::configured(&repo.config_file()).is_some() {
        return Finding::good("configuration", place);
    }
    Finding::missing("configuration", format!("{place} is absent"), "cargo xtask setup")
}

/// Flags in the environment replace those of the configuration.
fn flags() -> Finding {
    let set =
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"].into_iter().find(|name| std::env::var_os(name).is_some());
    match set {
        None => Finding::good("RUSTFLAGS", "not set"),
        Some(name) => Finding::note(
            "RUSTFLAGS",
            format!("{name} is set"),
            "cargo then drops the flags that let programs find libtorch: unset it, or add those of .cargo/libtorch.toml",
        ),
    }
}

fn python(have_libtorch: bool) -> Finding {
    match pip::version() {
        Ok(line) => Finding::good("pip", line),
        Err(error) if have_libtorch => {
            Finding::note("pip", format!("{error:#}"), "only set-up needs it, and libtorch is there")
        }
        Err(error) => Finding::missing("pip", format!("{error:#}"), pip::REMEDY),
    }
}

/// Space where the cache lies: 0.6 GB of downloads and 1.3 GB unpacked.
fn disk(platform: Platform, have_libtorch: bool) -> Result<Finding> {
    const NEEDED: f64 = 2.0;
    let cache = Cache::locate(platform)?;
    let place = cache.base().ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let output = Command::new("df").args(["-P", "-k"]).arg(place).output();
    let Some(free) = output.ok().and_then(|output| free_gigabytes(&String::from_utf8_lossy(&output.stdout)))
    else {
        return Ok(Finding::note("disk", "unknown", format!("`df` does not tell; set-up needs {NEEDED} GB")));
    };
    let found = format!("{free:.1} GB free at {}", place.display());
    Ok(if free >= NEEDED || have_libtorch {
        Finding::good("disk", found)
    } else {
        Finding::missing("disk", found, format!("set-up needs {NEEDED} GB: free some, or set MANYTASK_CACHE"))
    })
}

fn cuda(repo: &Repository, platform: Platform) -> Finding {
    let driver = fs_err::read_to_string("/proc/driver/nvidia/version").ok();
    let Some(driver) = driver.as_deref().and_then(|text| text.lines().next()) else {
        return Finding::good("CUDA", "no driver; training runs on the CPU");
    };
    let table = wheels(platform, Compute::Cuda).unwrap_or_default();
    let cached =
        config::configured(&repo.config_file()).and_then(|torch| torch.parent().map(Path::to_path_buf));
    if cached.is_some_and(|folder| !table.is_empty() && cache::is_whole(&folder, &table)) {
        return Finding::good("CUDA", driver);
    }
    Finding::note("CUDA", driver, "for training on the GPU: `cargo xtask setup --cuda`")
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// `cargo 1.95.0 (…)` -> `(1, 95)`.
fn minor_version(line: &str) -> Option<(u32, u32)> {
    let mut parts = line.split_whitespace().nth(1)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The fourth column of `df -P -k`, in kibibytes.
fn free_gigabytes(table: &str) -> Option<f64> {
    let kibibytes: f64 = table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_space_are_read() {
        assert_eq!(minor_version("cargo 1.95.0 (f2d3ce0bd 2026-03-21)"), Some((1, 95)));
        assert_eq!(minor_version("cargo"), None);
        assert!(minor_version("cargo 1.93.1").unwrap() < OLDEST_CARGO);
        let table = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 9 9 2000000 50% /\n";
        assert_eq!(free_gigabytes(table), Some(2.048));
        assert_eq!(free_gigabytes(""), None);
    }

    #[test]
    fn the_report_gives_a_remedy_under_what_is_missing() {
        let findings = [Finding::good("a", "1.0"), Finding::missing("longer", "not found", "get it")];
        assert_eq!(
            report(&findings),
            "ok    a       1.0\nMISS  longer  not found\n              -> get it\n"
        );
    }
}
