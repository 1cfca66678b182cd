//! Whole data sets: what their authors say is in them.

use std::path::Path;

use manytask_data::{
    ClassPool, EpisodeSpec, Omniglot, OmniglotSplit, Rotations, Table, TableDataset, TableSource,
    VinyalsFiles, idx,
};

use crate::data;

fn load(text: &str, path: &Path) -> manytask_data::Dataset {
    let mut data: TableDataset = toml::from_str(text).unwrap();
    data.source = data.source.at(path);
    data.load().unwrap()
}

#[test]
fn census_income() {
    let Some(folder) = data("census_kdd") else { return };
    let text = r#"
        source = { path = "", header = false, missing = ["?"] }
        inputs = { numeric = ["column0", "column5", "column16", "column17", "column18", "column39"], one_hot = "rest" }
        weight = "column24"
        targets = [
            { name = "income", columns = ["column41"], kind = "binary", positive = ["50000+."] },
            { name = "never_married", columns = ["column7"], kind = "binary", positive = ["Never married"], negative = "rest" },
        ]
    "#;
    let data = load(text, &folder.join("census_income_train.csv.gz"));
    assert_eq!(data.splits.train.rows(0), 199_523);
    let positive =
        |task: usize| data.splits.train.tasks[task].target.to_kind(manytask_tensor::Kind::Double).sum(None);
    assert_eq!(positive(0).double_value(&[]), 12_382.0);
    assert_eq!(positive(1).double_value(&[]), 86_485.0);
    let test = TableSource { header: false, ..TableSource::new(folder.join("census_income_test.csv.gz")) };
    assert_eq!(Table::read(&test).unwrap().rows(), 99_762);
}

#[test]
fn tox21() {
    let Some(folder) = data("tox21") else { return };
    let table = Table::read(&TableSource::new(folder.join("tox21_ecfp4_1024.csv.gz"))).unwrap();
    assert_eq!((table.rows(), table.width()), (8006, 1038));
    let missing =
        |name: &str| (0..table.rows()).filter(|&row| table.column(name).unwrap().text(row).is_none()).count();
    let names: Vec<&str> = table.names().skip(1026).collect();
    let missing: Vec<usize> = names.iter().map(|name| missing(name)).collect();
    assert_eq!(missing, [574, 1111, 1322, 2072, 1697, 901, 1430, 2078, 781, 1419, 2092, 1104]);
    let text = r#"
        source = { path = "" }
        inputs = { numeric = "ecfp4_*", scale = "raw" }
        split.grouped = { column = "scaffold", validation = 0.1, test = 0.1 }
        targets = [{ name = "NR-AR", kind = "binary" }]
    "#;
    let data = load(text, &folder.join("tox21_ecfp4_1024.csv.gz"));
    assert_eq!(data.splits.train.inputs[0].features().unwrap().dense.size()[1], 1024);
    let rows = data.splits.train.rows(0)
        + data.splits.validation.unwrap().rows(0)
        + data.splits.test.unwrap().rows(0);
    assert_eq!(rows, 8006);
}

#[test]
fn exam() {
    let Some(folder) = data("exam") else { return };
    let text = r#"
        source = { path = "" }
        inputs = { numeric = ["standLRT", "schavg"], one_hot = ["schgend", "vr", "intake", "sex", "type"] }
        tasks_by = "school"
        split.per_group = { column = "school", test = 0.75, seed = 1 }
        targets = [{ name = "normexam", kind = "regression" }]
    "#;
    let data = load(text, &folder.join("exam.csv.gz"));
    assert_eq!(data.splits.train.tasks.len(), 65);
    let test = data.splits.test.unwrap();
    let pupils = |split: &manytask_data::SplitData| (0..65).map(|school| split.rows(school)).sum::<usize>();
    assert_eq!(pupils(&data.splits.train) + pupils(&test), 4059);
    assert!((0..65).all(|school| data.splits.train.rows(school) > 0));
}

#[test]
fn omniglot() {
    let Some(folder) = data("omniglot") else { return };
    let omniglot = Omniglot::open(&folder, 28).unwrap();
    assert_eq!((omniglot.background().classes(), omniglot.evaluation().classes()), (964, 659));
    for pool in [omniglot.background(), omniglot.evaluation()] {
        assert!((0..pool.classes()).all(|class| pool.count(class) == 20), "20 drawers");
        assert_eq!(pool.example_shape(), [1, 28, 28]);
    }
    let splits = folder.join("splits");
    let vinyals = OmniglotSplit::Vinyals(VinyalsFiles {
        train: splits.join("vinyals_train.txt"),
        validation: splits.join("vinyals_val.txt"),
        test: splits.join("vinyals_test.txt"),
    });
    let pools = omniglot.split(&vinyals, Rotations::None).unwrap();
    let (validation, test) = (pools.validation.unwrap(), pools.test.unwrap());
    assert_eq!([pools.train.classes(), validation.classes(), test.classes()], [4112, 688, 1692]);
    let episodes =
        pools.train.episodes(EpisodeSpec { ways: 20, shots: 5, queries: 15 }, 0, "train", 0..2).unwrap();
    assert_eq!(episodes.query_x.size(), [2, 300, 1, 28, 28]);
    // Ink is a small part of each drawing and near one.
    let ink = episodes.support_x.mean(None).double_value(&[]);
    assert!((0.02..0.2).contains(&ink), "{ink}");
    assert!(episodes.support_x.max().double_value(&[]) > 0.9);
}

#[test]
fn fashion_mnist() {
    let Some(folder) = data("fashion_mnist") else { return };
    let images = idx::read(&folder.join("t10k-images-idx3-ubyte.gz")).unwrap();
    let labels = idx::read(&folder.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    assert_eq!((images.size(), labels.size()), (vec![10_000, 28, 28], vec![10_000]));
    let pool = ClassPool::from_labels(&images, &labels).unwrap();
    assert_eq!((0..pool.classes()).map(|class| pool.count(class)).collect::<Vec<_>>(), [1000; 10]);
}
