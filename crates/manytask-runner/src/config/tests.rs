use serde::Deserialize;

use super::*;

fn source(text: &str, overrides: &[&str]) -> Source {
    let overrides: Vec<String> = overrides.iter().map(|change| (*change).to_owned()).collect();
    Source::new(Path::new("a.toml"), text, &overrides).unwrap()
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Net {
    hidden: Vec<i64>,
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    colour: Option<Colour>,
}

#[derive(Debug, Deserialize, PartialEq)]
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
        "a.toml:4:1: unknown field `dropuot`, expected one of `hidden`, `dropout`, `colour`\n  |\n4 | dropuot = 0.5\n  | ^^^^^^^\ndid you mean `dropout`?"
    );
    assert_eq!(
        refused("sede = 1\n[net]\nhidden = [1]\n", &[]),
        "a.toml:1:1: unknown key `sede`\n  |\n1 | sede = 1\n  | ^^^^\ndid you mean `seed`?"
    );
    let message = refused("[net]\nhidden = [1]\ncolour = \"gren\"\n", &[]);
    assert!(
        message.contains("a.toml:3:10: unknown variant `gren`") && message.ends_with("did you mean `green`?"),
        "{message}"
    );
}

#[test]
fn wrong_types_missing_keys_and_bad_toml_have_their_places() {
    let message = refused("[net]\nhidden = \"many\"\n", &[]);
    assert!(
        message.starts_with("a.toml:2:10: invalid type: string \"many\", expected a sequence"),
        "{message}"
    );
    assert!(message.contains("2 | hidden = \"many\"\n  |          ^^^^^^"), "{message}");
    let message = refused("[net]\ndropout = 0.1\n", &[]);
    assert!(message.starts_with("a.toml:1:1: missing field `hidden` in [net]"), "{message}");
    let message = refused("seed = 1\n", &[]);
    assert!(message.contains("missing key `net`"), "{message}");
    let message = refused("net = 3\n", &[]);
    assert!(message.contains("a.toml:1:7: `net` is of type integer, a table is needed"), "{message}");
    let message = refused("[net]\nhidden = [1\n", &[]);
    assert!(message.starts_with("a.toml:"), "{message}");
    let message = refused("[net]\nhidden = [1]\nhidden = [2]\n", &[]);
    assert!(message.contains(":3:1: duplicate key"), "{message}");
    assert!(refused("", &[]).contains("missing key `net`"));
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
        "in the argument `net.hiden=[2]`: unknown field `hiden`, expected one of `hidden`, `dropout`, `colour`\n  | net.hiden=[2]\n  |     ^^^^^\ndid you mean `hidden`?"
    );
    let message = refused("[net]\nhidden = [1]\n", &["seed=2", "net.dropout=lots"]);
    assert!(
        message.contains("in the argument `net.dropout=lots`: invalid type: string \"lots\", expected f64"),
        "{message}"
    );
    assert!(refused("[net]\nhidden = [1]\n", &["net.hidden.x=1"]).contains("`hidden` is no table"));
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
    let path = folder.path().join("quickstart.toml");
    fs_err::write(&path, b"a = \"\xff\"\n").unwrap();
    let message = |path: &Path| {
        let failure = Source::read(path, &[]).unwrap_err();
        assert_eq!(failure.code, Code::Config);
        [vec![failure.message], failure.hints].concat().join("\n")
    };
    assert!(message(&path).contains("quickstart.toml: line 1: is not UTF-8"));
    assert!(message(&folder.path().join("quikstart.toml")).contains("did you mean"));
    assert!(message(folder.path()).contains("is a folder"));
}
