//! Random valid configurations of tasks on a random small table.

use std::collections::BTreeMap;

mod draft;
mod tasks;

use self::draft::{Draft, Target, draft};
use self::tasks::sections;
use super::names::{Fit, Names};
use super::random::Rng;
use super::scenario::{Length, Scenario, Shared, TABLE, Text, aggregator, array, head, schedule, training};
use super::table::Table;

/// A random table with a configuration that fits it.
pub(crate) fn draw(rng: &mut Rng, names: &Names, length: Length) -> Scenario {
    let mut draft = draft(rng);
    let split = split(rng, &mut draft.table);
    let weight = rng.chance(0.15);
    if weight {
        draft.table.draw(rng, "weight", 0.0, |rng| rng.pick(&["1", "0.5", "2", "3"]).to_owned());
    }
    let tasks: Vec<String> = if draft.groups.is_empty() {
        draft.tasks.iter().map(|task| task.name.clone()).collect()
    } else {
        draft.groups.iter().map(|value| format!("g={value}")).collect()
    };
    let shared = if draft.groups.is_empty() { Shared::Yes } else { Shared::No };
    let mut text = Text::from(head(rng));
    text.add(format!("[data]\nkind = \"table\"\nsource = {{ path = {TABLE:?} }}\n{}", split.text));
    if weight {
        text.add("weight = \"weight\"\n");
    }
    if !draft.groups.is_empty() {
        text.add("tasks_by = \"g\"\n");
    }
    let inputs = inputs(rng, &draft);
    text.add(&inputs);
    text.add(targets(&draft));
    let kind =
        if rng.chance(0.5) { "hard_sharing".to_owned() } else { rng.pick(names.fitting(Fit::MixedTasks)) };
    let plain = kind == "hard_sharing";
    // Networks whose weights are several networks' keep no running statistics.
    let norm = rng.pick(if plain {
        &["none", "none", "layer", "batch"]
    } else {
        &["none", "none", "none", "layer"]
    });
    text.add(network(rng, names, (&kind, norm), inputs.contains("embedding = [\"")));
    text.add(sections(rng, &draft, split.validated));
    text.add(aggregator(rng, names, names.of("aggregator"), &tasks, shared));
    text.add(schedule(rng, names, split.validated));
    text.add(format!("[training]\n{}", training(rng, length, split.validated)));
    text.add(batches(rng, draft.table.rows.len(), norm));
    if rng.chance(0.15) {
        text.set(
            "augment",
            rng.pick(&["{ noise = 0.1 }", "{ feature_dropout = 0.2 }", "{ noise = 0.1, mixup = 0.2 }"]),
        );
    }
    if plain && rng.chance(0.1) {
        text.set("freeze", rng.pick(&["[\"trunk\"]", "[\"heads.*\"]"]));
    }
    if tasks.len() > 1 && rng.chance(0.15) {
        text.add(format!("only_tasks = {}\n", array(&tasks[..1])));
    }
    let files = BTreeMap::from([(TABLE.to_owned(), draft.table.csv().into_bytes())]);
    Scenario { config: text.done(), files, table: Some(draft.table), examples: None }
}

struct Split {
    text: String,
    validated: bool,
}

fn split(rng: &mut Rng, table: &mut Table) -> Split {
    let (validation, test) = (rng.pick(&[0.0, 0.2, 0.3]), rng.pick(&[0.0, 0.2]));
    let shares = format!("validation = {validation:?}, test = {test:?}, seed = {}", rng.below(9));
    let grouped = table.names.iter().any(|name| name == "g");
    let text = match rng.below(4) {
        0 => String::new(),
        1 if grouped => format!("split.per_group = {{ column = \"g\", {shares} }}\n"),
        2 => {
            table.draw(rng, "part", 0.0, |rng| rng.pick(&["t", "t", "t", "v", "e"]).to_owned());
            let levels = table.levels("part");
            let named = |part: &str| {
                array(&levels.iter().filter(|level| *level == part).cloned().collect::<Vec<_>>())
            };
            let text = format!("validation = {}, test = {}", named("v"), named("e"));
            let validated = levels.iter().any(|level| level == "v");
            return Split { text: format!("split.column = {{ column = \"part\", {text} }}\n"), validated };
        }
        _ => format!("split.random = {{ {shares} }}\n"),
    };
    Split { validated: validation > 0.0 && !text.is_empty(), text }
}

