use manytask_tensor::Tensor;

use super::*;

fn small() -> Scenes {
    Scenes { train: 6, validation: 2, test: 0, height: 24, width: 32, ..Scenes::default() }
}

fn label<'s>(split: &'s SplitData, name: &str) -> &'s Tensor {
    &split.tasks.iter().find(|task| task.name == name).unwrap().target
}

/// Where points of the room are, by the depths, in metres.
fn points(scenes: &LoadedScenes) -> Vec<([f64; 3], [f64; 3], i64)> {
    let split = &scenes.splits.train;
    let (mean, std) = scenes.depth;
    let mut all = Vec::new();
    for number in 0..6 {
        for row in 0..24 {
            for column in 0..32 {
                let at = [number, row, column];
                let class = label(split, "segmentation").int64_value(&at);
                let depth = label(split, "depth").double_value(&at) * std + mean;
                let normal =
                    [0, 1, 2].map(|axis| label(split, "normals").double_value(&[number, row, column, axis]));
                let ray = [(column as f64 - 15.5) / 25.6, (row as f64 - 11.5) / 25.6, 1.0];
                all.push((ray.map(|x| x * depth), normal, class));
            }
        }
    }
    all
}

#[test]
fn labels_agree_with_each_other_and_with_the_geometry() {
    let scenes = small().load().unwrap();
    let mut seen = [0; 4];
    for (point, normal, class) in points(&scenes) {
        if class == MISSING_CLASS {
            assert!(point[2].is_nan() && normal.iter().all(|x| x.is_nan()));
            continue;
        }
        seen[class as usize] += 1;
        let length: f64 = normal.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5);
        let towards: f64 = normal.iter().zip(point).map(|(n, p)| n * p).sum();
        assert!(towards < 1e-5, "a surface that is seen faces the camera: {normal:?} {point:?}");
        match class {
            1 => assert!(normal[1] == -1.0 && (0.8..1.5001).contains(&point[1]), "{point:?}"),
            0 => assert!(normal[1] == 0.0 && normal[2] < -0.8),
            3 => assert!(normal.iter().any(|x| x.abs() > 0.7)),
            _ => {}
        }
    }
    assert!(seen.iter().all(|count| *count > 30), "{seen:?}");
    assert!((0.5..20.0).contains(&scenes.depth.0));
}

#[test]
fn a_sphere_has_the_depth_of_its_equation_and_a_box_that_of_its_faces() {
    let sphere = render::tests::sphere([0.2, 0.1, 3.0], 0.5);
    let (depth, normal) = sphere([0.05, 0.0, 1.0]).unwrap();
    let on = [0.05 * depth - 0.2, -0.1, depth - 3.0];
    assert!((on.iter().map(|x| x * x).sum::<f64>().sqrt() - 0.5).abs() < 1e-12);
    assert!(normal.iter().zip(on).all(|(n, p)| (n - p / 0.5).abs() < 1e-12));
    assert!(sphere([1.0, 0.0, 1.0]).is_none());
    let cube = render::tests::cube([0.0, 0.0, 4.0], [1.0, 1.0, 1.0], 0.0);
    let (depth, normal) = cube([0.1, 0.1, 1.0]).unwrap();
    assert!((depth - 3.0).abs() < 1e-12 && normal == [0.0, 0.0, -1.0]);
    // Turned by an eighth, an edge is in front, √2 before the middle.
    let turned = render::tests::cube([0.0, 0.0, 4.0], [1.0, 1.0, 1.0], std::f64::consts::FRAC_PI_4);
    let (depth, normal) = turned([1e-9, 0.0, 1.0]).unwrap();
    assert!((depth - (4.0 - 2.0_f64.sqrt())).abs() < 1e-6, "{depth}");
    assert!((normal[0].abs() - 0.5_f64.sqrt()).abs() < 1e-9 && normal[2] < 0.0);
    assert!(turned([0.6, 0.0, 1.0]).is_none());
}

#[test]
fn pictures_are_functions_of_seed_split_and_number() {
    let pixels = |scenes: &Scenes| {
        let loaded = scenes.load().unwrap();
        let images = |split: &SplitData| match &split.inputs[0] {
            Inputs::Images(images) => images.pixels().shallow_clone(),
            _ => panic!("no images"),
        };
        (images(&loaded.splits.train), images(loaded.splits.validation.as_ref().unwrap()), loaded.digest)
    };
    let (train, validation, digest) = pixels(&small());
    let more = pixels(&Scenes { train: 8, ..small() });
    assert_eq!(more.0.narrow(0, 0, 6), train, "more pictures are further ones");
    assert_eq!(more.1, validation);
    assert_ne!(more.2, digest);
    assert_ne!(train.narrow(0, 0, 2), validation);
    assert_ne!(pixels(&Scenes { seed: 1, ..small() }).0, train);
    assert!(train.to_kind(Kind::Float).std(true).double_value(&[]) > 20.0, "there is something to be seen");
}

#[test]
fn depths_are_standardised_and_holes_are_in_all_labels() {
    let scenes = Scenes { holes: 1.0, ..small() }.load().unwrap();
    let split = &scenes.splits.train;
    let depth = label(split, "depth");
    let known = depth.masked_select(&depth.isnan().logical_not());
    assert!(known.mean(Kind::Double).double_value(&[]).abs() < 1e-5);
    assert!((known.std(false).double_value(&[]) - 1.0).abs() < 1e-5);
    let gaps = depth.isnan();
    assert_eq!(gaps, label(split, "segmentation").eq(MISSING_CLASS));
    assert_eq!(gaps, label(split, "normals").isnan().all_dim(-1, false));
    assert!(gaps.flatten(1, -1).any_dim(1, false).all().int64_value(&[]) == 1);
    let without = Scenes { holes: 0.0, ..small() }.load().unwrap();
    assert_eq!(label(&without.splits.train, "depth").isnan().any().int64_value(&[]), 0);
    assert!(
        scenes.report.summary().contains("6 train, 2 validation images of"),
        "{}",
        scenes.report.summary()
    );
}

#[test]
fn settings_out_of_range_are_refused() {
    for wrong in [
        Scenes { train: 0, ..small() },
        Scenes { height: 3, ..small() },
        Scenes { width: 5000, ..small() },
        Scenes { objects: 0, ..small() },
        Scenes { noise: -0.1, ..small() },
        Scenes { holes: f64::NAN, ..small() },
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
}
