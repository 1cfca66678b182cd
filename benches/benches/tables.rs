//! Tables and batches: reading a table, anew and out of a cache, and gathering the rows of a batch.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::fmt::Write as _;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use manytask_data::{BatchOrder, Batcher, Dataset, LastBatch, Table, TableDataset, TableSource, gather};
use manytask_tensor::threads;

const ROWS: usize = 20_000;
/// As Census-Income has them.
const CATEGORIES: usize = 33;
const NUMBERS: usize = 7;

/// A table like Census-Income: most categories repeat themselves from row to row.
fn write_table(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::new();
    for row in 0..ROWS {
        for number in 0..NUMBERS {
            write!(text, "{}, ", (row * (number + 7)) % 97)?;
        }
        for column in 0..CATEGORIES {
            let level = if (row + column) % 3 == 0 { (row * 31 + column * 17) % (5 + column) } else { 0 };
            write!(text, "Some category {level}, ")?;
        }
        writeln!(text, "{}", row % 2)?;
    }
    fs_err::write(path, text)?;
    Ok(())
}

fn description(path: &Path) -> TableDataset {
    let names =
        |from: usize, to: usize| -> Vec<String> { (from..to).map(|i| format!("column{i}")).collect() };
    let last = format!("column{}", NUMBERS + CATEGORIES);
    TableDataset {
        source: TableSource { header: false, ..TableSource::new(path) },
        split: None,
        inputs: manytask_data::InputColumns {
            numeric: names(0, NUMBERS).as_slice().into(),
            one_hot: "rest".into(),
            ..manytask_data::InputColumns::default()
        },
        targets: vec![manytask_data::TargetSpec {
            columns: manytask_data::Columns(vec![last]),
            ..manytask_data::TargetSpec::new("yes", manytask_data::TargetKind::Binary)
        }],
        weight: None,
        weight_in: None,
        tasks_by: None,
        fold: None,
    }
}

fn reading(criterion: &mut Criterion, path: &Path, cache: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let described = description(path);
    described.load_cached(cache)?;
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(fs_err::metadata(path)?.len()));
    group.bench_function("table", |bencher| bencher.iter(|| Table::read(&described.source)));
    group.bench_function("dataset", |bencher| bencher.iter(|| described.load()));
    group.bench_function("dataset cached", |bencher| bencher.iter(|| described.load_cached(cache)));
    group.finish();
    Ok(())
}

fn gathering(criterion: &mut Criterion, dataset: &Dataset) -> Result<(), Box<dyn std::error::Error>> {
    let mut group = criterion.benchmark_group("gather");
    for size in [32, 256] {
        let part = &dataset.splits.train;
        let batcher = Batcher::new(&part.streams(), size, 1, BatchOrder::Shuffled, LastBatch::Drop)?;
        let mut index = 0;
        let mut next = || {
            index = (index + 1) % batcher.batches_per_epoch();
            gather(part, &batcher, 0, index)
        };
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("{size} rows"), |bencher| bencher.iter(&mut next));
        let batch = next()?;
        group.bench_function(format!("{size} rows as a matrix"), |bencher| {
            bencher.iter(|| batch.inputs[0].tensor(manytask_tensor::Kind::Float));
        });
    }
    group.finish();
    Ok(())
}

fn all(criterion: &mut Criterion) {
    let work = |criterion: &mut Criterion| -> Result<(), Box<dyn std::error::Error>> {
        threads::set(1)?;
        let folder = std::env::temp_dir().join(format!("manytask-bench-{}", std::process::id()));
        fs_err::create_dir_all(&folder)?;
        let path = folder.join("table.csv");
        write_table(&path)?;
        let done = reading(criterion, &path, &folder.join("cache"))
            .and_then(|()| gathering(criterion, &description(&path).load()?));
        fs_err::remove_dir_all(&folder)?;
        done
    };
    work(criterion).expect("the table is well-formed");
}

criterion_group!(data, all);
criterion_main!(data);
