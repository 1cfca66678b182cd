use manytask_tensor::Device;

use super::*;

fn key() -> Key {
    Key::new(3, "augment").step(5)
}

fn batch(inputs: Inputs, target: &[f32]) -> Batch {
    Batch { inputs: vec![inputs], targets: vec![Tensor::from_slice(target)], weights: vec![None] }
}

fn numbers(values: &[f32], columns: i64) -> Tensor {
    Tensor::from_slice(values).reshape([-1, columns])
}

fn vec(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.reshape([-1]).to_kind(Kind::Float)).unwrap()
}

/// A picture whose pixels are 1, 2, 3, … through rows.
fn picture(height: i64, width: i64) -> Tensor {
    Tensor::arange(height * width, (Kind::Float, Device::Cpu)).reshape([1, 1, height, width]) + 1.0
}

/// Several copies of a picture, so that every draw comes.
fn changed(settings: Augmentation, picture: &Tensor) -> Vec<Vec<f32>> {
    let pixels = picture.expand([64, -1, -1, -1], false).contiguous();
    let images = Inputs::Images(Images::new(pixels, crate::Normalisation::default()).unwrap());
    let found = settings.apply(batch(images, &[0.0; 64]), key()).unwrap();
    let pixels = found.inputs[0].tensor(Kind::Float).unwrap();
    let mut all: Vec<Vec<f32>> =
        (0..64).map(|image| vec(&pixels.get(image)).iter().map(|x| x.round()).collect()).collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.dedup();
    all
}

#[test]
fn numbers_get_noise_and_lose_values_and_the_same_draw_gives_the_same() {
    let dense = Tensor::ones([2000, 3], (Kind::Float, Device::Cpu));
    let indices = Tensor::zeros([2000, 2], (Kind::Int16, Device::Cpu));
    let rows = || {
        Inputs::Features(Encoded {
            dense: dense.shallow_clone(),
            one_hot: Some(OneHot { indices: indices.shallow_clone(), width: 4 }),
            categorical: None,
        })
    };
    let settings = Augmentation { noise: Some(0.5), feature_dropout: Some(0.25), ..Augmentation::default() };
    let found = settings.apply(batch(rows(), &[0.0; 2000]), key()).unwrap();
    let again = settings.apply(batch(rows(), &[0.0; 2000]), key()).unwrap();
    let Inputs::Features(features) = &found.inputs[0] else { panic!("features") };
    assert_eq!(features.dense, again.inputs[0].features().unwrap().dense);
    let gone = vec(&features.dense).iter().filter(|x| **x == 0.0).count();
    assert!((1350..1650).contains(&gone), "{gone} of 6000");
    let kept: Vec<f32> = vec(&features.dense).into_iter().filter(|x| *x != 0.0).collect();
    let mean = kept.iter().sum::<f32>() / kept.len() as f32;
    let variance = kept.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / kept.len() as f32;
    assert!((mean - 1.0).abs() < 0.03 && (variance.sqrt() - 0.5).abs() < 0.03, "{mean} {variance}");
    let none = vec(&features.one_hot.as_ref().unwrap().indices).iter().filter(|x| **x == -1.0).count();
    assert!((880..1120).contains(&none), "{none} of 4000");
    assert_eq!(vec(&dense), vec![1.0; 6000], "the rows themselves stay");
}

#[test]
fn pictures_are_mirrored_and_shifted_by_whole_pixels() {
    let flipped =
        changed(Augmentation { flip: Some(Flip::Horizontal), ..Augmentation::default() }, &picture(2, 3));
    assert_eq!(flipped, [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![3.0, 2.0, 1.0, 6.0, 5.0, 4.0]]);
    let both = changed(Augmentation { flip: Some(Flip::Both), ..Augmentation::default() }, &picture(2, 3));
    assert_eq!(both.len(), 4);
    let shifted = changed(Augmentation { crop: Some(1), ..Augmentation::default() }, &picture(2, 2));
    assert_eq!(shifted.len(), 9);
    for expected in [[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 3.0], [4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0]] {
        assert!(shifted.contains(&expected.to_vec()), "{shifted:?}");
    }
}

