//! The page that `report` writes.

use std::collections::BTreeSet;

use crate::command::Place;

/// The pages' names of elements.
const HTML: &str = "http://www.w3.org/1999/xhtml";
const SVG: &str = "http://www.w3.org/2000/svg";

const ASKED: &str = "[tasks.default]\ncalibration = \"temperature\"\ndecision = \"f1\"\n\n[network]";

/// Parses a page and holds it to what every page keeps.
fn checked(page: &str) -> BTreeSet<String> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let parsed = roxmltree::Document::parse_with_options(page, options).unwrap();
    let mut titles = BTreeSet::new();
    for node in parsed.descendants().filter(roxmltree::Node::is_element) {
        for attribute in node.attributes() {
            assert!(!["href", "xlink:href"].contains(&attribute.name()), "{attribute:?}");
            // A picture has its bytes with it.
            let inside = attribute.value().starts_with("data:image/png;base64,");
            assert!(attribute.name() != "src" || inside, "{attribute:?}");
            assert!(!attribute.value().contains("http"), "{attribute:?}");
        }
        assert!(!["script", "link", "iframe"].contains(&node.tag_name().name()));
        if node.has_tag_name((SVG, "svg")) {
            inside(node);
            titles.insert(node.attribute("aria-label").unwrap().to_owned());
        }
    }
    let style = parsed.descendants().find(|node| node.has_tag_name((HTML, "style"))).unwrap().text().unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    for part in ["prefers-color-scheme: dark", "@media print"] {
        assert!(style.contains(part), "{part}");
    }
    titles
}

/// All that is drawn lies in the view box.
fn inside(svg: roxmltree::Node<'_, '_>) {
    let numbers = |text: &str| -> Vec<f64> {
        text.split([' ', ',']).map(|number| number.parse().unwrap_or_else(|_| panic!("{text}"))).collect()
    };
    let view = numbers(svg.attribute("viewBox").unwrap());
    let (width, height) = (view[2], view[3]);
    let within = |x: f64, y: f64| {
        assert!(
            (0.0..=width).contains(&x) && (0.0..=height).contains(&y),
            "{x} {y} of {width} {height}: {svg:?}"
        );
    };
    let mut labels: Vec<(f64, f64, f64, &str)> = Vec::new();
    for node in svg.descendants().filter(roxmltree::Node::is_element) {
        let at = |name: &str| node.attribute(name).map(|text| numbers(text)[0]);
        match node.tag_name().name() {
            "rect" => {
                let (x, y) = (at("x").unwrap_or(0.0), at("y").unwrap_or(0.0));
                within(x, y);
                within(x + at("width").unwrap(), y + at("height").unwrap());
            }
            "circle" => within(at("cx").unwrap(), at("cy").unwrap()),
            "line" => {
                within(at("x1").unwrap(), at("y1").unwrap());
                within(at("x2").unwrap(), at("y2").unwrap());
            }
            "polyline" => {
                numbers(node.attribute("points").unwrap()).chunks(2).for_each(|p| within(p[0], p[1]));
            }
            "text" => {
                // Some 6.3 units a letter of usual size, 7.4 of a title.
                let text = node.text().unwrap_or_default();
                let class = node.attribute("class").unwrap_or_default();
                let wide = text.chars().count() as f64 * if class == "title" { 7.4 } else { 6.3 };
                let start = match class {
                    "end" => at("x").unwrap() - wide,
                    class if class.starts_with("middle") => at("x").unwrap() - wide / 2.0,
                    _ => at("x").unwrap(),
                };
                within(start, at("y").unwrap());
                assert!(start + wide < width + 24.0, "{text}");
                if node.attribute("transform").is_none() {
                    labels.push((start, start + wide, at("y").unwrap(), text));
                }
            }
            _ => {}
        }
    }
    apart(&labels);
}

/// No text lies over another: each has its start, its end and its base line, and some 9 units of height.
fn apart(labels: &[(f64, f64, f64, &str)]) {
    const HEIGHT: f64 = 9.0;
    for (number, (start, end, base, text)) in labels.iter().enumerate() {
        for (other_start, other_end, other_base, other) in &labels[number + 1..] {
            let beside = end <= other_start || other_end <= start;
            assert!(beside || (base - other_base).abs() >= HEIGHT, "`{text}` lies over `{other}`");
        }
    }
}

