//! Everything that a configuration can name.

mod aggregators;
mod architectures;
mod backbones;
mod learners;
mod made_of;
mod schedules;

use std::sync::Arc;

use manytask_data::{
    ClassSplit, Columns, Fractions, GaussianProcess, ImageDataset, ImageFiles, ImageTarget, InputColumns,
    Pairs, PixelScale, Resize, Scenes, SplitRule, TableDataset, TableEpisodes, TableSource, TargetKind,
    TargetSpec,
};
use manytask_meta::LearnerSpec;
use manytask_multitask::{AggregatorSettings, ArchitectureSettings, TrunkSettings};
use manytask_nn::nets::{Conv4Config, DilatedConfig, LeNetConfig, MlpConfig, ResidualMlpConfig};
use manytask_nn::optim::{Adam, AdamW, Optimizer, RmsProp, Sgd};
use manytask_nn::schedule::ScheduleKind;

use crate::data::DataSettings;
use crate::episodes::{
    BackboneSettings, EpisodeSettings, IdxClassesSection, ImageFolderSection, OmniglotSection,
    SinusoidSection,
};
use crate::registry::Registry;

/// All registries. [`Registries::default`] has what comes with manytask; add your own, then run
/// [`main_with`](crate::main_with).
#[derive(Debug)]
pub struct Registries {
    /// `[data]` of rows with labels.
    pub data: Registry<Box<dyn DataSettings>>,
    /// `[data]` of episodes, for learners.
    pub episodes: Registry<Box<dyn EpisodeSettings>>,
    /// `[learner]`.
    pub learners: Registry<Arc<dyn LearnerSpec>>,
    /// `[network]` of learners.
    pub backbones: Registry<Box<dyn BackboneSettings>>,
    /// `[network]` of tasks on rows.
    pub architectures: Registry<Box<dyn ArchitectureSettings>>,
    /// `trunk`, `head` and other parts of `[network]`.
    pub trunks: Registry<Box<dyn TrunkSettings>>,
    /// `[aggregator]`.
    pub aggregators: Registry<Box<dyn AggregatorSettings>>,
    /// `[optimizer]`.
    pub optimizers: Registry<Optimizer>,
    /// `[schedule]`.
    pub schedules: Registry<ScheduleKind>,
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            data: data(),
            episodes: episodes(),
            learners: learners::learners(),
            backbones: backbones::backbones(),
            architectures: architectures::all(),
            trunks: trunks(),
            aggregators: aggregators::all(),
            optimizers: optimizers(),
            schedules: schedules::schedules(),
        }
    }
}

