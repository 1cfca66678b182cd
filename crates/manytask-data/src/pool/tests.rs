use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// Classes of 5 images of 2x2 pixels; the first pixel is the class, the second the image.
fn pool(classes: i64) -> ClassPool {
    let pixels: Vec<u8> = (0..classes).flat_map(|c| (0..5).flat_map(move |i| [c as u8, i, 0, 0])).collect();
    let images = Tensor::from_slice(&pixels).reshape([-1, 1, 2, 2]);
    ClassPool::new(images, &vec![5; classes as usize], (0..classes).map(|c| format!("c{c}")).collect())
        .unwrap()
}

fn spec(ways: usize, shots: usize, queries: usize) -> EpisodeSpec {
    EpisodeSpec { ways, shots, queries }
}

/// (class, image) of every example of an episode.
fn contents(x: &Tensor, episode: i64) -> Vec<(u8, u8)> {
    let pixels = (x.get(episode) * 255.0).round().to_kind(Kind::Uint8).reshape([-1]);
    let pixels: Vec<u8> = Vec::try_from(pixels).unwrap();
    pixels.chunks(4).map(|image| (image[0], image[1])).collect()
}

proptest! {
    #[test]
    fn episodes_have_distinct_classes_and_images(ways in 2_usize..8, shots in 1_usize..4, seed: u64, id in 0_u64..1000) {
        let episodes = pool(8).episodes(spec(ways, shots, 2), seed, "test", id..id + 1).unwrap();
        let (support, query) = (contents(&episodes.support_x, 0), contents(&episodes.query_x, 0));
        let images: HashSet<_> = support.iter().chain(&query).collect();
        prop_assert_eq!(images.len(), ways * (shots + 2));
        let classes: HashSet<_> = support.iter().map(|image| image.0).collect();
        prop_assert_eq!(classes.len(), ways);
        for way in 0..ways {
            let class = support[way * shots].0;
            prop_assert!(support[way * shots..(way + 1) * shots].iter().all(|image| image.0 == class));
            prop_assert!(query[way * 2..(way + 1) * 2].iter().all(|image| image.0 == class));
        }
    }
}

#[test]
fn an_episode_is_the_same_in_any_batch() {
    let pool = pool(8);
    let batch = pool.episodes(spec(3, 1, 2), 1, "train", 10..14).unwrap();
    let alone = pool.episodes(spec(3, 1, 2), 1, "train", 12..13).unwrap();
    assert_eq!(contents(&batch.support_x, 2), contents(&alone.support_x, 0));
    assert_eq!(contents(&batch.query_x, 2), contents(&alone.query_x, 0));
    assert_ne!(contents(&batch.support_x, 1), contents(&batch.support_x, 2));
    let other = pool.episodes(spec(3, 1, 2), 1, "validation", 12..13).unwrap();
    assert_ne!(contents(&alone.query_x, 0), contents(&other.query_x, 0));
    assert_eq!(Vec::<i64>::try_from(batch.query_y.get(3)).unwrap(), [0, 0, 1, 1, 2, 2]);
    assert_eq!(batch.query_x.size(), [4, 6, 1, 2, 2]);
}

#[test]
fn rotations_are_classes_of_their_own() {
    let pool = pool(2);
    let turned = pool.with_rotations().unwrap();
    assert_eq!(turned.classes(), 8);
    assert_eq!(turned.names()[..3], ["c0/rot000", "c0/rot090", "c0/rot180"]);
    let (images, labels) = turned.labelled().unwrap();
    for (class, position) in [(4, [0, 0]), (5, [1, 0]), (6, [1, 1]), (7, [0, 1])] {
        // The pixel with the class's number moves counter-clockwise.
        let image = images.get(class * 5);
        assert_eq!(image.int64_value(&[0, position[0], position[1]]), 1, "{class}");
        assert_eq!(labels.int64_value(&[class * 5]), class);
    }
}

#[test]
fn classes_are_selected_joined_and_sorted_from_labels() {
    let pool = pool(3);
    let two = pool.select(&[2, 0]).unwrap();
    assert_eq!(two.names(), ["c2", "c0"]);
    assert_eq!(two.labelled().unwrap().0.int64_value(&[0, 0, 0, 0]), 2);
    assert!(pool.select(&[3]).is_err());
    assert_eq!(ClassPool::concat(&[&pool, &two]).unwrap().classes(), 5);

    let images = Tensor::from_slice(&[1_u8, 0, 1]).reshape([3, 1, 1]);
    let sorted = ClassPool::from_labels(&images, &Tensor::from_slice(&[1_u8, 0, 1])).unwrap();
    assert_eq!((sorted.count(0), sorted.count(1), sorted.count(2)), (1, 2, 0));
    assert_eq!(Vec::<u8>::try_from(sorted.labelled().unwrap().0.reshape([-1])).unwrap(), [0, 1, 1]);
    assert!(ClassPool::from_labels(&images, &Tensor::from_slice(&[1_u8])).is_err());
    assert!(ClassPool::from_labels(&images, &Tensor::from_slice(&[-1_i64, 0, 0])).is_err());
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let pool = pool(3);
    for (spec, expected) in [
        (spec(4, 1, 1), "`ways` is 4, but the test split has only 3 classes"),
        (spec(2, 3, 3), "6 images of a class, but class `c0` of the test split has only 5"),
        (spec(1, 1, 1), "`ways` is 1: an episode needs at least 2"),
        (spec(2, 0, 1), "`shots` is 0"),
        (spec(2, 1, 0), "`queries` is 0"),
        (spec(usize::MAX, 1, 1), "only 3 classes"),
        (spec(2, usize::MAX, usize::MAX), "only 5"),
    ] {
        let error = pool.episodes(spec, 0, "test", 0..1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = pool.episodes(spec(2, 1, 1), 0, "test", 0..u64::MAX / 2).unwrap_err().to_string();
    assert!(error.contains("do not fit in memory"), "{error}");
    let images = || Tensor::zeros([4, 1, 2, 2], (Kind::Uint8, Device::Cpu));
    assert!(ClassPool::new(images(), &[3], vec!["a".into()]).is_err());
    assert!(ClassPool::new(images(), &[4], Vec::new()).is_err());
    assert!(ClassPool::new(images(), &[5, -1], vec!["a".into(), "b".into()]).is_err());
    assert!(ClassPool::new(images().to_kind(Kind::Float), &[4], vec!["a".into()]).is_err());
}
