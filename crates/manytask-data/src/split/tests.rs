use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::testing::table;

fn split(text: &str) -> SplitRule {
    toml::from_str(text).unwrap()
}

fn grouped_table(groups: &[u8]) -> Table {
    table(&groups.iter().fold("g,x\n".to_owned(), |mut text, group| {
        writeln!(text, "{group},1").unwrap();
        text
    }))
}

fn group(table: &Table, row: usize) -> &str {
    table.column("g").unwrap().text(row).unwrap()
}

proptest! {
    #[test]
    fn parts_are_disjoint_and_cover_everything(
        groups in prop::collection::vec(0_u8..12, 1..150),
        validation in 0.0..0.4_f64,
        test in 0.0..0.4_f64,
        seed: u64,
    ) {
        let table = grouped_table(&groups);
        let by_group = GroupFractions { column: "g".into(), validation, test, seed };
        for split in [
            SplitRule::Random(Fractions { validation, test, seed }),
            SplitRule::Grouped(by_group.clone()),
            SplitRule::PerGroup(by_group),
        ] {
            let splits = match split.indices(&table) {
                Ok(splits) => splits,
                Err(error) => {
                    let lone = groups.iter().all(|group| Some(group) == groups.first());
                    let lone = lone && matches!(split, SplitRule::Grouped(_));
                    prop_assert!(lone || error.to_string().contains("makes no row"), "{error}");
                    continue;
                }
            };
            prop_assert!(validation == 0.0 || !splits.validation.is_empty());
            prop_assert!(test == 0.0 || !splits.test.is_empty());
            let mut rows = [splits.train.clone(), splits.validation.clone(), splits.test.clone()].concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..groups.len()).collect::<Vec<_>>());
            prop_assert_eq!(&splits, &split.indices(&table).unwrap());
            if let SplitRule::Grouped(_) = split {
                for row in &splits.train {
                    let elsewhere = splits.test.iter().chain(&splits.validation);
                    prop_assert!(elsewhere.clone().all(|other| group(&table, *row) != group(&table, *other)));
                }
            }
        }
    }
}

#[test]
fn seeds_change_random_splits() {
    let table = grouped_table(&[0; 100]);
    let splits =
        |seed| SplitRule::Random(Fractions { validation: 0.2, test: 0.2, seed }).indices(&table).unwrap();
    assert_ne!(splits(0), splits(1));
    assert_eq!(splits(0).test.len(), 20);
    assert_eq!(splits(0).validation.len(), 20);
}

#[test]
fn every_group_is_split_by_itself() {
    let table = grouped_table(&[[0; 8].as_slice(), &[1; 40]].concat());
    let splits = split("per_group = { column = 'g', test = 0.75 }").indices(&table).unwrap();
    let tiny = split("per_group = { column = 'g', test = 0.75 }").indices(&grouped_table(&[0, 0])).unwrap();
    assert_eq!(tiny.train.len(), 1, "each group keeps a row to train on");
    let small = splits.train.iter().filter(|&&row| group(&table, row) == "0").count();
    assert_eq!((small, splits.train.len()), (2, 12));
}

#[test]
fn grouped_shares_are_near_the_fractions() {
    let groups: Vec<u8> = (0..200).map(|row| row / 4).collect();
    let splits = split("grouped = { column = 'g', validation = 0.1, test = 0.2 }")
        .indices(&grouped_table(&groups))
        .unwrap();
    assert_eq!([splits.test.len(), splits.validation.len()], [40, 20]);
}

#[test]
fn a_split_by_groups_keeps_one_to_train_on() {
    // Each of the two groups fits the test and the validation share by more than half.
    let table = grouped_table(&[[0; 10], [1; 10]].concat());
    let splits = split("grouped = { column = 'g', test = 0.6 }").indices(&table).unwrap();
    assert_eq!([splits.train.len(), splits.validation.len(), splits.test.len()], [10, 0, 10]);
    let error =
        split("grouped = { column = 'g', validation = 0.4, test = 0.4 }").indices(&table).unwrap_err();
    assert!(error.to_string().contains("validation = 0.4 of the 20 rows"), "{error}");
}

#[test]
fn a_share_that_makes_no_row_is_refused() {
    let table = grouped_table(&[0; 100]);
    for (text, expected) in [
        ("random = { validation = 0.001 }", "validation = 0.001 of the 100 rows"),
        ("random = { test = 0.004 }", "test = 0.004 of the 100 rows"),
        ("per_group = { column = 'g', test = 0.001 }", "by `g` makes no row"),
        ("files = { validation_fraction = 0.001 }", "validation_fraction = 0.001"),
    ] {
        let error = split(text).indices(&table).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn values_are_compared_as_categories_are() {
    let table = table("g,x\n1,1\n1.0,1\n2,1\n02.0,1\n");
    // A number with leading zeros makes them codes; without it they are numbers.
    assert_eq!(groups(&table, "g").unwrap().len(), 4);
    let table = crate::testing::table("g,x\n1,1\n1.0,1\n2,1\n2.0,1\n");
    assert_eq!(groups(&table, "g").unwrap(), [vec![0, 1], vec![2, 3]]);
    let splits = split("column = { column = 'g', test = ['2.00'] }").indices(&table).unwrap();
    assert_eq!(splits.test, [2, 3]);
}

#[test]
fn values_of_a_column_name_the_parts() {
    let table = grouped_table(&[0, 1, 2, 1, 0]);
    let splits = split("column = { column = 'g', test = ['1'] }").indices(&table).unwrap();
    assert_eq!((splits.train, splits.test), (vec![0, 2, 4], vec![1, 3]));
    for (text, expected) in [
        ("column = { column = 'g', train = ['0'], test = ['1'] }", "row 3, column `g`: `2` is not named"),
        ("column = { column = 'g', test = ['7'] }", "does not occur"),
        ("column = { column = 'g', train = ['1'], test = ['1'] }", "two splits"),
        ("column = { column = 'h' }", "no column `h`"),
    ] {
        let error = split(text).indices(&table).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn impossible_fractions_and_unknown_keys_are_refused() {
    let table = grouped_table(&[0; 10]);
    for text in
        ["random = { test = 1.0 }", "random = { test = 0.5, validation = 0.6 }", "random = { test = -0.1 }"]
    {
        let error = split(text).indices(&table).unwrap_err().to_string();
        assert!(error.contains("shares in [0, 1)"), "{error}");
    }
    let error = split("random = { test = nan }").indices(&table).unwrap_err();
    assert!(matches!(error, Error::Config { .. }));
    let error =
        split("files = { validation = 'v.csv', validation_fraction = 0.1 }").indices(&table).unwrap_err();
    assert!(error.to_string().contains("either"), "{error}");
    let one_group = split("grouped = { column = 'g', test = 0.6 }").indices(&table).unwrap_err();
    assert!(one_group.to_string().contains("left for training"), "{one_group}");
    assert!(toml::from_str::<SplitRule>("random = { tset = 0.1 }").unwrap_err().to_string().contains("tset"));
}