fn data() -> Registry<Box<dyn DataSettings>> {
    let mut registry = Registry::<Box<dyn DataSettings>>::new("data set", "data");
    let example = TableDataset {
        source: TableSource::new("people.csv.gz"),
        split: Some(SplitRule::Random(Fractions { validation: 0.1, test: 0.2, seed: 1 })),
        inputs: InputColumns { one_hot: Columns::from("rest"), clip: Some(10.0), ..InputColumns::default() },
        targets: vec![TargetSpec::new("income", TargetKind::Binary)],
        weight: None,
        weight_in: None,
        tasks_by: None,
        fold: None,
    };
    registry.add(
        "table",
        "a table: CSV, Parquet or records in JSON, plain or packed with gzip, zstd, xz or zip",
        "Columns are numeric, one-hot or embedded inputs, or labels; missing labels are left out of losses and metrics.\n\
         Inputs: `*` in a name stands for any characters, `rest` for all columns that are not named elsewhere; a column that\n\
         is called so itself is named with a backslash: '\\rest', 'a\\*b'. Numbers are standardised in double precision,\n\
         those farther outside the training range than `clip` times its width are taken for that bound; with `scale` = robust, quantile,\n\
         piecewise (with `bins`) or raw they become something else, see `explain piecewise`. Categories are\n\
         compared by value: 1 and 1.0, True and TRUE are one; where a number has leading zeros they are codes: 007 is not 7.\n\
         Targets: `columns` as for inputs; each column is a task (without `name`), or a label of one `multilabel` task. Of\n\
         `binary` and `multilabel` targets `positive` lists what means yes and `negative` what means no: left out, the one\n\
         other value; \"rest\" for all others. `missing` lists what stands for no label in these columns. Regressions are\n\
         standardised unless `standardise` is false; metrics and predictions are in the column's units all the same.\n\
         `weight` names a column of row weights, which count in the loss, with weight_in = \"loss_and_metrics\" in metrics\n\
         too. With `tasks_by` each value of a column is a task with its own rows. `fold = { index = 0, count = 5 }` makes one fold\n\
         of a cross-validation the test split (`manytask train CONFIG --folds 5` trains all of them).\n\
         `path = \"part-*.csv\"` is a table of several files with the same columns, and `file_column = \"file\"` a column with the file of\n\
         each row. In `source`, `separator` is a character, `tab` or `auto` (found by looking at the first rows), `quotes = \"literal\"`\n\
         takes a quote for a character like any other, `decimal = \",\"` with `thousands = \".\"` (or `,`, a blank, `'`) reads\n\
         1.234,5, and `missing_by = { age = [\"-1\"] }` has marks of missing values for one column, beside those under `missing`.",
        &example,
        |table: TableDataset| Box::new(table) as Box<dyn DataSettings>,
    );
    registry.add(
        "idx",
        "images of IDX files, as of MNIST and its successors, with a task for each column of labels",
        "Files are plain or packed with gzip: `images` [N, H, W] or [N, C, H, W], `labels` one file or several, [N] or [N, L]. A\n\
         target takes the labels of its `column`, counted from 0 through all files; each label is a class, called by its number\n\
         or as `classes` says; with `positive` the target is binary: these labels mean yes, all others no. Labels under\n\
         `missing` stand for none. `validation` names files like `test`, or `validation_fraction` holds out training images.\n\
         With `pairs` two images make one: the first in the upper left corner of a canvas, the second in the lower right one,\n\
         the larger value where they overlap (MultiMNIST: Sabour et al. 2017, Sener & Koltun 2018). The tasks are then `left`\n\
         and `right`, or NAME_left and NAME_right of several targets.\n\
         `scale` is \"unit\" (bytes become values from 0 to 1), \"standard\" (then mean 0 and deviation 1 over the training\n\
         images, by channel) or { given = { mean = [0.5], std = [0.25] } }. `predict` takes an IDX file, a PNG or JPEG file,\n\
         or a folder of such.",
        &ImageDataset {
            train: ImageFiles {
                images: "train-images-idx3-ubyte.gz".into(),
                labels: vec!["train-labels-idx1-ubyte.gz".into()],
            },
            validation: None,
            test: Some(ImageFiles {
                images: "t10k-images-idx3-ubyte.gz".into(),
                labels: vec!["t10k-labels-idx1-ubyte.gz".into()],
            }),
            validation_fraction: 0.1,
            seed: 0,
            targets: vec![ImageTarget::new("class")],
            pairs: Some(Pairs::default()),
            scale: PixelScale::Unit,
        },
        |images: ImageDataset| Box::new(images) as Box<dyn DataSettings>,
    );
    registry.add(
        "scenes",
        "pictures of rooms that are computed, with a class, a depth and a normal for each pixel",
        "Spheres and boxes in a room, lit from a side. Three tasks with a label for each pixel, as of NYUv2: `segmentation` (wall, floor,\n\
         sphere, box; loss cross_entropy, metrics mean_iou and accuracy), `depth` (in metres; l1; mae and relative_error) and `normals`\n\
         (cosine; mean_angle, median_angle and within_angle of 11.25, 22.5 and 30 degrees). A share `holes` of the pictures has a rectangle\n\
         without labels. Take a trunk of pixels: trunk = { kind = \"dilated\" }.",
        &Scenes::default(),
        |scenes: Scenes| Box::new(scenes) as Box<dyn DataSettings>,
    );
    registry
}

