//! `manytask new`: a starter to train at once and to change.

use std::path::Path;

use manytask_tensor::ShownPath as _;

use crate::cli::{NewArgs, Starter};
use crate::failure::{Code, Failure, Result};
use crate::invocation::{program, quoted};
use crate::report::{print, say};

/// A file with where it goes.
type File = (&'static str, &'static [u8]);

/// The tutorial's network with its data.
const QUICKSTART: [File; 5] = [
    ("quickstart.toml", include_bytes!("../../../../configs/quickstart.toml")),
    (
        "data/census_income/census_income_train.csv.gz",
        include_bytes!("../../../../configs/data/census_income/census_income_train.csv.gz"),
    ),
    (
        "data/census_income/census_income_test.csv.gz",
        include_bytes!("../../../../configs/data/census_income/census_income_test.csv.gz"),
    ),
    ("data/census_income/README.md", include_bytes!("../../../../configs/data/census_income/README.md")),
    ("data/census_income/LICENSE.md", include_bytes!("../../../../configs/data/census_income/LICENSE.md")),
];

/// MAML on sine waves, which are made and not read.
const SINUSOID: [File; 1] =
    [("sinusoid_maml.toml", include_bytes!("../../../../configs/sinusoid_maml.toml"))];

/// `manytask new`.
pub(super) fn new(arguments: &NewArgs) -> Result<()> {
    let files: &[File] = match arguments.starter {
        Starter::Quickstart => &QUICKSTART,
        Starter::Sinusoid => &SINUSOID,
    };
    let folder = &arguments.folder;
    if let Some((name, _)) = files.iter().find(|(name, _)| folder.join(name).exists()) {
        let what = format!("{} is there already", folder.join(name).shown());
        return Err(Failure::new(Code::Usage, what).hint("name another folder behind it"));
    }
    for (name, content) in files {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs_err::write(path, content)?;
    }
    let config = files.first().map(|(name, _)| folder.join(name)).unwrap_or_default();
    say(&format!("{} files were written into {}", files.len(), folder.shown()));
    print(&format!("{} train {}\n", program(), quoted(&config)))
}
