//! Cycles in a graph of imports.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// A path in a file to an item of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// The module that imports, and that imported: beside each other in one that both are in.
    pub(super) modules: [Vec<String>; 2],
    pub(super) file: PathBuf,
    pub(super) line: usize,
    /// The file that defines the item.
    pub(super) defined_in: PathBuf,
    /// The item as it is written.
    pub(super) item: String,
}

impl Import {
    /// With files as they are called in a folder.
    pub(super) fn describe(&self, folder: &Path) -> String {
        let name = |file: &Path| file.strip_prefix(folder).unwrap_or(file).display().to_string();
        let Self { file, line, defined_in, item, .. } = self;
        format!("{}:{line} imports `{item}` of {}", name(file), name(defined_in))
    }
}

/// The first import of each module from each other.
type Graph = BTreeMap<Vec<String>, BTreeMap<Vec<String>, Import>>;

/// Cycles, the shortest first. No two have an import in common; without those that are in one there is none.
pub(super) fn cycles(imports: Vec<Import>) -> Vec<Vec<Import>> {
    let mut graph = Graph::new();
    for import in imports {
        let [from, to] = import.modules.clone();
        graph.entry(from).or_default().entry(to).or_insert(import);
    }
    let mut found = Vec::new();
    while let Some(cycle) = graph.keys().filter_map(|module| cycle(&graph, module)).min_by_key(Vec::len) {
        for Import { modules: [from, to], .. } in &cycle {
            if let Some(imports) = graph.get_mut(from) {
                imports.remove(to);
            }
        }
        found.push(cycle);
    }
    found
}

/// The shortest way from a module back to it.
fn cycle(graph: &Graph, start: &[String]) -> Option<Vec<Import>> {
    let mut reached: BTreeMap<&[String], &Import> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(module) = open.pop_front() {
        for (to, import) in graph.get(module).into_iter().flatten() {
            if !reached.contains_key(to.as_slice()) {
                reached.insert(to, import);
                open.push_back(to);
            }
        }
    }
    let mut way = vec![*reached.get(start)?];
    while let Some(first) = way.last().filter(|import| import.modules[0] != start) {
        way.push(*reached.get(first.modules[0].as_slice())?);
    }
    Some(way.into_iter().rev().cloned().collect())
}
