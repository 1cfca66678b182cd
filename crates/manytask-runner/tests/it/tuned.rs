//! The learning-rate range test, and the size of batches by their speed.

use serde_json::Value;

use crate::command::Place;

#[test]
fn a_rate_is_suggested_with_a_picture_and_nothing_is_overwritten() {
    let place = Place::new();
    let tune = ["tune", "lr", "a.toml", "--from", "1e-4", "--to", "100", "--steps", "120", "--svg", "lr.svg"];
    let said = place.good(&tune);
    let last = said.out.lines().last().unwrap();
    assert!(last.contains("train a.toml optimizer.learning_rate="), "{last}");
    let rate: f64 = last.rsplit_once('=').unwrap().1.parse().unwrap();
    assert!((1e-4..1.0).contains(&rate), "{rate}");
    let picture = place.read("lr.svg");
    assert!(
        picture.starts_with("<svg ") && picture.contains("<polyline") && picture.contains("suggested"),
        "{picture}"
    );
    let again = place.run(&tune);
    assert!(again.code == Some(2) && again.err.contains("lr.svg: is there already"), "{again:?}");
    assert_eq!(place.read("lr.svg"), picture);
    assert!(!place.at("runs").exists(), "nothing is trained to be kept");
    // What is printed trains, and better than with a rate a thousand times lower.
    let command: Vec<&str> = last.split(' ').skip_while(|word| *word != "train").collect();
    place.good(&[command.as_slice(), &["--quiet", "--name", "tuned"]].concat());
    let low = format!("optimizer.learning_rate={}", rate / 1000.0);
    place.good(&["train", "a.toml", "--quiet", "--name", "low", &low]);
    let loss = |name: &str| -> f64 {
        let results: Value = serde_json::from_str(&place.read(&format!("runs/{name}/results.json"))).unwrap();
        results["tasks"][0]["loss"].as_f64().unwrap()
    };
    assert!(loss("tuned") < loss("low"), "{} {}", loss("tuned"), loss("low"));
}

#[test]
fn the_same_test_gives_the_same_numbers_also_for_learners() {
    let place = Place::new();
    let json =
        |arguments: &[&str]| place.good(&[arguments, &["--steps", "100", "--json", "--quiet"]].concat()).out;
    assert_eq!(json(&["tune", "lr", "a.toml"]), json(&["tune", "lr", "a.toml"]));
    place.write(
        "s.toml",
        "seed = 1\nthreads = 1\n[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\nhidden = [16]\n[learner]\nkind = \"maml\"\n\
         [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.001\n[training]\nsteps = 3\ntasks_per_step = 25\n\
         [evaluation]\ntasks = 2\n",
    );
    let found: Value = serde_json::from_str(&json(&["tune", "lr", "s.toml", "--from", "1e-4"])).unwrap();
    assert!(found["tried"].as_array().unwrap().len() > 20 && found["suggested"].is_f64(), "{found}");
    for wrong in [&["--from", "0"][..], &["--from", "2"], &["--to", "nan"], &["--steps", "3"]] {
        assert_eq!(place.run(&[&["tune", "lr", "a.toml"], wrong].concat()).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_batch_size_is_suggested_by_the_time_of_steps() {
    let place = Place::new();
    let tune = ["tune", "batch-size", "a.toml", "--svg", "sizes.svg", "--quiet"];
    let said = place.good(&tune);
    let last = said.out.lines().last().unwrap();
    assert!(last.contains("train a.toml training.batch_size=") && said.out.contains("rows/s"), "{said:?}");
    let size: u64 = last.rsplit_once('=').unwrap().1.parse().unwrap();
    assert!([16, 32, 64].contains(&size), "of 120 rows: {said:?}");
    assert!(place.read("sizes.svg").contains("suggested"));
    let found: Value = serde_json::from_str(
        &place.good(&["tune", "batch-size", "a.toml", "--from", "8", "--to", "40", "--json", "--quiet"]).out,
    )
    .unwrap();
    let sizes: Vec<u64> =
        found["tried"].as_array().unwrap().iter().map(|one| one[0].as_u64().unwrap()).collect();
    assert_eq!(sizes, [8, 16, 32]);
    for wrong in
        [&["--from", "0"][..], &["--from", "1.5"], &["--from", "64", "--to", "32"], &["--steps", "50"]]
    {
        assert_eq!(
            place.run(&[&["tune", "batch-size", "a.toml"], wrong].concat()).code,
            Some(2),
            "{wrong:?}"
        );
    }
}
