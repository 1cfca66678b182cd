//! The Census-Income extract in `configs/data`.

use std::path::Path;

use manytask_data::{Files, SplitRule, TableDataset};

fn description() -> TableDataset {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/data/census_income");
    let mut data: TableDataset = toml::from_str(
        r#"
        source = { path = "", missing = ["?"] }
        weight = "instance_weight"
        targets = [
            { name = "income", kind = "binary", positive = ["50000+."] },
            { name = "never_married", columns = ["marital_status"], kind = "binary", positive = ["Never married"], negative = "rest" },
        ]
        [inputs]
        numeric = ["age", "wage_per_hour", "capital_*", "dividends_from_stocks", "persons_worked_for_employer", "weeks_worked_in_year"]
        one_hot = "rest"
        "#,
    )
    .unwrap();
    data.source.path = folder.join("census_income_train.csv.gz");
    data.split = Some(SplitRule::Files(Files {
        test: Some(folder.join("census_income_test.csv.gz")),
        validation_fraction: 0.1,
        ..Files::default()
    }));
    data
}

#[test]
fn the_extract_is_what_its_readme_says() {
    let data = description().load().unwrap();
    let rows = |split: Option<&manytask_data::SplitData>| split.map_or(0, |split| split.rows(0));
    assert_eq!(rows(Some(&data.splits.train)) + rows(data.splits.validation.as_ref()), 19_953);
    assert_eq!(rows(data.splits.test.as_ref()), 9_977);
    assert_eq!(data.schema.task_names(), ["income", "never_married"]);
    let positive: f64 = [Some(&data.splits.train), data.splits.validation.as_ref()]
        .into_iter()
        .flatten()
        .map(|split| split.tasks[0].target.sum(None).double_value(&[]))
        .sum();
    assert_eq!(positive, 1245.0);
    let names = data.schema.inputs().input_names();
    assert!(names.contains(&"hispanic_origin=NA".to_owned()), "NA is a category");
    assert!(!names.iter().any(|name| name.starts_with("income") || name.starts_with("instance_weight")));
}

#[test]
fn standardised_inputs_have_mean_zero_over_the_training_part_alone() {
    let data = description().load().unwrap();
    let age = |split: &manytask_data::SplitData| {
        let column = split.inputs[0].features().unwrap().dense.select(1, 0);
        (column.mean(None).double_value(&[]), column.std(false).double_value(&[]))
    };
    let (mean, std) = age(&data.splits.train);
    assert!(mean.abs() < 1e-5 && (std - 1.0).abs() < 1e-5, "{mean} {std}");
    let (mean, _) = age(data.splits.validation.as_ref().unwrap());
    assert!(mean.abs() > 1e-5, "{mean}");
}

#[test]
fn its_licence_lies_beside_it_and_it_is_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/data/census_income");
    assert!(fs_err::read_to_string(folder.join("LICENSE.md")).unwrap().contains("CC BY 4.0"));
    let size: u64 =
        fs_err::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 700_000, "{size}");
}
