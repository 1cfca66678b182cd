//! `cargo xtask reproduce`: the tables of `docs/results`, trained anew.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use self::compared::Compared;
use self::folds::Folds;
use self::maker::Maker;
use self::printed::Printed;
use self::trained::Trained;
use crate::measured::{processor, replaced};
use crate::repo::Repository;

mod compared;
mod folds;
mod maker;
mod meta;
mod multitask;
mod printed;
mod significance;
mod tables;
mod trained;

/// What `cargo xtask reproduce` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which page's tables.
    pub(crate) page: Page,
    /// These tables of the page alone; none: as `extent` says.
    pub(crate) only: Vec<String>,
    /// How much is trained.
    pub(crate) extent: Extent,
    /// A manytask that was built already.
    pub(crate) binary: Option<PathBuf>,
}

/// A page of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Page {
    /// Of tasks on rows.
    #[default]
    Multitask,
    /// Of learners.
    Meta,
    /// Of tables, beside methods for single tables.
    Tables,
}

/// How much is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every table; those of data that are not shipped need `MANYTASK_DATA`.
    #[default]
    All,
    /// The tables of shipped or generated data that are marked so.
    Quick,
}

/// A table between its marks on a page.
#[derive(Debug)]
struct Table {
    /// Its marks on the page.
    name: &'static str,
    /// The folder of its data below `MANYTASK_DATA`; absent: they are shipped or generated.
    data: Option<&'static str>,
    /// Whether `--quick` makes it.
    extent: Extent,
    source: Source,
}

/// Where the lines of a table come from.
#[derive(Debug)]
enum Source {
    /// Trainings of one configuration with other settings in each row.
    Trained(Trained),
    /// `manytask compare-strategies`.
    Compared(Compared),
    /// A table that an example of a crate prints.
    Printed(Printed),
    /// The folds of a table, by manytask and by other systems.
    Folds(Folds),
}

impl Page {
    /// All pages.
    pub(crate) const ALL: [Self; 3] = [Self::Multitask, Self::Meta, Self::Tables];

    /// As the command line names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Multitask => "multitask",
            Self::Meta => "meta",
            Self::Tables => "tables",
        }
    }

    /// From the repository's root.
    fn path(self) -> PathBuf {
        Path::new("docs/results").join(self.name()).with_extension("md")
    }

    /// Its tables, in their order.
    fn tables(self) -> Vec<Table> {
        match self {
            Self::Multitask => multitask::all(),
            Self::Meta => meta::all(),
            Self::Tables => tables::all(),
        }
    }
}

impl Table {
    /// Lines of Markdown.
    fn lines(&self, maker: &Maker<'_>) -> Result<Vec<String>> {
        let data = self.data.map(|folder| Maker::data(self.name, folder)).transpose()?;
        match &self.source {
            Source::Trained(trained) => trained.lines(maker, self.name, data.as_deref()),
            Source::Compared(compared) => compared.lines(maker, self.name, data.as_deref()),
            Source::Printed(printed) => printed.lines(maker),
            Source::Folds(folds) => folds.lines(maker, self.name, data.as_deref()),
        }
    }
}

/// Trains the tables and writes them between their marks of the page.
pub(crate) fn reproduce(repo: &Repository, options: &Options) -> Result<ExitCode> {
    let chosen = chosen(options)?;
    let maker = Maker::new(repo, options.binary.as_deref())?;
    let path = repo.root().join(options.page.path());
    for table in chosen {
        let lines = table.lines(&maker)?;
        let measured = format!("On {}.\n\n{}\n", processor(), lines.join("\n"));
        let text = fs_err::read_to_string(&path)?;
        let marks = marks(table.name);
        fs_err::write(&path, replaced(&path, &text, [&marks[0], &marks[1]], &measured)?)?;
        eprintln!("{}: written into {}", table.name, path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The tables that are meant.
fn chosen(options: &Options) -> Result<Vec<Table>> {
    let all = options.page.tables();
    if let Some(unknown) = options.only.iter().find(|name| all.iter().all(|table| table.name != **name)) {
        let names: Vec<&str> = all.iter().map(|table| table.name).collect();
        bail!("the page {} has no table `{unknown}`: there are {}", options.page.name(), names.join(", "));
    }
    let is_meant = |table: &Table| {
        if options.only.is_empty() {
            options.extent == Extent::All || table.extent == Extent::Quick
        } else {
            options.only.iter().any(|name| name == table.name)
        }
    };
    Ok(all.into_iter().filter(is_meant).collect())
}

fn marks(table: &str) -> [String; 2] {
    ["begin", "end"].map(|place| format!("<!-- {table}: {place} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_place_on_its_page() {
        let repo = Repository::locate().unwrap();
        for page in Page::ALL {
            let path = repo.root().join(page.path());
            let text = fs_err::read_to_string(&path).unwrap();
            let mut names = Vec::new();
            for table in page.tables() {
                let [begin, end] = marks(table.name);
                replaced(&path, &text, [&begin, &end], "").unwrap();
                assert!(!names.contains(&table.name), "two tables {}", table.name);
                names.push(table.name);
            }
            let marked = text.matches(": begin -->").count();
            assert_eq!(marked, names.len(), "{}: marks without a table", path.display());
        }
    }

    #[test]
    fn tables_are_chosen_by_name_or_by_extent() {
        let of = |only: &[&str], extent| Options {
            page: Page::Multitask,
            only: only.iter().map(ToString::to_string).collect(),
            extent,
            binary: None,
        };
        for page in Page::ALL {
            let quick = chosen(&Options { page, ..of(&[], Extent::Quick) }).unwrap();
            assert!(!quick.is_empty() && quick.iter().all(|table| table.data.is_none()), "{page:?}");
        }
        let quick = chosen(&of(&[], Extent::Quick)).unwrap();
        assert!(chosen(&of(&[], Extent::All)).unwrap().len() > quick.len());
        let one = chosen(&of(&["census"], Extent::Quick)).unwrap();
        assert_eq!(one.iter().map(|table| table.name).collect::<Vec<_>>(), ["census"]);
        let error = chosen(&of(&["sensus"], Extent::All)).unwrap_err().to_string();
        assert!(error.contains("`sensus`") && error.contains("census"), "{error}");
    }
}
