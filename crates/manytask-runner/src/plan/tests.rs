//! Where mistakes are shown: each number of each example of the registries is made impossible, and what is refused must be pointed at.

use std::path::Path;

use toml::{Table, Value};

use super::Plan;
use crate::config::Source;
use crate::failure::{Code, Result};
use crate::registries::Registries;
use crate::registry::Registry;

/// Tasks on rows, and learners on tasks: sections that an example is put into, in the place of its own.
const ROWS: [&str; 5] = [
    "[data]\nkind = \"table\"\nsource.path = \"a.csv\"\ninputs.numeric = [\"x\"]\nsplit.random = { validation = 0.2, test = 0.2 }\n\
     targets = [{ name = \"income\", kind = \"binary\" }, { name = \"never_married\", kind = \"binary\" }]\n\
     [network]\ntrunk = { kind = \"mlp\", hidden = [4] }\n[aggregator]\nkind = \"equal_weights\"\n\
     [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\nvalidate_every_steps = 2\n",
    "[data]\nkind = \"idx\"\ntrain = { images = \"a\", labels = [\"b\"] }\nvalidation_fraction = 0.2\n\
     targets = [{ name = \"class\" }]\n[network]\ntrunk = { kind = \"lenet\" }\n[aggregator]\nkind = \"equal_weights\"\n\
     [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\nvalidate_every_steps = 2\n",
    "[data]\nkind = \"table\"\nsource.path = \"a.csv\"\ninputs.numeric = [\"x\"]\n\
     targets = [{ name = \"task\", kind = \"binary\" }]\n[network]\ntrunk = { kind = \"mlp\", hidden = [4] }\n\
     [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\n",
    "[data]\nkind = \"table\"\nsource.path = \"a.csv\"\ninputs.numeric = [\"x\"]\nsplit.random = { validation = 0.2, test = 0.2 }\n\
     targets = [{ name = \"income\", kind = \"binary\" }, { name = \"never_married\", kind = \"binary\" }]\n\
     [network]\ntrunk = { kind = \"mlp\", hidden = [4] }\n[aggregator]\nkind = \"linear\"\n\
     [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\nvalidate_every_steps = 2\n",
    "[data]\nkind = \"scenes\"\n[network]\ntrunk = { kind = \"dilated\", width = 4 }\n[aggregator]\nkind = \"equal_weights\"\n\
     [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\nvalidate_every_steps = 2\n",
];

const EPISODES: [&str; 5] = [
    "[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\nhidden = [4]\n[learner]\nkind = \"maml\"\n\
     [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\n\
     validate_every_steps = 2\n",
    "[data]\nkind = \"omniglot\"\nsplit.random = { train = 1000, validation = 100 }\n[network]\nkind = \"conv4\"\n\
     [learner]\nkind = \"protonet\"\n[aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n\
     [training]\nsteps = 4\nvalidate_every_steps = 2\n",
    "[data]\nkind = \"omniglot\"\nsplit.random = { train = 1000, validation = 100 }\n[network]\nkind = \"conv4\"\n\
     [learner]\nkind = \"simple_shot\"\n[pretraining]\nbatch_size = 8\n[aggregator]\nkind = \"equal_weights\"\n\
     [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\nvalidate_every_steps = 2\n",
    "[data]\nkind = \"omniglot\"\nsize = 32\nsplit.random = { train = 1000, validation = 100 }\n[network]\nkind = \"conv4\"\n\
     [learner]\nkind = \"protonet\"\n[aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n\
     [training]\nsteps = 4\nvalidate_every_steps = 2\n",
    "[data]\nkind = \"gaussian_process\"\n[network]\nkind = \"mlp\"\nhidden = [4]\n[learner]\nkind = \"cnp\"\n\
     [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\n[training]\nsteps = 4\n\
     validate_every_steps = 2\n",
];

/// A step to a value: a key, or the number of an item.
#[derive(Debug, Clone)]
enum To {
    Key(String),
    Item(usize),
}

/// What `check` says of a configuration.
fn checked(text: &str) -> Result<()> {
    let source = Source::new(Path::new("a.toml"), text, &[])?;
    Plan::read(&source, &Registries::default())?.check()
}

fn written(table: &Table) -> String {
    toml::to_string(table).unwrap()
}

/// A configuration with an example in the place of its own section.
fn with(base: &str, example: &Table) -> Table {
    fn put(base: &mut Table, example: &Table) {
        for (key, value) in example {
            match (base.get_mut(key), value) {
                // A section within a section.
                (Some(Value::Table(base)), Value::Table(example)) if !example.contains_key("kind") => {
                    put(base, example);
                }
                _ => {
                    base.insert(key.clone(), value.clone());
                }
            }
        }
    }
    let mut table: Table = base.parse().unwrap();
    put(&mut table, example);
    table
}

/// The paths to all numbers below a value.
fn numbers(value: &Value, path: &[To], found: &mut Vec<Vec<To>>) {
    let deeper = |to: To| [path, &[to]].concat();
    match value {
        Value::Integer(_) | Value::Float(_) => found.push(path.to_vec()),
        Value::Table(table) => {
            table.iter().for_each(|(key, value)| numbers(value, &deeper(To::Key(key.clone())), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| numbers(item, &deeper(To::Item(i)), found));
        }
        _ => {}
    }
}

fn at<'v>(value: &'v mut Value, path: &[To]) -> &'v mut Value {
    path.iter().fold(value, |value, to| match to {
        To::Key(key) => value.get_mut(key).unwrap(),
        To::Item(item) => value.get_mut(item).unwrap(),
    })
}