#[test]
fn a_page_shows_a_run_and_needs_nothing_else() {
    let place = Place::new();
    place.config_with("[network]", ASKED);
    place.good(&["train", "a.toml", "--quiet", "training.diagnose_every_steps=5"]);
    let said = place.good(&["report", "runs/a"]);
    assert!(said.err.contains("the report is in runs/a/report.html"), "{said:?}");
    let page = place.read("runs/a/report.html");
    let titles = checked(&page);
    for title in [
        "mean loss of the tasks",
        "loss of rich",
        "roc_auc of rich",
        "weights of the tasks",
        "mean cosine of the tasks&apos; gradients",
        "ROC curve of rich",
        "calibration of rich",
        "decisions of rich",
        "predictions of score",
        "errors of score",
        "importance for rich",
        "importance for score",
    ] {
        assert!(titles.contains(&title.replace("&apos;", "'")), "{title}: {titles:?}");
    }
    for part in
        ["2 tasks, rich, score", "Rows that are predicted worst", "train runs/a/config.toml", "data_digest"]
    {
        assert!(page.contains(part) != (part == "data_digest"), "{part}");
    }
    // The run is as it was, and the page is the same again.
    place.good(&["report", "runs/a"]);
    assert_eq!(page, place.read("runs/a/report.html"));
    assert_eq!(place.good(&["resume", "runs/a"]).code, Some(0));
}

#[test]
fn a_page_is_written_without_the_data_and_of_several_runs() {
    let place = Place::new();
    place.good(&["train", "a.toml", "--quiet", "--seeds", "2", "--name", "s"]);
    place.good(&["report", "runs/s", "--no-importances"]);
    let page = place.read("runs/s/report.html");
    assert!(checked(&page).contains("ROC curve of rich") && page.contains("seed-4"), "both members");
    assert!(!page.contains("What the inputs tell"));
    place.write("people.csv", "age,hours,job,rich,score\n");
    let said = place.good(&["report", "runs/s/members/seed-3", "--output", "b.html"]);
    assert!(said.err.contains("its predictions are left out"), "{said:?}");
    let page = place.read("b.html");
    assert!(!checked(&page).contains("ROC curve of rich") && page.contains("were not at hand"));
    let said = place.run(&["report", "nowhere"]);
    assert!(said.code == Some(4) && said.err.contains("is not the folder of a run"), "{said:?}");
}

#[test]
fn a_learner_has_a_page_too() {
    let place = Place::new();
    let config = "seed = 1\n[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\nhidden = [4]\n[learner]\nkind = \"maml\"\n\
                  [aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 1e-3\n\
                  [training]\nsteps = 6\ntasks_per_step = 2\nlog_every_steps = 2\n[evaluation]\ntasks = 4\n";
    place.write("m.toml", config);
    place.good(&["train", "m.toml", "--quiet"]);
    place.good(&["report", "runs/m"]);
    let page = place.read("runs/m/report.html");
    assert!(checked(&page).contains("mean loss of the tasks") && page.contains("The learner maml"), "{page}");
}

#[test]
fn a_sweep_and_a_front_are_shown_with_their_points() {
    let place = Place::new();
    let rates = "optimizer.learning_rate=1e-3,1e-2";
    place.good(&["train", "a.toml", "--quiet", "training.epochs=1", rates, "network.trunk.hidden=[4],[8]"]);
    place.good(&["report", "runs/a-sweep", "--no-importances"]);
    let page = place.read("runs/a-sweep/report.html");
    let titles = checked(&page);
    for title in ["all points, the best stands out", "rich roc_auc by learning_rate"] {
        assert!(titles.contains(title), "{title}: {titles:?}");
    }
    assert!(page.contains("The values that were tried") && page.contains("[8]"));
    place.good(&["front", "a.toml", "--quiet", "--points", "2", "--methods", "linear", "training.epochs=1"]);
    place.good(&["report", "runs/a-front", "--no-importances"]);
    let page = place.read("runs/a-front/report.html");
    assert!(page.contains("The fronts that were found"));
    assert!(checked(&page).contains("loss of score over that of rich"), "{page}");
}
