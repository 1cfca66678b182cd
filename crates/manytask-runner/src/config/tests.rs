use manytask_tensor::{KeyPath, WHOLE};
use serde::{Deserialize, Serialize};

use super::*;

fn source(text: &str, overrides: &[&str]) -> Source {
    let overrides: Vec<String> = overrides.iter().map(|change| (*change).to_owned()).collect();
    Source::new(Path::new("a.toml"), text, &overrides).unwrap()
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Net {
    hidden: Vec<i64>,
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    colour: Option<Colour>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Colour {
    Red,
    Green,
}

/// What is said of `[net]`, as message and hints.
fn refused(text: &str, overrides: &[&str]) -> String {
    let source = source(text, overrides);
    let take = || -> Result<Net> {
        let mut whole = source.section()?;
        let net = whole.required_table("net")?.rest::<Net>()?;
        whole.take::<u64>("seed")?;
        whole.finish()?;
        Ok(net)
    };
    let failure = take().unwrap_err();
    assert_eq!(failure.code, Code::Config);
    [vec![failure.message], failure.hints].concat().join("\n")
}

#[test]
fn a_typo_has_its_place_and_the_name_that_was_meant() {
    assert_eq!(
        refused("seed = 1\n[net]\nhidden = [1]\ndropuot = 0.5\n", &[]),
        "a.toml:4:1: unknown key `dropuot`, expected one of `hidden`, `dropout`, `colour`\n  |\n4 | dropuot = 0.5\n  | ^^^^^^^\ndid you mean `dropout`?"
    );
    assert_eq!(
        refused("sede = 1\n[net]\nhidden = [1]\n", &[]),
        "a.toml:1:1: unknown key `sede`\n  |\n1 | sede = 1\n  | ^^^^\ndid you mean `seed`?"
    );
    let message = refused("[net]\nhidden = [1]\ncolour = \"gren\"\n", &[]);
    assert!(
        message.contains("a.toml:3:10: unknown value `gren`") && message.ends_with("did you mean `green`?"),
        "{message}"
    );
}

#[test]
fn wrong_types_missing_keys_and_bad_toml_have_their_places() {
    let message = refused("[net]\nhidden = \"many\"\n", &[]);
    assert!(message.starts_with("a.toml:2:10: expected an array, found string \"many\""), "{message}");
    assert!(message.contains("2 | hidden = \"many\"\n  |          ^^^^^^"), "{message}");
    let message = refused("[net]\ndropout = 0.1\n", &[]);
    assert!(message.starts_with("a.toml:1:1: missing key `hidden` in [net]"), "{message}");
    let message = refused("seed = 1\n", &[]);
    assert!(message.contains("missing key `net`"), "{message}");
    let message = refused("net = 3\n", &[]);
    assert!(message.contains("a.toml:1:7: `net` is of type integer, a table is needed"), "{message}");
    let message = refused("[net]\nhidden = [1\n", &[]);
    assert!(message.starts_with("a.toml:"), "{message}");
    let message = refused("[net]\nhidden = [1]\nhidden = [2]\n", &[]);
    assert!(message.contains(":3:1: duplicate key"), "{message}");
}

#[test]
fn overrides_change_and_add_and_are_checked_alike() {
    let net = |overrides: &[&str]| {
        let source = source("[net]\nhidden = [1]\n", overrides);
        source.section().unwrap().required_table("net").unwrap().rest::<Net>().unwrap()
    };
    assert_eq!(net(&["net.dropout=0.5", "net.hidden=[3, 4]"]).hidden, [3, 4]);
    assert_eq!(net(&["net.colour=red"]).colour, Some(Colour::Red));
    assert_eq!(net(&["net.colour=\"green\"", "net.dropout = 0.25"]).dropout, 0.25);
    assert_eq!(
        refused("[net]\nhidden = [1]\n", &["net.hiden=[2]"]),
        "in the argument `net.hiden=[2]`: unknown key `hiden`, expected one of `hidden`, `dropout`, `colour`\n  | net.hiden=[2]\n  |     ^^^^^\ndid you mean `hidden`?"
    );
    let message = refused("[net]\nhidden = [1]\n", &["seed=2", "net.dropout=lots"]);
    assert!(
        message.contains("in the argument `net.dropout=lots`: expected a number, found string \"lots\""),
        "{message}"
    );
    assert!(
        refused("[net]\nhidden = [1]\n", &["net.hidden.x=1"])
            .contains("`hidden` is an array of 1, counted from 0")
    );
    assert!(refused("[net]\nhidden = [1]\n", &["net.hidden=[1"]).contains("in the argument"));
    for bad in ["seed", "=1", "a..b=1", "seed="] {
        let failure = Source::new(Path::new("a.toml"), "", &[bad.to_owned()]).unwrap_err();
        assert_eq!(failure.code, Code::Usage, "{bad}");
    }
}

#[test]
fn the_effective_configuration_holds_the_overrides() {
    let source = source("# said\nseed = 1\n[net]\nhidden = [1]\n", &["net.hidden=[5]", "new.key=word"]);
    let text = toml::to_string(&source.effective().unwrap()).unwrap();
    assert_eq!(text, "seed = 1\n\n[net]\nhidden = [5]\n\n[new]\nkey = \"word\"\n");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs_err::write(at("quickstart.toml"), b"a = 1\nb = \"\xff\"\n").unwrap();
    let message = |path: &Path| {
        let failure = Source::read(path, &[]).unwrap_err();
        assert_eq!(failure.code, Code::Config);
        let text = [vec![failure.message], failure.hints].concat().join("\n");
        text.replace(&folder.path().display().to_string(), "FOLDER")
    };
    assert_eq!(message(&at("quickstart.toml")), "FOLDER/quickstart.toml: line 2: is not UTF-8");
    assert_eq!(
        message(&at("quikstart.toml")),
        "FOLDER/quikstart.toml: there is no such configuration\ndid you mean `FOLDER/quickstart.toml`?"
    );
    assert_eq!(message(&at("zzz")), "FOLDER/zzz: there is no such configuration");
    assert_eq!(message(folder.path()), "FOLDER: is a folder; name a configuration in it");
}

/// What is said of a whole configuration of one table `[t]` with one number `n`.
fn wrong(text: &str) -> String {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        #[serde(rename = "n")]
        _n: u32,
    }
    let source = source(text, &[]);
    let read = || source.section()?.required_table("t")?.rest::<One>();
    read().unwrap_err().message
}

#[test]
fn mistakes_in_toml_are_shown_exactly() {
    for (text, expected) in [
        ("", "a.toml: is empty"),
        ("# only a remark\n", "a.toml: is empty"),
        ("[t]\nn = 1\nn = 2\n", "a.toml:3:1: duplicate key\n  |\n3 | n = 2\n  | ^"),
        ("[t]\nn = 1\n[t]\n", "a.toml:3:2: duplicate key\n  |\n3 | [t]\n  |  ^"),
        ("[t\nn = 1\n", "a.toml:1:3: unclosed table, expected `]`\n  |\n1 | [t\n  |   ^"),
        (
            "[t]\nn = one\n",
            "a.toml:2:5: string values must be quoted, expected literal string\n  |\n2 | n = one\n  |     ^^^",
        ),
        (
            "[t]\n\tn = -1\r\n",
            "a.toml:2:6: expected a whole number of at least 0, found integer `-1`\n  |\n2 | \tn = -1\n  | \t    ^^",
        ),
        (
            "[t]\nn = [1]\n",
            "a.toml:2:5: expected a whole number of at least 0, found an array\n  |\n2 | n = [1]\n  |     ^^^",
        ),
        (
            "[t]\nn = 99999999999999999999\n",
            "a.toml:2:5: expected a whole number of at least 0, found integer `99999999999999999999`\n  |\n2 | n = \
             99999999999999999999\n  |     ^^^^^^^^^^^^^^^^^^^^",
        ),
        ("[t]\n", "a.toml:1:1: missing key `n` in [t]\n  |\n1 | [t]\n  | ^"),
        ("u = 1\n", "a.toml:1:1: missing key `t`\n  |\n1 | u = 1\n  | ^"),
    ] {
        assert_eq!(wrong(text), expected, "{text:?}");
    }
}

#[test]
fn overrides_reach_into_arrays_and_names_in_quotes() {
    let text = "a = [{ n = 1 }, { n = 2 }]\n[\"x.y=z\"]\nn = 3\n";
    let all = |overrides: &[&str]| toml::to_string(&source(text, overrides).effective().unwrap()).unwrap();
    assert_eq!(all(&["a.1.n=7"]), "[[a]]\nn = 1\n\n[[a]]\nn = 7\n\n[\"x.y=z\"]\nn = 3\n");
    assert_eq!(all(&["a.0=5"]), "a = [5, { n = 2 }]\n\n[\"x.y=z\"]\nn = 3\n");
    assert!(all(&["\"x.y=z\".n=4"]).ends_with("[\"x.y=z\"]\nn = 4\n"));
    assert!(all(&["'x.y=z' . n = 4"]).ends_with("[\"x.y=z\"]\nn = 4\n"));
    assert!(all(&["new.key=a=b"]).ends_with("[new]\nkey = \"a=b\"\n"));
    let wrong = |change: &str| source(text, &[change]).effective().unwrap_err().message;
    assert_eq!(
        wrong("a.2.n=1"),
        "in the argument `a.2.n=1`: `a` is an array of 2, counted from 0\n  | a.2.n=1\n  |   ^"
    );
    assert!(wrong("a.n=1").contains("`a` is an array of 2, counted from 0"));
}

#[test]
fn a_setting_is_found_by_its_path() {
    let text = "[net]\nkind = \"mlp\"\ndropout = 1.5\nhidden = [1, 2]\nnorm = { kind = \"batch\", size = 3 }\n\
                use = [\"aeg\", \"b\"]\nloss = \"huber\"\nrule = { step = 0 }\nby.age = 3\n[[net.part]]\nname = \"x\"\n\
                [[net.part]]\nname = \"y\"\nsize = 0\n[net.deep]\nwide = 2\n[plain]\na = 1\n";
    let source = source(text, &["net.hidden=[7, 0]"]);
    let net = |key: &str| KeyPath::from(["net", key]);
    for (path, expected) in [
        (net("dropout"), "a.toml:3:11"),
        (net("norm"), "a.toml:5:17"),
        (net("norm").then("size"), "a.toml:5:33"),
        (net("norm").then("scale"), "a.toml:5:17"),
        (net("use"), "a.toml:6:7"),
        (net("use").then(1), "a.toml:6:15"),
        (net("use").then(2), "a.toml:6:7"),
        (net("use").text("aeg"), "a.toml:6:8"),
        (KeyPath::from("net").text("b"), "a.toml:6:15"),
        (net("loss").then("huber").then("delta"), "a.toml:7:8"),
        (net("rule"), "a.toml:8:1"),
        (net("rule").then("step"), "a.toml:8:17"),
        (net("by").then("age"), "a.toml:9:10"),
        (KeyPath::from("net").text("age"), "a.toml:9:10"),
        (net("part").then(1), "a.toml:12:1"),
        (net("part").then(1).then("size"), "a.toml:14:8"),
        (net("part").text("y").then("size"), "a.toml:14:8"),
        (net("part").text("x").then("size"), "a.toml:11:8"),
        (net("deep"), "a.toml:15:1"),
        (net("deep").then("narrow"), "a.toml:15:1"),
        (net("hidden").then(1), "in the argument `net.hidden=[7, 0]`"),
        (net("no").then("hidden"), "a.toml:2:8"),
        (KeyPath::from("net"), "a.toml:2:8"),
        (["plain", "b"].into(), "a.toml:17:1"),
        (["nowhere", "a"].into(), "a.toml"),
        (WHOLE, "a.toml"),
    ] {
        let shown = source.locate(Failure::setting(path.clone(), "wrong")).message;
        assert_eq!(shown.split(": ").next(), Some(expected), "{path}: {shown}");
    }
    let data = Failure { code: Code::Data, ..Failure::setting(net("dropout"), "dropout") };
    assert_eq!(source.locate(data).message, "dropout", "no mistake of the configuration");
    let placed = source.locate(Failure::setting(net("dropout"), "dropout is 1.5"));
    let message = placed.message.clone();
    assert_eq!(source.locate(placed.within("net")).message, message, "it has a place");
}