/// Makes each number of a configuration's section impossible in turn; answers with what was refused elsewhere than at that number.
fn misplaced(whole: &Table, section: &[To]) -> Vec<String> {
    const MARK: &str = "here";
    let mut whole = Value::Table(whole.clone());
    let mut paths = Vec::new();
    numbers(at(&mut whole, section), section, &mut paths);
    let mut wrong = Vec::new();
    for path in paths {
        let own = std::mem::replace(at(&mut whole, &path), Value::String(MARK.into()));
        let text = written(whole.as_table().unwrap());
        let place = text.find(&format!("\"{MARK}\"")).unwrap();
        let line = text[..place].matches('\n').count() + 1;
        let column = place - text[..place].rfind('\n').map_or(0, |end| end + 1) + 1;
        let values: &[&str] =
            if own.is_integer() { &["-1", "0"] } else { &["-1.0", "0.0", "nan", "inf", "1e300", "-1e300"] };
        for value in values {
            let Err(failure) = checked(&text.replacen(&format!("\"{MARK}\""), value, 1)) else { continue };
            let expected = format!("a.toml:{line}:{column}: ");
            if failure.code != Code::Config || !failure.message.starts_with(&expected) {
                wrong.push(format!("{path:?} = {value}: {expected}\n{}", failure.message));
            }
        }
        *at(&mut whole, &path) = own;
    }
    wrong
}

/// The same without a look at a validation split, which an example need not have.
fn without_validation(bases: &[&str]) -> Vec<String> {
    bases.iter().map(|base| base.replace("validate_every_steps = 2\n", "")).collect()
}

/// Numbers that are possible, but not with everything around them: with 0 blocks a learner has nothing to learn.
const TOGETHER: [(&str, &str); 1] = [("conv4", "blocks")];

/// All examples of a registry, each in the first configuration that it fits.
fn walk<T>(registry: &Registry<T>, bases: &[impl AsRef<str>]) -> Vec<String> {
    let section: Vec<To> = registry.section().split('.').map(|key| To::Key(key.to_owned())).collect();
    let mut wrong = Vec::new();
    for (name, _) in registry.entries() {
        let example: Table = registry.example(name).unwrap().parse().unwrap();
        let all: Vec<(Table, Result<()>)> = bases
            .iter()
            .map(|base| {
                let whole = with(base.as_ref(), &example);
                let checked = checked(&written(&whole));
                (whole, checked)
            })
            .collect();
        match all.iter().find(|(_, checked)| checked.is_ok()) {
            Some((whole, _)) => {
                let together = |what: &String| {
                    TOGETHER.iter().any(|(of, key)| *of == name && what.contains(&format!("Key({key:?})")))
                };
                let found = misplaced(whole, &section).into_iter().filter(|what| !together(what));
                wrong.extend(found.map(|what| format!("{name}: {what}")));
            }
            None => wrong
                .extend(all.iter().map(|(_, checked)| format!("{name}: {}", checked.as_ref().unwrap_err()))),
        }
    }
    wrong
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} are shown elsewhere:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn impossible_numbers_of_methods_for_tasks_on_rows_are_pointed_at() {
    let all = Registries::default();
    assert_none(
        &[
            walk(&all.data, &without_validation(&ROWS)),
            walk(&all.architectures, &ROWS),
            walk(&all.trunks, &ROWS),
            walk(&all.aggregators, &ROWS),
            walk(&all.optimizers, &ROWS),
            walk(&all.schedules, &ROWS),
        ]
        .concat(),
    );
}

#[test]
fn impossible_numbers_of_methods_for_episodes_are_pointed_at() {
    let all = Registries::default();
    assert_none(
        &[
            walk(&all.episodes, &without_validation(&EPISODES)),
            walk(&all.learners, &EPISODES),
            walk(&all.backbones, &EPISODES),
        ]
        .concat(),
    );
}

#[test]
fn impossible_numbers_of_trainings_are_pointed_at() {
    let key = |key: &str| [To::Key(key.to_owned())];
    let training = "save_every_steps = 2\nsave_every_minutes = 1.5\nkeep_checkpoints = 2\nlog_every_steps = 2\ndiagnose_every_steps = 2\n\
                    clip_norm = 1.5\nearly_stopping = { patience = 2, min_delta = 0.5 }\n";
    let rows = [
        ROWS[0],
        training,
        "batch_size = 4\n",
        "[tasks.income]\nloss = { focal = { gamma = 2.0, alpha = 0.5 } }\n",
    ]
    .concat();
    let episodes = [
        EPISODES[2],
        training,
        "tasks_per_step = 2\n[evaluation]\ntasks = 5\nqueries = 3\ninner_steps = 2\nseed = 1\n",
    ]
    .concat()
    .replace("batch_size = 8\n", "batch_size = 8\nsteps = 4\nclassifier = { cosine = { scale = 2.0 } }\n");
    let mut wrong = Vec::new();
    for (text, sections) in
        [(rows, vec!["training", "tasks"]), (episodes, vec!["training", "evaluation", "pretraining"])]
    {
        let whole: Table = text.parse().unwrap();
        checked(&written(&whole)).unwrap();
        for section in sections {
            wrong.extend(misplaced(&whole, &key(section)));
        }
    }
    assert_none(&wrong);
}
