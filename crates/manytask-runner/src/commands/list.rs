use std::fmt::Write as _;

use crate::cli::{ExplainArgs, ListArgs};
use crate::failure::{Code, Failure, Result};
use crate::registries::Registries;
use crate::registry::Registry;
use crate::report::print;

/// One name with what is said of it.
struct Known {
    sort: &'static str,
    name: String,
    summary: String,
    about: String,
    defaults: String,
}

fn names(registries: &Registries) -> Vec<Known> {
    fn of<T>(registry: &Registry<T>) -> impl Iterator<Item = Known> {
        registry.entries().map(|(name, entry)| Known {
            sort: registry.sort(),
            name: name.to_owned(),
            summary: entry.summary.clone(),
            about: entry.about.clone(),
            defaults: entry.defaults.clone(),
        })
    }
    of(&registries.data)
        .chain(of(&registries.episodes))
        .chain(of(&registries.trunks))
        .chain(of(&registries.backbones))
        .chain(of(&registries.learners))
        .chain(of(&registries.aggregators))
        .chain(of(&registries.optimizers))
        .chain(of(&registries.schedules))
        .collect()
}

/// `manytask list`.
pub(super) fn list(arguments: &ListArgs, registries: &Registries) -> Result<()> {
    let all = names(registries);
    let mut sorts: Vec<&str> = all.iter().map(|name| name.sort).collect();
    sorts.dedup();
    if let Some(sort) = arguments.sort.as_deref().filter(|sort| !sorts.contains(sort)) {
        let failure = Failure::new(Code::Usage, format!("there is no sort of names `{sort}`"));
        return Err(failure.hint(format!("there are {}", sorts.join(", "))));
    }
    let width = all.iter().map(|name| name.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for sort in sorts.iter().filter(|sort| arguments.sort.as_deref().is_none_or(|wanted| wanted == **sort)) {
        text.push_str(sort);
        text.push('\n');
        for name in all.iter().filter(|name| name.sort == *sort) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:width$}  {}", name.name, name.summary);
        }
    }
    print(&text)
}

/// `manytask explain`.
pub(super) fn explain(arguments: &ExplainArgs, registries: &Registries) -> Result<()> {
    let all = names(registries);
    let found: Vec<&Known> = all.iter().filter(|name| name.name == arguments.name).collect();
    if found.is_empty() {
        let failure = Failure::new(Code::Usage, format!("there is no `{}`", arguments.name));
        let near = crate::config::nearest(&arguments.name, all.iter().map(|name| name.name.as_str()));
        return Err(failure.hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`manytask list` shows all names".to_owned(),
        }));
    }
    for name in found {
        print(&format!("{} ({}): {}\n", name.name, name.sort, name.summary))?;
        if !name.about.is_empty() {
            print(&format!("\n{}\n", name.about))?;
        }
        print(&format!("\nkind = \"{}\"\n{}", name.name, name.defaults))?;
    }
    Ok(())
}
