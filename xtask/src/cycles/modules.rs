//! The modules of a crate, and what a path in one of them names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::graph::Import;
use super::source::{Mention, Module, below, modules};

/// The modules of a crate by their paths.
#[derive(Debug)]
pub(super) struct Modules {
    all: BTreeMap<Vec<String>, Placed>,
}

/// A module and the file that it is in.
#[derive(Debug)]
struct Placed {
    file: PathBuf,
    module: Module,
}

impl Modules {
    /// All modules from the root of a crate on.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let folder = root.parent().context("a crate without a folder")?;
        let mut all = BTreeMap::new();
        let mut open = vec![(root.to_path_buf(), Vec::new())];
        while let Some((file, path)) = open.pop() {
            let text = fs_err::read_to_string(&file)?;
            for module in modules(&text, &path).with_context(|| file.display().to_string())? {
                for child in &module.children {
                    let path = below(&module.path, child);
                    let place = path.iter().fold(folder.to_path_buf(), |folder, name| folder.join(name));
                    let file = place.with_extension("rs");
                    open.push((if file.exists() { file } else { place.join("mod.rs") }, path));
                }
                all.insert(module.path.clone(), Placed { file: file.clone(), module });
            }
        }
        Ok(Self { all })
    }

    /// What modules beside each other import of each other, each together with all modules below it. Between a module and those
    /// below it there is none: they are one.
    pub(super) fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for Placed { file, module } in self.all.values() {
            for Mention { path, line } in module.uses.iter().map(|used| &used.mention).chain(&module.paths) {
                let Some(to) = self.defining(&module.path, path) else { continue };
                let common = module.path.iter().zip(&to).take_while(|(one, other)| one == other).count();
                let beside = (module.path.get(..=common), to.get(..=common), self.all.get(&to));
                let (Some(from), Some(imported), Some(placed)) = beside else { continue };
                imports.push(Import {
                    modules: [from.to_vec(), imported.to_vec()],
                    file: file.clone(),
                    line: *line,
                    defined_in: placed.file.clone(),
                    item: path.join("::"),
                });
            }
        }
        imports
    }

    /// The module that defines what a path in a module names; `None` where that is not of this crate.
    fn defining(&self, from: &[String], path: &[String]) -> Option<Vec<String>> {
        /// The most re-exports behind each other.
        const MOST: usize = 16;
        self.follow(from, path, MOST)
    }

    fn follow(&self, from: &[String], path: &[String], left: usize) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.within(&[], rest, left),
            "self" => self.within(from, rest, left),
            "super" => self.within(from.split_last()?.1, rest, left),
            name if self.all.contains_key(&below(from, name)) => self.within(from, path, left),
            name => self.follow(from, &self.brought(from, name, rest)?, left.checked_sub(1)?),
        }
    }

    /// What a path from a module on names.
    fn within(&self, module: &[String], path: &[String], left: usize) -> Option<Vec<String>> {
        let Some((first, rest)) = path.split_first() else { return Some(module.to_vec()) };
        if first == "super" {
            return self.within(module.split_last()?.1, rest, left);
        }
        let next = below(module, first);
        if self.all.contains_key(&next) {
            return self.within(&next, rest, left);
        }
        match self.brought(module, first, rest) {
            Some(path) => self.follow(module, &path, left.checked_sub(1)?),
            None => Some(module.to_vec()),
        }
    }

    /// The whole path, where a declaration brings its first name into the scope of a module.
    fn brought(&self, module: &[String], name: &str, rest: &[String]) -> Option<Vec<String>> {
        let uses = &self.all.get(module)?.module.uses;
        let used = uses.iter().find(|used| used.name.as_deref() == Some(name))?;
        Some([used.mention.path.as_slice(), rest].concat())
    }
}
