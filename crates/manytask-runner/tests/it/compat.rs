//! Defaults of other implementations of a method.

use crate::command::Place;

const OWN: &str = "[aggregator]\nkind = \"uncertainty_weighting\"\n";

fn printed(place: &Place, aggregator: &str) -> toml::Table {
    place.config_with(OWN, &format!("[aggregator]\n{aggregator}\n"));
    let said = place.good(&["check", "a.toml", "--print"]);
    let whole: toml::Table = toml::from_str(&said.out).unwrap();
    whole["aggregator"].as_table().unwrap().clone()
}

#[test]
fn a_method_takes_the_defaults_of_another_implementation_where_nothing_is_written() {
    let place = Place::new();
    for (aggregator, key, expected) in [
        ("kind = \"cagrad\"", "c", toml::Value::from(0.4)),
        ("kind = \"cagrad\"\ncompat = \"paper\"", "c", 0.4.into()),
        ("kind = \"cagrad\"\ncompat = \"libmtl\"", "c", 0.5.into()),
        ("kind = \"cagrad\"\ncompat = \"libmtl\"\nc = 0.1", "c", 0.1.into()),
        ("kind = \"cagrad\"\ncompat = \"torchjd\"", "rescale", "none".into()),
        ("kind = \"gradvac\"\ncompat = \"torchjd\"", "beta", 0.5.into()),
        ("kind = \"gradnorm\"\ncompat = \"libmtl\"", "level", "parameters".into()),
        ("kind = \"uncertainty_weighting\"\ncompat = \"libmtl\"", "initial", (-0.5).into()),
        ("kind = \"uncertainty_weighting\"\ncompat = \"torchjd\"", "initial", 0.0.into()),
        ("kind = \"stch\"\ncompat = \"libmtl\"", "warm_up_epochs", 4.into()),
        ("kind = \"modo\"\ncompat = \"libmtl\"", "gamma", 0.001.into()),
    ] {
        assert_eq!(printed(&place, aggregator)[key], expected, "{aggregator}");
    }
    let nested =
        "kind = \"pipeline\"\ncombination = { kind = \"cagrad\", compat = \"libmtl\" }\nmax_norm = 1.0";
    assert_eq!(printed(&place, nested)["combination"]["c"], 0.5.into());
}

#[test]
fn what_no_implementation_has_is_refused_at_its_place() {
    let place = Place::new();
    for (aggregator, says) in [
        (
            "kind = \"cagrad\"\ncompat = \"libmlt\"",
            ["`compat` is \"libmlt\"", "\"paper\" or \"libmtl\" or \"torchjd\""],
        ),
        ("kind = \"gradnorm\"\ncompat = \"torchjd\"", ["`compat` is \"torchjd\"", "\"paper\" or \"libmtl\""]),
        ("kind = \"pcgrad\"\ncompat = \"libmtl\"", ["unknown key `compat`", "a.toml:"]),
        ("kind = \"cagrad\"\ncompat = \"libmtl\"\ngamma = 1.0", ["unknown key `gamma`", "a.toml:"]),
    ] {
        place.config_with(OWN, &format!("[aggregator]\n{aggregator}\n"));
        let said = place.run(&["check", "a.toml"]);
        assert_eq!(said.code, Some(3), "{aggregator}: {said:?}");
        assert!(says.iter().all(|piece| said.err.contains(piece)), "{aggregator}: {}", said.err);
    }
    let said = place.good(&["explain", "cagrad"]);
    assert!(
        said.out.contains("compat = \"libmtl\": c = 0.5") && said.out.contains("compat = \"paper\""),
        "{}",
        said.out
    );
}
