//! Tables that an example of a crate prints.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::maker::Maker;

/// An example that prints Markdown.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) package: &'static str,
    pub(super) example: &'static str,
}

impl Printed {
    /// Builds and runs it.
    pub(super) fn lines(&self, maker: &Maker<'_>) -> Result<Vec<String>> {
        let mut command = maker.repo.cargo();
        command.args(["run", "--quiet", "--package", self.package, "--example", self.example]);
        let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("the example `{}` failed: see above", self.example);
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().lines().map(str::to_owned).collect())
    }
}
