//! Tasks grouped by what a step for one does to the others.

use serde_json::Value;

use crate::command::Place;

#[test]
fn tasks_are_grouped_with_a_table_a_picture_and_json() {
    let place = Place::new();
    let said = place.good(&["group", "a.toml", "--every", "2", "--svg", "groups.svg", "--quiet"]);
    assert!(
        said.out.contains("by a step for rich") && said.out.contains("by a step for score"),
        "{}",
        said.out
    );
    assert!(said.out.contains("rich, score") && said.out.contains("rich | score"), "{}", said.out);
    let picture = place.read("groups.svg");
    assert!(
        picture.starts_with("<svg ") && picture.contains(">rich</text>") && picture.ends_with("</svg>\n")
    );
    let json: Value = serde_json::from_str(
        &place.good(&["group", "a.toml", "--every", "2", "--json", "--threads", "1", "--quiet"]).out,
    )
    .unwrap();
    assert_eq!(json["tasks"], serde_json::json!(["rich", "score"]));
    assert!(json["looks"].as_u64().unwrap() > 1 && json["affinity"][0][1].is_f64(), "{json}");
    assert_eq!(json["groupings"].as_array().unwrap().len(), 2);
    assert!(!place.at("runs").exists(), "nothing is trained to be kept");
}

#[test]
fn what_cannot_be_grouped_is_refused_before_anything_is_trained() {
    let place = Place::new();
    let said = place.run(&["group", "a.toml", "training.only_tasks=[\"rich\"]"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("one task alone"), "{}", said.err);
    let said = place.run(&["group", "a.toml", "network.kind=single_task"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("share no parameters"), "{}", said.err);
    assert_eq!(place.run(&["group", "a.toml", "--every", "0"]).code, Some(2));
}
