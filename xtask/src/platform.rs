//! The machines manytask is built for, and how Python packaging names them.

use std::fmt;

use anyhow::{Result, bail};

use crate::versions::TORCH_VERSION;

/// A supported machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    LinuxX86,
    LinuxArm,
    MacArm,
}

/// How far a platform's set-up has been tried by the developers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    Tried,
    /// The wheels were named and hashed, but nothing was built or run on such a machine.
    Untried,
}

impl Platform {
    /// The machine this program runs on.
    pub(crate) fn host() -> Result<Self> {
        Self::from_names(std::env::consts::OS, std::env::consts::ARCH)
    }

    /// The platform of an operating system and an architecture in Rust's spelling.
    pub(crate) fn from_names(os: &str, arch: &str) -> Result<Self> {
        match (os, arch) {
            ("linux", "x86_64") => Ok(Self::LinuxX86),
            ("linux", "aarch64") => Ok(Self::LinuxArm),
            ("macos", "aarch64") => Ok(Self::MacArm),
            _ => bail!(
                "there is no libtorch set-up for {os} on {arch}: install libtorch {TORCH_VERSION} yourself and set LIBTORCH \
                 to its folder (the one with `lib` and `include`)"
            ),
        }
    }

    pub(crate) fn support(self) -> Support {
        match self {
            Self::LinuxX86 => Support::Tried,
            Self::LinuxArm | Self::MacArm => Support::Untried,
        }
    }

    /// The tags given to `pip --platform`, newest first. An explicit `--platform` does not imply older
    /// ones, so every tag that one of the wheels carries has to be there.
    pub(crate) fn pip_tags(self) -> Vec<String> {
        match self {
            Self::LinuxX86 => manylinux("x86_64", 5),
            Self::LinuxArm => manylinux("aarch64", 17),
            Self::MacArm => vec!["macosx_11_0_arm64".to_owned()],
        }
    }

    /// The file name of a shared library.
    pub(crate) fn library(self, stem: &str) -> String {
        match self {
            Self::LinuxX86 | Self::LinuxArm => format!("lib{stem}.so"),
            Self::MacArm => format!("lib{stem}.dylib"),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinuxX86 => "x86_64-linux",
            Self::LinuxArm => "aarch64-linux",
            Self::MacArm => "aarch64-macos",
        })
    }
}

/// `manylinux_2_28_…` down to `manylinux_2_<oldest>_…`, and the one older spelling still in use.
fn manylinux(arch: &str, oldest: u32) -> Vec<String> {
    let mut tags: Vec<String> =
        (oldest..=28).rev().map(|minor| format!("manylinux_2_{minor}_{arch}")).collect();
    tags.push(format!("manylinux2014_{arch}"));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_platforms_and_a_remedy_for_the_others() {
        assert_eq!(Platform::from_names("linux", "x86_64").unwrap(), Platform::LinuxX86);
        assert_eq!(Platform::from_names("linux", "aarch64").unwrap(), Platform::LinuxArm);
        assert_eq!(Platform::from_names("macos", "aarch64").unwrap(), Platform::MacArm);
        let error = Platform::from_names("windows", "x86_64").unwrap_err().to_string();
        assert!(error.contains("windows") && error.contains("LIBTORCH"), "{error}");
    }

    #[test]
    fn only_what_was_tried_says_so() {
        assert_eq!(Platform::LinuxX86.support(), Support::Tried);
        assert_eq!(Platform::LinuxArm.support(), Support::Untried);
        assert_eq!(Platform::MacArm.support(), Support::Untried);
    }

    #[test]
    fn libraries_are_named_as_the_system_names_them() {
        assert_eq!(Platform::LinuxArm.library("torch_cpu"), "libtorch_cpu.so");
        assert_eq!(Platform::MacArm.library("torch_cpu"), "libtorch_cpu.dylib");
    }
}