fn episodes() -> Registry<Box<dyn EpisodeSettings>> {
    type Any = Box<dyn EpisodeSettings>;
    let mut registry = Registry::<Any>::new("episodes", "data");
    registry.add(
        "sinusoid",
        "regression on sine waves",
        "y = a sin(f x - p) with amplitude, phase and frequency drawn for each task (Finn et al. 2017, section 5.1).",
        &SinusoidSection::default(),
        |s: SinusoidSection| Box::new(s) as Any,
    );
    registry.add(
        "gaussian_process",
        "regression on functions drawn from Gaussian processes",
        "An RBF kernel with lengthscale and scale drawn for each task (Nguyen & Grover 2022, arXiv:2207.04179, after Garnelo et al.\n\
         2018); each task has a number of shots of its own, and of queries what is drawn of the rest of `points`.",
        &GaussianProcess::default(),
        |g: GaussianProcess| Box::new(g) as Any,
    );
    registry.add(
        "omniglot",
        "N-way K-shot classification of handwritten characters",
        "Lake et al. 2015, from the official images_background.zip and images_evaluation.zip in `folder`.",
        &OmniglotSection::default(),
        |s: OmniglotSection| Box::new(s) as Any,
    );
    registry.add(
        "table",
        "tasks on the rows of a table for a learner: each value of a column a task, or a class",
        "With `tasks_by` each value of a column is a task with its rows, schools with their pupils: a learner adapts to one by `shots` of\n\
         them and is judged by others, `queries` or as many as there are. `targets` describes what is predicted, one target, the same in\n\
         all tasks. With `classes_by` in its place each value is a class, of which a task has `ways`. The split is of tasks or classes: none\n\
         that is judged by was trained on. `split.lists = { train = FILE, validation = FILE, test = FILE }` names them, one in each line.\n\
         Everything else is as without a learner; `manytask adapt` predicts for tasks that were never seen.",
        &TableEpisodes {
            source: TableSource::new("pupils.csv"),
            inputs: InputColumns { numeric: Columns::from("rest"), clip: Some(10.0), ..InputColumns::default() },
            tasks_by: Some("school".into()),
            targets: vec![TargetSpec::new("score", TargetKind::Regression)],
            classes_by: None,
            split: ClassSplit::default(),
            ways: None,
            shots: 10,
            queries: 20,
        },
        |table: TableEpisodes| Box::new(table) as Any,
    );
    registry.add(
        "image_folder",
        "N-way K-shot classification of your own pictures: a folder for each class",
        "`folder` has a folder for each class, with PNG or JPEG pictures of any size. `split.random` divides the classes by a\n\
         seed, its fractions are of classes; split = \"folders\" takes them from the folders `train`, `validation` (which may be\n\
         missing) and `test`, each with folders of its classes; split.lists = { train = \"train.txt\", test = \"test.txt\" } from\n\
         files with a class in each line. `channels` is \"gray\" or \"rgb\". Pictures are brought to `size` x `size` pixels, by\n\
         `resize`: \"area\" (the mean of what a new pixel covers), \"bilinear\" or \"nearest\". What is left out is told.",
        &ImageFolderSection::default(),
        |s: ImageFolderSection| Box::new(s) as Any,
    );
    registry.add(
        "idx_classes",
        "N-way K-shot classification of images in IDX files, by their labels",
        "Images `[N, H, W]` or `[N, C, H, W]` and labels as for the data set `idx`; a class is called by its label, for\n\
         `split.lists` too. With `size` images are brought to squares of that side, by `resize`.",
        &IdxClassesSection {
            files: vec![ImageFiles {
                images: "train-images-idx3-ubyte.gz".into(),
                labels: vec!["train-labels-idx1-ubyte.gz".into()],
            }],
            column: 0,
            split: ClassSplit::default(),
            size: Some(28),
            resize: Resize::Area,
            ways: 2,
            shots: 5,
            queries: 5,
        },
        |s: IdxClassesSection| Box::new(s) as Any,
    );
    registry
}

