//! The book: every command that it shows is run on small data, and its links lead somewhere.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use crate::command::{Place, said};
use crate::images::folder_of_classes;

/// Chapters whose commands are run.
const RUN: [&str; 7] =
    ["start.md", "table.md", "groups.md", "few-shot.md", "formats.md", "settings.md", "errors.md"];
/// What `cargo xtask docs` writes.
const GENERATED: &str = "reference.md";

fn source() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src")
}

fn chapter(name: &str) -> String {
    fs_err::read_to_string(source().join(name)).unwrap()
}

/// The blocks of a chapter that are fenced with this word, each with the last line of text before it.
fn blocks(text: &str, fence: &str) -> Vec<(String, String)> {
    let (mut all, mut before) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(word) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if word == fence {
                all.push((before.clone(), block.join("\n") + "\n"));
            }
        } else if !line.trim().is_empty() {
            line.clone_into(&mut before);
        }
    }
    all
}

/// The words of a command line, with single quotes around what belongs together.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => all.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            other => word.push(other),
        }
    }
    all.extend((!word.is_empty()).then_some(word));
    all
}

/// The data that a chapter speaks of.
fn data(place: &Place, name: &str) {
    match name {
        "assays" => {
            let mut text = "compound,weight,rings,family,assay_1,assay_2,solubility\n".to_owned();
            for i in 0..160_u32 {
                let (weight, rings) = (150 + (i * 37) % 300, (i * 13) % 5);
                let label = |of: u32, yes: bool| {
                    if (i * 7 + of).is_multiple_of(3) {
                        ""
                    } else if yes {
                        "1"
                    } else {
                        "0"
                    }
                };
                let (first, second) = (label(0, weight > 300), label(1, rings > 2));
                let solubility =
                    if i % 4 == 0 { String::new() } else { format!("-{}.{}", weight / 100 + rings, i % 10) };
                let family = ["acid", "base", "salt"][(i % 3) as usize];
                writeln!(text, "C{i:04}x,{weight}.5,{rings},{family},{first},{second},{solubility}").unwrap();
            }
            place.write("assays.csv", text);
        }
        "schools" => {
            let mut text = "pupil,school,age,score\n".to_owned();
            for i in 0..200_u32 {
                let (school, age) = (i % 20, 10 + i / 20 % 7);
                writeln!(text, "p{i},s{school},{age},{}", 500 + school % 5 * 40 + 10 * age + i % 3).unwrap();
            }
            place.write("pupils.csv", text);
            place.write("known.csv", "school,age,score\nx,10,610\nx,11,620\nx,12,630\nx,14,650\n");
            place.write("new.csv", "pupil,school,age\nq1,x,13\nq2,x,10\n");
        }
        "pictures" => {
            folder_of_classes(&place.at("pictures"), 12, 8);
            folder_of_classes(&place.at("examples"), 3, 2);
            fs_err::create_dir_all(place.at("unknown")).unwrap();
            for class in 0..3 {
                let from = place.at("pictures").join(format!("class{class:02}/07.png"));
                fs_err::copy(from, place.at("unknown").join(format!("of_{class}.png"))).unwrap();
            }
        }
        other => panic!("no data are called {other}"),
    }
}

/// Runs the commands of a chapter, one after the other, in a folder with its data and the files that it shows.
fn run(name: &str) {
    let (place, text) = (Place::new(), chapter(name));
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("<!-- data: ").and_then(|rest| rest.strip_suffix(" -->")) {
            data(&place, name);
        }
    }
    for (before, block) in blocks(&text, "toml") {
        let file = before.rsplit_once("`:").and_then(|(start, _)| start.rsplit_once('`'));
        if let Some((_, file)) = file.filter(|_| before.ends_with("`:")) {
            place.write(file, block);
        }
    }
    let mut count = 0;
    for (_, block) in blocks(&text, "console") {
        for line in block.lines() {
            let line = line.strip_prefix("$ manytask ").unwrap_or_else(|| panic!("{name}: {line}"));
            let (line, code) = line
                .split_once("# exit ")
                .map_or((line, 0), |(line, code)| (line, code.trim().parse().unwrap()));
            let (line, input) =
                line.split_once(" < ").map_or((line, None), |(line, input)| (line, Some(input.trim())));
            let arguments = words(line);
            let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            if let Some(input) = input {
                command.stdin(Stdio::from(fs_err::File::open(place.at(input)).unwrap().into_parts().0));
            }
            let said = said(command.output().unwrap());
            assert_eq!(said.code, Some(code), "{name}: {line}: {said:?}");
            count += 1;
        }
    }
    assert!(count > 0, "{name} shows no command");
}

#[test]
fn getting_started() {
    run(RUN[0]);
}

#[test]
fn several_targets_of_a_table() {
    run(RUN[1]);
}

#[test]
fn a_task_for_each_group_of_rows() {
    run(RUN[2]);
}

#[test]
fn a_few_examples_of_each_class() {
    run(RUN[3]);
}

#[test]
fn files_settings_and_errors() {
    RUN[4..].iter().for_each(|name| run(name));
}

#[test]
fn links_lead_to_chapters_and_chapters_are_linked_and_run() {
    let summary = chapter("SUMMARY.md");
    let mut chapters: Vec<String> = fs_err::read_dir(source())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != GENERATED)
        .collect();
    chapters.sort();
    for name in &chapters {
        let text = chapter(name);
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "{name} is not in the summary"
        );
        assert_eq!(
            text.contains("```console"),
            RUN.contains(&name.as_str()),
            "{name}: are its commands run?"
        );
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().unwrap();
            let file = link.split('#').next().unwrap();
            let known = file == GENERATED || chapters.iter().any(|chapter| chapter == file);
            assert!(known || link.starts_with("https://"), "{name}: {link}");
        }
    }
    assert!(chapters.len() > RUN.len());
}

#[test]
fn the_reference_has_every_name() {
    let place = Place::new();
    let page = place.good(&["list", "--markdown"]).out;
    let names: serde_json::Value = serde_json::from_str(&place.good(&["list", "--json"]).out).unwrap();
    for name in names.as_array().unwrap() {
        let (name, summary) = (name["name"].as_str().unwrap(), name["summary"].as_str().unwrap());
        assert!(page.contains(&format!("\n### {name}\n\n{summary}\n")), "{name}");
    }
    assert_eq!(page.matches("```").count() % 2, 0);
}
