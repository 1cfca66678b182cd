//! `manytask schema`: what a configuration can hold, as JSON Schema, for editors.

use serde_json::{Map, Value, json};
use toml::Table;

use crate::failure::{Code, Failure, Result};
use crate::registries::Registries;
use crate::registry::Registry;
use crate::report::print;
use crate::sections::SECTIONS;

/// `manytask schema`.
pub(super) fn schema(registries: &Registries) -> Result<()> {
    let text = serde_json::to_string_pretty(&of(registries));
    print(&(text.map_err(|error| Failure::new(Code::Bug, error.to_string()))? + "\n"))
}

/// The schema of all that these registries have: names of methods with their texts, and their settings as far as examples have
/// them. It refuses what it knows to be wrong, an unknown section, a `kind` that there is not, a text in place of a number, and
/// leaves the rest to `manytask check`.
fn of(registries: &Registries) -> Value {
    let mut properties = described("run");
    let kinds = |section: &str, of: Vec<Vec<Kind>>| {
        let own = described(section);
        with_kinds(own, &of.concat())
    };
    properties.insert(
        "data".into(),
        kinds("data", vec![kinds_of(&registries.data), kinds_of(&registries.episodes)]),
    );
    properties.insert(
        "network".into(),
        kinds("network", vec![kinds_of(&registries.architectures), kinds_of(&registries.backbones)]),
    );
    properties.insert("learner".into(), kinds("learner", vec![kinds_of(&registries.learners)]));
    properties.insert("aggregator".into(), kinds("aggregator", vec![kinds_of(&registries.aggregators)]));
    properties.insert("optimizer".into(), kinds("optimizer", vec![kinds_of(&registries.optimizers)]));
    properties.insert("schedule".into(), kinds("schedule", vec![kinds_of(&registries.schedules)]));
    properties.insert("tasks".into(), json!({ "type": "object", "additionalProperties": of_task() }));
    for section in ["training", "pretraining", "evaluation"] {
        properties.insert(section.into(), json!({ "type": "object", "properties": described(section) }));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A configuration of manytask",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// A method with its settings.
#[derive(Debug, Clone)]
struct Kind {
    name: String,
    summary: String,
    settings: Table,
}

fn kinds_of<T>(registry: &Registry<T>) -> Vec<Kind> {
    let kind = |(name, entry): (&str, &crate::registry::Entry<T>)| Kind {
        name: name.to_owned(),
        summary: entry.summary.clone(),
        settings: settings(registry, name),
    };
    registry.entries().map(kind).collect()
}

/// The settings of an example, without its sections around.
fn settings<T>(registry: &Registry<T>, name: &str) -> Table {
    let whole = registry.example(name).and_then(|text| text.parse::<Table>().ok());
    let inner = |table: Table, part: &str| match table.get(part) {
        Some(toml::Value::Table(inner)) => inner.clone(),
        _ => Table::new(),
    };
    registry.section().split('.').fold(whole.unwrap_or_default(), inner)
}

/// A section whose `kind` decides which settings it has.
fn with_kinds(common: Map<String, Value>, kinds: &[Kind]) -> Value {
    let mut properties = common;
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    let texts: Vec<String> = kinds.iter().map(|kind| format!("{}: {}", kind.name, kind.summary)).collect();
    properties.insert("kind".into(), json!({ "enum": names, "description": texts.join("\n") }));
    let branches = kinds.iter().filter(|kind| kind.settings.len() > 1).map(|kind| {
        let own: Map<String, Value> = kind
            .settings
            .iter()
            .filter(|(key, _)| *key != "kind")
            .map(|(key, value)| (key.clone(), of_value(value, None)))
            .collect();
        json!({
            "if": { "properties": { "kind": { "const": kind.name } }, "required": ["kind"] },
            "then": { "properties": own },
        })
    });
    json!({ "type": "object", "properties": properties, "allOf": branches.collect::<Vec<_>>() })
}

/// The keys of a section that is no matter of a kind, with what each means.
fn described(section: &str) -> Map<String, Value> {
    let mut keys = Map::new();
    for text in SECTIONS.iter().filter(|own| own.name == section).map(|own| own.text) {
        let Ok(table) = text.parse::<Table>() else { continue };
        let own = match table.get(section) {
            Some(toml::Value::Table(own)) => own.clone(),
            _ => table,
        };
        for (key, value) in own.iter().filter(|(key, _)| *key != "kind") {
            let about = text.lines().find(|line| line.split('=').next().is_some_and(|own| own.trim() == key));
            let about = about.and_then(|line| line.split_once("# ")).map(|(_, about)| about);
            keys.insert(key.clone(), of_value(value, about));
        }
    }
    keys
}

fn of_task() -> Value {
    let keys = SECTIONS.iter().filter(|own| own.name == "tasks").flat_map(|own| own.text.lines());
    let properties: Map<String, Value> = keys
        .filter_map(|line| {
            let (key, rest) = line.split_once(" = ")?;
            let about = rest.split_once("# ").map(|(_, about)| about);
            Some((
                key.trim().to_owned(),
                about.map_or_else(|| json!({}), |about| json!({ "description": about })),
            ))
        })
        .collect();
    json!({ "type": "object", "properties": properties })
}

/// What a value like this one is. A text, a table or an array may stand for each other, as names with settings do: only numbers and
/// truth values are held to their kind.
fn of_value(example: &toml::Value, about: Option<&str>) -> Value {
    let mut schema = match example {
        toml::Value::Boolean(_) => json!({ "type": "boolean" }),
        toml::Value::Integer(_) | toml::Value::Float(_) => json!({ "type": "number" }),
        _ => json!({}),
    };
    if let Some(about) = about {
        schema["description"] = json!(about);
    }
    schema
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The part of JSON Schema that is used here.
    fn fits(schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(kind) = schema["type"].as_str() {
            let is = match kind {
                "object" => value.is_object(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("{other}"),
            };
            if !is {
                return Err(format!("{value} is no {kind}"));
            }
        }
        let known = schema["enum"].as_array();
        if known.is_some_and(|known| !known.contains(value))
            || schema.get("const").is_some_and(|own| own != value)
        {
            return Err(format!("{value} is none of {}", schema["enum"]));
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            if fits(&part["if"], value).is_ok() {
                fits(&part["then"], value)?;
            }
        }
        for key in schema["required"].as_array().into_iter().flatten() {
            value.get(key.as_str().unwrap()).ok_or_else(|| format!("no {key}"))?;
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            match (schema["properties"].get(key), &schema["additionalProperties"]) {
                (Some(own), _) => fits(own, value).map_err(|error| format!("{key}: {error}"))?,
                (None, Value::Bool(false)) => return Err(format!("unknown {key}")),
                (None, rest @ Value::Object(_)) => {
                    fits(rest, value).map_err(|error| format!("{key}: {error}"))?;
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn json_of(text: &str) -> Value {
        serde_json::to_value(text.parse::<Table>().unwrap()).unwrap()
    }

    #[test]
    fn every_shipped_configuration_and_every_example_fits() {
        let registries = Registries::default();
        let schema = of(&registries);
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let mut count = 0;
        for entry in fs_err::read_dir(configs).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                fits(&schema, &json_of(&fs_err::read_to_string(&path).unwrap()))
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                count += 1;
            }
        }
        assert!(count > 10);
        let sections =
            SECTIONS.iter().filter(|section| section.name != "run").map(|section| section.text.to_owned());
        let aggregators =
            registries.aggregators.entries().filter_map(|(name, _)| registries.aggregators.example(name));
        let learners =
            registries.learners.entries().filter_map(|(name, _)| registries.learners.example(name));
        for text in sections.chain(aggregators).chain(learners) {
            fits(&schema, &json_of(&text)).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn what_is_known_to_be_wrong_does_not_fit() {
        let schema = of(&Registries::default());
        for (wrong, says) in [
            ("[trainig]\nepochs = 3", "unknown trainig"),
            ("[aggregator]\nkind = \"mgdaa\"", "is none of"),
            ("[training]\nepochs = \"many\"", "is no number"),
            ("[aggregator]\nkind = \"cagrad\"\nc = \"a lot\"", "is no number"),
            ("[optimizer]\nkind = \"adam\"\nlearning_rate = true", "is no number"),
        ] {
            let error = fits(&schema, &json_of(wrong)).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
        let about = &schema["properties"]["training"]["properties"]["clip_norm"]["description"];
        assert!(about.as_str().unwrap().contains("norm of the gradient"), "{about}");
    }
}