fn trunks() -> Registry<Box<dyn TrunkSettings>> {
    let mut registry = Registry::<Box<dyn TrunkSettings>>::new("trunk", "network.trunk");
    registry.add(
        "mlp",
        "a multi-layer perceptron",
        "Linear layers, each followed by normalisation, activation and dropout.",
        &MlpConfig { hidden: vec![128], ..MlpConfig::default() },
        |mlp: MlpConfig| Box::new(mlp) as Box<dyn TrunkSettings>,
    );
    registry.add(
        "residual_mlp",
        "a residual network of linear layers, for tables",
        "Gorishniy et al. 2021, arXiv:2106.11959 (ResNet): a linear layer to `width`, `blocks` of x + dropout(linear(dropout(relu(linear(norm(x)))))) through\n\
         `expansion` times the width, relu(norm(x)) at the end. `norm` is \"batch\" (the paper's), \"layer\" or \"none\".",
        &ResidualMlpConfig::default(),
        |residual: ResidualMlpConfig| Box::new(residual) as Box<dyn TrunkSettings>,
    );
    registry.add(
        "lenet",
        "convolution, pooling and linear layers, for images",
        "LeCun et al. 1998, with the sizes of multi-task learning on pairs of digits (Sener & Koltun 2018, arXiv:1810.04650):\n\
         convolutions without padding, each followed by 2 x 2 max-pooling and ReLU, then linear layers with ReLU. `dropout` is\n\
         the share of the last convolution's channels that is dropped in training.",
        &LeNetConfig::default(),
        |lenet: LeNetConfig| Box::new(lenet) as Box<dyn TrunkSettings>,
    );
    registry.add(
        "conv4",
        "four blocks of convolution, batch-norm, ReLU and max-pooling, for square images",
        "Vinyals et al. 2016. With `output` a last linear layer of that size.",
        &Conv4Config::default(),
        |conv: Conv4Config| Box::new(conv) as Box<dyn TrunkSettings>,
    );
    registry.add(
        "dilated",
        "convolutions whose dilation grows, for predictions of each pixel",
        "Yu & Koltun 2016, arXiv:1511.07122: convolutions of 3 x 3 with `width` channels, which leave pictures their size; each is followed by a\n\
         normalisation (`norm` is \"batch\", \"layer\" over a picture, or \"none\") and ReLU. What a pixel sees grows with the sum of `dilations`.\n\
         Heads are then for each pixel: a linear one is a convolution of 1 x 1.",
        &DilatedConfig::default(),
        |dilated: DilatedConfig| Box::new(dilated) as Box<dyn TrunkSettings>,
    );
    registry
}

fn optimizers() -> Registry<Optimizer> {
    let mut registry = Registry::new("optimizer", "optimizer").with_common("learning_rate = 1e-3\n");
    registry.add(
        "sgd",
        "stochastic gradient descent",
        "With momentum, dampening, Nesterov's step.",
        &Sgd::default(),
        Optimizer::Sgd,
    );
    registry.add("adam", "Adam", "Kingma & Ba 2015, arXiv:1412.6980.", &Adam::default(), Optimizer::Adam);
    registry.add(
        "adamw",
        "Adam with decoupled weight decay",
        "Loshchilov & Hutter 2019, arXiv:1711.05101.",
        &AdamW::default(),
        Optimizer::AdamW,
    );
    registry.add("rmsprop", "RMSprop", "Tieleman & Hinton 2012.", &RmsProp::default(), Optimizer::RmsProp);
    registry
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Source;
    use crate::failure::Result;

    /// Reads every example of a registry as a configuration would.
    fn all_are_read<T>(registry: &Registry<T>, common: &[&str]) {
        assert!(registry.entries().next().is_some());
        for (name, _) in registry.entries() {
            let text = registry.example(name).unwrap();
            let source = Source::new(Path::new("a.toml"), &text, &[]).unwrap();
            let read = || -> Result<T> {
                let mut section = source.section()?;
                for part in registry.section().split('.') {
                    section = section.required_table(part)?;
                }
                for key in common {
                    section.required::<f64>(key)?;
                }
                registry.make(section)
            };
            if let Err(failure) = read() {
                panic!("{name}: {failure}\n{text}");
            }
        }
    }

    #[test]
    fn what_is_shown_of_a_name_can_be_written_into_a_configuration() {
        let all = Registries::default();
        all_are_read(&all.data, &[]);
        all_are_read(&all.episodes, &[]);
        all_are_read(&all.learners, &[]);
        all_are_read(&all.backbones, &[]);
        all_are_read(&all.trunks, &[]);
        all_are_read(&all.aggregators, &[]);
        for (name, _) in all.architectures.entries() {
            let text = all.architectures.example(name).unwrap();
            let source = Source::new(Path::new("a.toml"), &text, &[]).unwrap();
            let section = source.section().unwrap().required_table("network").unwrap();
            if let Err(failure) = crate::network::NetworkPlan::read(section, &all) {
                panic!("{name}: {failure}\n{text}");
            }
        }
        all_are_read(&all.optimizers, &["learning_rate"]);
        all_are_read(&all.schedules, &["warm_up_steps"]);
    }
}
