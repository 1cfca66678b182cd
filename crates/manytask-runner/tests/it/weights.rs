//! Networks that begin with weights of a file.

use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind, Tensor, checkpoint};

use crate::command::Place;
use crate::images::folder_of_classes;

const CONFIG: &str = r#"seed = 1
threads = 1
[data]
kind = "image_folder"
folder = "mine"
split.random = { validation = 0.0, test = 0.5, seed = 3 }
size = 16
ways = 3
shots = 1
queries = 3
[network]
kind = "resnet10"
stem = "small"
width = 4
weights = "resnet.safetensors"
[learner]
kind = "simple_shot"
[training]
steps = 0
batch_norm = "running"
[evaluation]
tasks = 20
"#;

/// The shapes of a residual network of one block in each stage, by torchvision's names.
fn shapes() -> Vec<(String, Vec<i64>)> {
    let mut all = Vec::new();
    let norm = |name: &str, size: i64| {
        ["weight", "bias", "running_mean", "running_var"]
            .map(|part| (format!("{name}.{part}"), vec![size]))
            .to_vec()
    };
    all.push(("conv1.weight".to_owned(), vec![4, 1, 3, 3]));
    all.extend(norm("bn1", 4));
    let mut inputs = 4;
    for (stage, outputs) in [(1, 4), (2, 8), (3, 16), (4, 32)] {
        let block = format!("layer{stage}.0");
        all.push((format!("{block}.conv1.weight"), vec![outputs, inputs, 3, 3]));
        all.extend(norm(&format!("{block}.bn1"), outputs));
        all.push((format!("{block}.conv2.weight"), vec![outputs, outputs, 3, 3]));
        all.extend(norm(&format!("{block}.bn2"), outputs));
        if inputs != outputs {
            all.push((format!("{block}.downsample.0.weight"), vec![outputs, inputs, 1, 1]));
            all.extend(norm(&format!("{block}.downsample.1"), outputs));
        }
        inputs = outputs;
    }
    all.push(("fc.weight".to_owned(), vec![10, 32]));
    all.push(("fc.bias".to_owned(), vec![10]));
    all
}

/// Writes weights of these shapes.
fn write(place: &Place, shapes: &[(String, Vec<i64>)]) {
    let on = (Kind::Float, Device::Cpu);
    let tensors = shapes.iter().enumerate().map(|(number, (name, shape))| {
        let drawn = Key::new(2, "w").task(number as u64).normal(shape, on.0, on.1).unwrap();
        let count: i64 = shape.iter().skip(1).product();
        let scaled = if shape.len() > 1 { drawn * (2.0 / count as f64).sqrt() } else { drawn * 0.1 };
        let ones = name.ends_with("running_var") || (shape.len() == 1 && name.ends_with("weight"));
        (name.clone(), if ones { scaled.abs() + 1.0 } else { scaled })
    });
    let mut tensors: Vec<(String, Tensor)> = tensors.collect();
    tensors.push(("bn1.num_batches_tracked".to_owned(), Tensor::from(7_i64)));
    let file = place.at("resnet.safetensors");
    checkpoint::save_tensors(&file, &tensors, &checkpoint::Metadata::new()).unwrap();
}

fn place() -> Place {
    let place = Place::new();
    folder_of_classes(&place.at("mine"), 12, 8);
    write(&place, &shapes());
    place.write("w.toml", CONFIG);
    place
}

#[test]
fn a_network_begins_with_the_weights_of_a_file() {
    let place = place();
    place.good(&["check", "w.toml"]);
    let said = place.good(&["train", "w.toml", "--name", "w"]);
    assert!(said.err.contains("60 of 61 parameters begin as those of"), "{said:?}");
    assert!(said.err.contains("its fc.bias, fc.weight are left out"), "{said:?}");
    let of = |file: &str| checkpoint::load_tensors(&place.at(file), Device::Cpu).unwrap().0;
    let given = of("resnet.safetensors");
    let mut folders =
        fs_err::read_dir(place.at("runs/w/checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.find(|path| path.is_dir()).unwrap();
    let kept = checkpoint::load_tensors(&folder.join("params.safetensors"), Device::Cpu).unwrap().0;
    for name in ["conv1.weight", "layer2.0.downsample.1.running_var", "layer4.0.bn2.bias"] {
        assert_eq!(kept[name], given[name], "{name}");
    }
    // The run has its own parameters once it is there.
    fs_err::remove_file(place.at("resnet.safetensors")).unwrap();
    place.good(&["eval", "runs/w"]);
}

#[test]
fn weights_that_do_not_fit_are_refused_before_data_are_read() {
    let place = place();
    let mut few = shapes();
    few.retain(|(name, _)| name != "layer3.0.conv2.weight");
    write(&place, &few);
    fs_err::remove_dir_all(place.at("mine")).unwrap();
    let refused = |place: &Place, code: i32, says: &[&str]| {
        let said = place.run(&["check", "w.toml"]);
        assert_eq!(said.code, Some(code), "{said:?}");
        for piece in says {
            assert!(said.err.contains(piece), "`{piece}` is not in {}", said.err);
        }
    };
    refused(&place, 6, &["resnet.safetensors", "no weights for 1 of the", "layer3.0.conv2.weight"]);
    let mut other = shapes();
    other.iter_mut().filter(|(name, _)| name == "conv1.weight").for_each(|(_, shape)| shape[1] = 3);
    write(&place, &other);
    refused(&place, 6, &["`conv1.weight` has shape [4, 3, 3, 3]", "channels = \"rgb\""]);
    fs_err::remove_file(place.at("resnet.safetensors")).unwrap();
    refused(&place, 4, &["`weights` of [network]", "resnet.safetensors", "relative to the configuration"]);
    place.write("resnet.safetensors", "hello");
    refused(&place, 6, &["`weights` of [network]", "resnet.safetensors", "takes a safetensors file"]);
    place.write("w.toml", CONFIG.replace("steps = 0", "steps = 0\ninit_from = \"runs/other\""));
    refused(&place, 3, &["w.toml:", "`init_from` of [training]", "leave one of them out"]);
    let identity = CONFIG.replace("kind = \"resnet10\"\nstem = \"small\"\nwidth = 4", "kind = \"identity\"");
    place.write("w.toml", identity);
    refused(&place, 3, &["`weights` has no effect"]);
}