fn inputs(rng: &mut Rng, draft: &Draft) -> String {
    let embedding = if rng.chance(0.4) { rng.some(&draft.categorical, 0.5) } else { Vec::new() };
    let one_hot: Vec<String> =
        draft.categorical.iter().filter(|name| !embedding.contains(name)).cloned().collect();
    let scale = rng.pick(&["standard", "standard", "raw"]);
    let [numeric, one_hot, embedding] = [&draft.numeric, &one_hot, &embedding].map(|names| array(names));
    format!(
        "[data.inputs]\nnumeric = {numeric}\none_hot = {one_hot}\nembedding = {embedding}\nscale = {scale:?}\n"
    )
}

fn targets(draft: &Draft) -> String {
    let described = draft.tasks.iter().map(|Target { name, kind, columns, rest }| {
        let columns =
            if columns.is_empty() { String::new() } else { format!("columns = {}\n", array(columns)) };
        format!("[[data.targets]]\nname = {name:?}\nkind = {kind:?}\n{columns}{rest}")
    });
    described.collect()
}

fn network(rng: &mut Rng, names: &Names, (kind, norm): (&str, &str), embeds: bool) -> String {
    let trunk = rng.pick(names.fitting(Fit::TableTrunk));
    let activation = rng.pick(&["relu", "tanh", "gelu", "sigmoid", "leaky_relu"]);
    let init = rng.pick(&["pytorch", "kaiming", "xavier", "truncated_normal"]);
    let dropout = rng.pick(&["0.0", "0.0", "0.3"]);
    let rest = format!("activation = {activation:?}, norm = {norm:?}, dropout = {dropout}, init = {init:?}");
    let hidden = rng.pick(&["[8]", "[4, 4]", "[16, 8]"]);
    let settings = if trunk == "mlp" { format!(", hidden = {hidden}, {rest}") } else { String::new() };
    let mut text =
        Text::from(format!("[network]\nkind = {kind:?}\ntrunk = {{ kind = {trunk:?}{settings} }}\n"));
    if names.has_key(kind, "experts") && rng.chance(0.7) {
        text.set("experts", rng.between(1, 4));
    }
    if rng.chance(0.3) {
        text.add(format!("head = {{ kind = \"mlp\", hidden = [4], {rest} }}\n"));
    }
    if embeds && rng.chance(0.6) {
        text.add("embedding = 3\n");
    }
    text.done()
}

fn batches(rng: &mut Rng, rows: usize, norm: &str) -> String {
    let lowest = if norm == "batch" { 3 } else { 1 };
    let size = if rng.chance(0.2) { rows + 5 } else { rng.between(lowest, 20) };
    let order = rng.pick(&["shuffled", "sequential"]);
    let last = if size * 4 < rows { rng.pick(&["keep", "drop"]) } else { "keep" };
    format!("batch_size = {size}\nbatch_order = {order:?}\nlast_batch = {last:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::table::records;

    #[test]
    fn tables_and_configurations_vary_and_are_functions_of_the_seed() {
        let list = "trunk [network.trunk]\n  mlp x\naggregator [aggregator]\n  mgda x\n  fixed_weights x\n\
                    optimizer [optimizer]\n  sgd x\nschedule [schedule]\n  constant x\n  plateau x\n";
        let mut names = Names::parse(list);
        names.take(Fit::TableTrunk, "mlp");
        names.take(Fit::MixedTasks, "mmoe");
        let all: Vec<Scenario> =
            (0..60).map(|n| draw(&mut Rng::new(7, "rows", n), &names, Length::Short)).collect();
        let again = draw(&mut Rng::new(7, "rows", 3), &names, Length::Short);
        assert_eq!((&all[3].config, &all[3].files), (&again.config, &again.files));
        for part in [
            "tasks_by",
            "multilabel",
            "weight = ",
            "split.per_group",
            "split.column",
            "only_tasks",
            "embedding = [\"",
            "mmoe",
            "calibration",
            "coverage",
            "augment",
            "freeze",
            "average",
        ] {
            assert!(all.iter().any(|scenario| scenario.config.contains(part)), "none has {part}");
        }
        for scenario in &all {
            let table = scenario.table.as_ref().unwrap();
            let text = String::from_utf8(scenario.files[TABLE].clone()).unwrap();
            assert_eq!(records(&text).len(), table.rows.len() + 1);
            let validated = scenario.config.contains("validate_every_steps");
            assert!(validated || !scenario.config.contains("plateau"), "{}", scenario.config);
        }
    }
}