#[test]
fn pictures_are_turned_in_pixels_whatever_their_sides_are() {
    // By 90 degrees a line in the middle of a picture that is not square stands upright.
    let line = Tensor::zeros([1, 1, 5, 9], (Kind::Float, Device::Cpu));
    let _ = line.narrow(2, 2, 1).fill_(1.0);
    let settings = Augmentation { rotation: Some(90.0), ..Augmentation::default() };
    let draws = [1.0, 0.5, 0.5, 0.5, 0.9, 0.9];
    let turned: Vec<f32> = {
        let matrix = pictures::matrix(&settings, &draws, (5.0, 9.0));
        let grid = Tensor::affine_grid_generator(
            &Tensor::from_slice(&matrix).reshape([1, 2, 3]),
            [1, 1, 5, 9],
            false,
        );
        vec(&line.grid_sampler(&grid, 0, 0, false)).iter().map(|x| x.round()).collect()
    };
    let upright: Vec<f32> = (0..45).map(|place| f32::from(u8::from(place % 9 == 4))).collect();
    assert_eq!(turned, upright);
    // Twice as large, the corner of the middle is all that is seen.
    let zoomed = Augmentation { zoom: Some(0.9), ..Augmentation::default() };
    let matrix = pictures::matrix(&zoomed, &[0.5, 1.0, 0.5, 0.5, 0.9, 0.9], (4.0, 4.0));
    assert!((matrix[0] - 1.0 / 1.9).abs() < 1e-6 && matrix[1] == 0.0, "{matrix:?}");
}

#[test]
fn a_square_of_a_picture_is_cut_out() {
    let found = changed(Augmentation { cutout: Some(2), ..Augmentation::default() }, &picture(3, 3));
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|picture| picture.iter().filter(|x| **x == 0.0).count() == 4));
    assert!(found.contains(&vec![0.0, 0.0, 3.0, 0.0, 0.0, 6.0, 7.0, 8.0, 9.0]), "{found:?}");
}

#[test]
fn mixed_rows_stand_twice_with_the_labels_of_both() {
    let rows = numbers(&[1.0, 10.0, 2.0, 20.0, 4.0, 40.0], 2);
    let settings = Augmentation { mixup: Some(1.0), ..Augmentation::default() };
    let found = settings.apply(batch(Inputs::numbers(rows), &[1.0, 2.0, f32::NAN]), key()).unwrap();
    let weights = vec(found.weights[0].as_ref().unwrap());
    let share = weights[0];
    assert!(
        weights[..3].iter().all(|x| *x == share)
            && weights[3..].iter().all(|x| (x + share - 1.0).abs() < 1e-6)
    );
    assert!(share > 0.0 && share < 1.0, "{weights:?}");
    let (x, y) = (vec(&found.inputs[0].tensor(Kind::Float).unwrap()), vec(&found.targets[0]));
    assert_eq!(x[..6], x[6..]);
    let label = |y: f32| if y.is_nan() { 4.0 } else { y };
    for row in 0..3 {
        let mixed = share * label(y[row]) + (1.0 - share) * label(y[row + 3]);
        assert!(
            (x[2 * row] - mixed).abs() < 1e-5 && (x[2 * row + 1] - 10.0 * mixed).abs() < 1e-4,
            "{x:?} {y:?}"
        );
    }
}

#[test]
fn what_is_out_of_range_or_for_other_inputs_is_refused_by_its_key() {
    let none = Augmentation::default;
    let table = [Inputs::numbers(numbers(&[1.0], 1))];
    let images = [Inputs::Images(Images::new(picture(2, 2), crate::Normalisation::default()).unwrap())];
    for (settings, inputs, says) in [
        (Augmentation { noise: Some(-1.0), ..none() }, &table, "noise is -1"),
        (Augmentation { feature_dropout: Some(1.0), ..none() }, &table, "feature_dropout is 1"),
        (Augmentation { mixup: Some(f64::NAN), ..none() }, &table, "mixup is NaN"),
        (Augmentation { flip: Some(Flip::Both), ..none() }, &table, "`flip` is for pictures"),
        (Augmentation { noise: Some(0.1), ..none() }, &images, "`noise` is for tables"),
    ] {
        let error = settings.check_inputs(inputs).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(none().check_inputs(&table).is_ok() && none().is_none());
}
