//! Checkable invariants of ARCHITECTURE.md: who may depend on whom, and that every crate is described.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Each crate of the stack with those of ours it may depend on, whatever the kind of dependency.
/// A crate that is not in this list does not pass.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("manytask-tensor", &[]),
    ("manytask-nn", &["manytask-tensor"]),
    ("manytask-data", &["manytask-tensor"]),
    ("manytask-multitask", &["manytask-tensor", "manytask-nn", "manytask-data"]),
    ("manytask-meta", &["manytask-tensor", "manytask-nn", "manytask-data", "manytask-multitask"]),
    ("manytask", &["manytask-tensor", "manytask-nn", "manytask-data", "manytask-multitask", "manytask-meta"]),
    (
        "manytask-benches",
        &[
            "manytask-tensor",
            "manytask-nn",
            "manytask-data",
            "manytask-multitask",
            "manytask-meta",
            "manytask",
        ],
    ),
    ("manytask-fuzz", &["manytask-tensor", "manytask-data", "manytask"]),
    ("xtask", &[]),
];

/// Bindings that only the lowest crate may name.
const BINDINGS: [&str; 2] = ["tch", "torch-sys"];

/// A package and the names of what it depends on directly.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    dependencies: Vec<String>,
}

/// Fails with everything that is wrong, given the output of `cargo metadata` and the text of ARCHITECTURE.md.
pub(crate) fn check(metadata: &Value, document: &str) -> Result<()> {
    let packages = packages(metadata)?;
    let wrong: Vec<String> = packages
        .iter()
        .flat_map(wrong_edges)
        .chain(packages.iter().filter_map(|package| undescribed(package, document)))
        .collect();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let list = metadata["packages"].as_array().context("`cargo metadata` has no packages")?;
    let name = |value: &Value| value["name"].as_str().map(str::to_owned).context("a package without a name");
    list.iter()
        .map(|package| {
            let dependencies =
                package["dependencies"].as_array().context("a package without dependencies")?;
            Ok(Package {
                name: name(package)?,
                dependencies: dependencies.iter().map(name).collect::<Result<_>>()?,
            })
        })
        .collect()
}

fn wrong_edges(package: &Package) -> Vec<String> {
    let Package { name, dependencies } = package;
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
        return vec![format!("{name} has no place in the stack: give it one in xtask/src/architecture.rs")];
    };
    let ours = |dependency: &str| ALLOWED.iter().any(|(known, _)| *known == dependency);
    let mut wrong = Vec::new();
    for dependency in dependencies {
        if ours(dependency) && !allowed.contains(&dependency.as_str()) {
            wrong.push(format!("{name} must not depend on {dependency}: it lies above it or beside it"));
        }
        if BINDINGS.contains(&dependency.as_str()) && name != "manytask-tensor" {
            wrong.push(format!("{name} must not depend on {dependency}: only manytask-tensor does"));
        }
    }
    wrong
}

/// A crate is described where its name stands in backquotes.
fn undescribed(package: &Package, document: &str) -> Option<String> {
    let name = &package.name;
    (!document.contains(&format!("`{name}`"))).then(|| format!("ARCHITECTURE.md does not mention `{name}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::repo::Repository;

    const DOCUMENT: &str = "`manytask-tensor` `manytask-nn` `manytask-data` `manytask-meta` `xtask`";

    fn metadata(packages: &[(&str, &[&str])]) -> Value {
        let packages: Vec<Value> = packages
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<_> = dependencies.iter().map(|name| json!({ "name": name })).collect();
                json!({ "name": name, "dependencies": dependencies })
            })
            .collect();
        json!({ "packages": packages })
    }

    fn message(packages: &[(&str, &[&str])]) -> String {
        check(&metadata(packages), DOCUMENT).unwrap_err().to_string()
    }

    #[test]
    fn this_workspace_holds() {
        let repo = Repository::locate().unwrap();
        let document = fs_err::read_to_string(repo.root().join("ARCHITECTURE.md")).unwrap();
        check(&repo.metadata().unwrap(), &document).unwrap();
    }

    #[test]
    fn the_whole_stack_is_in_this_workspace() {
        let found = packages(&Repository::locate().unwrap().metadata().unwrap()).unwrap();
        for (name, _) in ALLOWED {
            assert!(found.iter().any(|package| package.name == name), "{name}");
        }
    }

    #[test]
    fn what_is_allowed_passes() {
        let stack: [(&str, &[&str]); 3] = [
            ("manytask-tensor", &["tch", "serde"]),
            ("manytask-nn", &["manytask-tensor"]),
            ("manytask-meta", &["manytask-nn", "manytask-data"]),
        ];
        check(&metadata(&stack), DOCUMENT).unwrap();
    }

    #[test]
    fn an_upward_edge_fails() {
        assert!(message(&[("manytask-tensor", &["manytask-nn"])]).contains("must not depend on manytask-nn"));
        assert!(
            message(&[("manytask-data", &["manytask-meta"])]).contains("must not depend on manytask-meta")
        );
    }

    #[test]
    fn a_sideways_edge_fails() {
        assert!(message(&[("manytask-nn", &["manytask-data"])]).contains("must not depend on manytask-data"));
        assert!(message(&[("xtask", &["manytask-tensor"])]).contains("xtask"));
    }

    #[test]
    fn bindings_outside_the_lowest_crate_fail() {
        assert!(message(&[("manytask-nn", &["tch"])]).contains("only manytask-tensor"));
        assert!(message(&[("xtask", &["torch-sys"])]).contains("only manytask-tensor"));
    }

    #[test]
    fn a_crate_without_a_place_or_a_description_fails() {
        assert!(message(&[("manytask-extra", &[])]).contains("no place"));
        let error = check(&metadata(&[("manytask", &[])]), "manytask `manytask-nn`").unwrap_err().to_string();
        assert_eq!(error, "ARCHITECTURE.md does not mention `manytask`");
    }

    #[test]
    fn every_complaint_is_listed() {
        let text = message(&[("manytask-nn", &["manytask-data", "tch"]), ("manytask-multitask", &[])]);
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
