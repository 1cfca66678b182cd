use proptest::prelude::*;

use super::*;

fn rows(batcher: &Batcher, epoch: u64, index: u64) -> Vec<Vec<i64>> {
    batcher.batch(epoch, index).unwrap().iter().map(|rows| Vec::try_from(rows).unwrap()).collect()
}

fn stream(batcher: &Batcher, epoch: u64, stream: usize) -> Vec<i64> {
    (0..batcher.batches_per_epoch())
        .flat_map(|index| rows(batcher, epoch, index).swap_remove(stream))
        .collect()
}

proptest! {
    #[test]
    fn an_epoch_holds_each_row_of_the_longest_stream_once(n in 1_i64..60, short in 0_i64..60, size in 1_usize..20, seed: u64) {
        let streams = [n, short.min(n)];
        let batcher = Batcher::new(&streams, size, seed, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
        let mut all = stream(&batcher, 3, 0);
        all.sort_unstable();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        for (row, at) in stream(&batcher, 3, 1).chunks(streams[1].max(1) as usize).zip(0..) {
            // Each full pass over the shorter stream is a permutation of it.
            let mut pass = row.to_vec();
            pass.sort_unstable();
            pass.dedup();
            prop_assert_eq!(pass.len(), row.len(), "pass {}", at);
        }
        let (fewest, each) = batcher.fewest();
        prop_assert!(n == 1 || size == 1 || fewest > 1);
        prop_assert_eq!(each[1].is_none(), streams[1] == 0);
        let seen = stream(&batcher, 0, 1).len() as f64;
        prop_assert!(streams[1] == 0 || (batcher.repeats()[1] - seen / streams[1] as f64).abs() < 1e-12);
        let sequential = Batcher::new(&streams, size, seed, BatchOrder::Sequential, LastBatch::Keep).unwrap();
        prop_assert_eq!(stream(&sequential, 0, 0), (0..n).collect::<Vec<_>>());
        prop_assert_eq!(stream(&sequential, 0, 1), (0..streams[1]).collect::<Vec<_>>());
        let lonely = |rows: Option<usize>, of: i64| of > 1 && size > 1 && rows == Some(1);
        prop_assert!(!sequential.fewest().1.into_iter().zip(streams).any(|(rows, of)| lonely(rows, of)));
    }

    #[test]
    fn proportional_sampling_shows_each_row_of_each_stream_once(n in 1_i64..60, short in 0_i64..60, size in 1_usize..20, seed: u64) {
        let streams = [n, short];
        for order in [BatchOrder::Shuffled, BatchOrder::Sequential] {
            let batcher = Batcher::new(&streams, size, seed, order, LastBatch::Keep).unwrap().sampled(TaskSampling::Proportional);
            for (number, rows) in streams.into_iter().enumerate() {
                let mut all = stream(&batcher, 2, number);
                all.sort_unstable();
                prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
                prop_assert_eq!(batcher.repeats()[number], if rows > 0 { 1.0 } else { 0.0 });
            }
            let lonely = |rows: Option<usize>, of: i64| of > 1 && size > 1 && rows == Some(1);
            prop_assert!(!batcher.fewest().1.into_iter().zip(streams).any(|(rows, of)| lonely(rows, of)));
        }
    }

    #[test]
    fn batches_do_not_depend_on_what_was_asked_before(n in 1_i64..50, size in 1_usize..9, seed: u64, asked in prop::collection::vec((0_u64..3, 0_u64..50), 1..20)) {
        let new = || Batcher::new(&[n, n / 3], size, seed, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
        let used = new();
        for (epoch, index) in asked {
            let index = index % used.batches_per_epoch();
            prop_assert_eq!(rows(&used, epoch, index), rows(&new(), epoch, index));
        }
    }
}

#[test]
fn epochs_seeds_and_streams_differ() {
    let batcher = |seed| Batcher::new(&[50, 50], 50, seed, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
    let one = rows(&batcher(1), 0, 0);
    assert_ne!(one[0], one[1]);
    assert_ne!(one, rows(&batcher(1), 1, 0));
    assert_ne!(one, rows(&batcher(2), 0, 0));
}

#[test]
fn the_last_batch_is_kept_or_dropped() {
    let count = |n, last| Batcher::new(&[n], 4, 0, BatchOrder::Shuffled, last).unwrap().batches_per_epoch();
    assert_eq!((count(10, LastBatch::Keep), count(10, LastBatch::Drop)), (3, 2));
    assert_eq!(count(3, LastBatch::Drop), 1);
    // A single row left over is joined to the batch before, and dropped where the rest is.
    assert_eq!((count(9, LastBatch::Keep), count(9, LastBatch::Drop), count(1, LastBatch::Keep)), (2, 2, 1));
    let batcher = Batcher::new(&[9, 6, 5], 4, 0, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
    let lengths = |index| rows(&batcher, 0, index).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!((lengths(0), lengths(1)), (vec![4, 4, 4], vec![5, 5, 5]));
    let batcher = Batcher::new(&[9, 5], 4, 0, BatchOrder::Sequential, LastBatch::Keep).unwrap();
    assert_eq!((rows(&batcher, 0, 0)[1].len(), rows(&batcher, 0, 1)[1].len()), (5, 0));
    let batcher = Batcher::new(&[9], 4, 0, BatchOrder::Sequential, LastBatch::Drop).unwrap();
    assert_eq!(rows(&batcher, 0, 1)[0], [4, 5, 6, 7]);
}

#[test]
fn a_stream_smaller_than_the_batch_gives_all_its_rows_each_time() {
    let batcher = Batcher::new(&[100, 3, 0], 10, 0, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
    for index in 0..10 {
        let mut batch = rows(&batcher, 0, index);
        batch[1].sort_unstable();
        assert_eq!(batch[1], [0, 1, 2]);
        assert!(batch[2].is_empty());
    }
}

#[test]
fn how_often_rows_are_seen_is_counted() {
    let batcher = |sampling| {
        Batcher::new(&[100, 5, 0], 10, 0, BatchOrder::Shuffled, LastBatch::Keep).unwrap().sampled(sampling)
    };
    assert_eq!(batcher(TaskSampling::Equal).repeats(), [1.0, 10.0, 0.0]);
    assert_eq!(batcher(TaskSampling::Proportional).repeats(), [1.0, 1.0, 0.0]);
    assert_eq!(batcher(TaskSampling::Proportional).fewest(), (10, vec![Some(10), Some(2), None]));
}

#[test]
fn what_cannot_be_is_refused() {
    let new = |rows: &[i64], size| Batcher::new(rows, size, 0, BatchOrder::Shuffled, LastBatch::Keep);
    assert!(new(&[3], 0).is_err());
    assert!(new(&[], 2).is_err());
    assert!(new(&[0, -1], 2).is_err());
    assert!(new(&[3], 2).unwrap().batch(0, 2).is_err());
}

#[test]
fn balanced_batches_have_as_many_rows_of_each_class() {
    let classes = vec![(0..90).collect(), (90..96).collect(), vec![96, 97, 98]];
    let batcher = Batcher::new(&[100], 10, 7, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
    assert_eq!(batcher.batches_per_epoch(), 10);
    let batcher = batcher.balanced(vec![classes]);
    let mut seen = vec![0_usize; 100];
    for index in 0..10 {
        let rows = Vec::<i64>::try_from(&batcher.batch(2, index).unwrap()[0]).unwrap();
        assert_eq!(rows.len(), 10);
        let of = |range: Range<i64>| rows.iter().filter(|row| range.contains(*row)).count();
        assert!([of(0..90), of(90..96), of(96..99)].iter().all(|count| (3..=4).contains(count)), "{rows:?}");
        for row in rows {
            seen[row as usize] += 1;
        }
    }
    // Each in turn: 33 or 34 of each class; row 99 has no class.
    assert!(
        seen[..90].iter().all(|times| *times <= 1)
            && seen[90..96].iter().all(|times| (5..=6).contains(times))
    );
    assert!(seen[96..99].iter().all(|times| (11..=12).contains(times)) && seen[99] == 0, "{seen:?}");
    // A function of epoch and index, other in another epoch.
    let at = |epoch| Vec::<i64>::try_from(&batcher.batch(epoch, 3).unwrap()[0]).unwrap();
    assert!(at(1) == at(1) && at(1) != at(2));
    // A stream without classes stays as it is, and so does an order that is none.
    let plain = Batcher::new(&[9], 4, 1, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
    let rows = |batcher: &Batcher| Vec::<i64>::try_from(&batcher.batch(0, 0).unwrap()[0]).unwrap();
    assert_eq!(rows(&plain.clone().balanced(vec![Vec::new()])), rows(&plain));
}
