//! In what configurations differ.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The dotted keys whose values differ in two configurations.
pub(crate) fn changed_keys(before: &Table, after: &Table) -> Vec<String> {
    let (before, after) = (flat(before), flat(after));
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    keys.filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

/// All values by their dotted keys.
pub(crate) fn flat(table: &Table) -> BTreeMap<String, String> {
    fn collect(table: &Table, before: &str, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let name = format!("{before}{key}");
            match value {
                Value::Table(inner) if !inner.is_empty() => collect(inner, &format!("{name}."), into),
                value => drop(into.insert(name, value.to_string())),
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(table, "", &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_changed_is_named_by_its_key() {
        const CONFIG: &str = "seed = 1\ndevice = \"cpu\"\n[training]\nepochs = 3\nbatch_size = 4\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.1\n[network]\ntrunk = { hidden = [8] }\n";
        let after = CONFIG.replace("epochs = 3", "epochs = 5").replace("[8]", "[9]") + "dropout = 0.1\n";
        assert_eq!(
            changed_keys(&table(CONFIG), &table(&after)),
            ["network.trunk.hidden", "training.epochs", "network.dropout"]
        );
        assert!(changed_keys(&table(CONFIG), &table(CONFIG)).is_empty());
    }
}
