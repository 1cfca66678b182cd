use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::{ExplainArgs, ListArgs};
use crate::failure::{Code, Failure, Result};
use crate::names::choices;
use crate::registries::Registries;
use crate::registry::Registry;
use crate::report::print;
use crate::sections::SECTIONS;

/// One name with what is said of it.
struct Known {
    kind: &'static str,
    section: &'static str,
    name: String,
    summary: String,
    about: String,
    example: String,
}

fn names(registries: &Registries) -> Vec<Known> {
    fn of<T>(registry: &Registry<T>) -> impl Iterator<Item = Known> {
        registry.entries().map(|(name, entry)| Known {
            kind: registry.kind(),
            section: registry.section(),
            name: name.to_owned(),
            summary: entry.summary.clone(),
            about: entry.about.clone(),
            example: registry.example(name).unwrap_or_default(),
        })
    }
    let sections = SECTIONS.iter().map(|section| Known {
        kind: "section",
        section: section.name,
        name: section.name.to_owned(),
        summary: section.summary.to_owned(),
        about: String::new(),
        example: section.text.to_owned(),
    });
    let choices = choices().flat_map(|choice| {
        choice.names.iter().map(|(name, summary, example)| Known {
            kind: choice.kind,
            section: choice.place,
            name: (*name).to_owned(),
            summary: (*summary).to_owned(),
            about: String::new(),
            example: format!("# {}\n{example}", choice.place),
        })
    });
    sections
        .chain(of(&registries.data))
        .chain(of(&registries.episodes))
        .chain(of(&registries.architectures))
        .chain(of(&registries.trunks))
        .chain(of(&registries.backbones))
        .chain(of(&registries.learners))
        .chain(of(&registries.aggregators))
        .chain(of(&registries.optimizers))
        .chain(of(&registries.schedules))
        .chain(choices)
        .collect()
}

/// `manytask list`.
pub(super) fn list(arguments: &ListArgs, registries: &Registries) -> Result<()> {
    let all = names(registries);
    let mut sorts: Vec<(&str, &str)> = all.iter().map(|name| (name.kind, name.section)).collect();
    sorts.dedup_by_key(|(kind, _)| *kind);
    if let Some(wanted) = &arguments.kind {
        // The kind, the name of its section, or its plural.
        let wanted = wanted.strip_suffix('s').unwrap_or(wanted);
        let fits = |word: &str| word.strip_suffix('s').unwrap_or(word) == wanted;
        let known: Vec<&str> = sorts.iter().map(|(kind, _)| *kind).collect();
        let text = known.join(", ");
        sorts.retain(|(kind, section)| fits(kind) || (*kind != "section" && fits(section)));
        if sorts.is_empty() {
            let kind = arguments.kind.as_deref().unwrap_or_default();
            return Err(Failure::new(Code::Usage, format!("there is no kind of names `{kind}`"))
                .hint(format!("there are {text}")));
        }
    }
    if arguments.json {
        let kinds: Vec<&str> = sorts.iter().map(|(kind, _)| *kind).collect();
        let of = |name: &Known| json!({ "kind": name.kind, "section": name.section, "name": name.name, "summary": name.summary });
        let names: Vec<Value> = all.iter().filter(|name| kinds.contains(&name.kind)).map(of).collect();
        return print(&format!("{:#}\n", Value::from(names)));
    }
    if arguments.markdown {
        return print(&markdown(&all, &sorts));
    }
    let width = all.iter().map(|name| name.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (kind, section) in sorts {
        text.push_str(kind);
        if kind != "section" {
            text.push_str(&[" [", section, "]"].concat());
        }
        text.push('\n');
        for name in all.iter().filter(|name| name.kind == kind) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:width$}  {}", name.name, name.summary);
        }
    }
    print(&text)
}

/// A page with a part for each kind, and in it what `explain` says of each name.
fn markdown(all: &[Known], kinds: &[(&str, &str)]) -> String {
    let mut text =
        "# Reference\n\nEverything that a configuration can name, as `manytask explain NAME` shows it.\n"
            .to_owned();
    for (kind, section) in kinds {
        let place = if *kind == "section" { String::new() } else { format!(" (`[{section}]`)") };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {kind}{place}\n");
        for name in all.iter().filter(|name| name.kind == *kind) {
            let Known { name, summary, about, example, .. } = name;
            let about = if about.is_empty() { String::new() } else { format!("{about}\n\n") };
            let _ =
                write!(text, "\n### {name}\n\n{summary}\n\n{about}```toml\n{}\n```\n", example.trim_end());
        }
    }
    text
}

/// `manytask explain`.
pub(super) fn explain(arguments: &ExplainArgs, registries: &Registries) -> Result<()> {
    let all = names(registries);
    let wanted = arguments.name.trim_matches(['[', ']']);
    let found: Vec<&Known> = all.iter().filter(|name| name.name == wanted).collect();
    let keys = lines_of(wanted, &all);
    if found.is_empty() && keys.is_empty() {
        let failure = Failure::new(Code::Usage, format!("there is no `{}`", arguments.name));
        let near = crate::config::nearest(&arguments.name, all.iter().map(|name| name.name.as_str()));
        return Err(failure.hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`manytask list` shows all names".to_owned(),
        }));
    }
    if arguments.json {
        let of = |name: &&Known| {
            json!({
                "kind": name.kind,
                "section": name.section,
                "name": name.name,
                "summary": name.summary,
                "about": name.about,
                "example": name.example,
            })
        };
        let names: Vec<Value> = found.iter().map(of).collect();
        return print(&format!(
            "{:#}\n",
            json!({ "names": names, "keys": keys.lines().collect::<Vec<_>>() })
        ));
    }
    let explained = found.iter().map(|name| {
        let about = if name.about.is_empty() { String::new() } else { format!("\n{}\n", name.about) };
        format!("{} ({}): {}\n{about}\n{}", name.name, name.kind, name.summary, name.example)
    });
    let explained = explained.chain((!keys.is_empty()).then_some(keys));
    print(&explained.collect::<Vec<_>>().join("\n"))
}

/// The lines with a key, `training.patience` or `patience`, each with what it is a setting of.
fn lines_of(key: &str, all: &[Known]) -> String {
    let (section, key) = key.rsplit_once('.').unwrap_or(("", key));
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let sets = |line: &str| {
        let code = line.split('#').next().unwrap_or_default();
        code.match_indices(key).any(|(at, _)| {
            let (before, after) = (code.get(..at), code.get(at + key.len()..));
            before.is_some_and(|text| !text.ends_with(is_word))
                && after.is_some_and(|text| text.trim_start().starts_with('='))
        })
    };
    let mut text = String::new();
    let mut shown = Vec::new();
    for name in all.iter().filter(|name| section.is_empty() || name.section.starts_with(section)) {
        for line in name.example.lines().filter(|line| !key.is_empty() && sets(line)) {
            let line = (name.section, line);
            if !shown.contains(&line) {
                shown.push(line);
                // Writing to a string cannot fail.
                let _ = writeln!(text, "[{}] of {} ({}): {}", name.section, name.name, name.kind, line.1);
            }
        }
    }
    text
}
