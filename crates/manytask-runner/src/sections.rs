//! The sections of a configuration that are no matter of a `kind`, shown by `list` and `explain`.

/// A section with its keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described {
    /// Its name.
    pub(crate) name: &'static str,
    /// One line: what it is.
    pub(crate) summary: &'static str,
    /// All its keys, as TOML, each with what it means.
    pub(crate) text: &'static str,
}

/// All, in the order they stand in.
pub(crate) const SECTIONS: [Described; 9] = [
    Described {
        name: "run",
        summary: "keys before the first section",
        text: "\
seed = 0            # what every random draw is keyed by
device = \"cpu\"      # cpu, cuda, cuda:N or auto (the faster of GPU and processor, tried for some steps)
precision = \"full\"  # of layers: full (float32), tf32 (on a GPU, float32 multiplied with 11 significant bits) or bfloat16; parameters, losses and optimizer are float32 in either
capture = \"auto\"    # steps on a GPU: auto (launched as a whole, as CUDA graphs, where that can be) or off
threads = 1         # of each kernel; left out: one for each core
",
    },
    Described {
        name: "data",
        summary: "where rows or episodes come from; see the data sets and episodes",
        text: "\
[data]
kind = \"table\"
folder = \"data\"     # where relative paths start, itself relative to this file; left out: beside it
",
    },
    Described {
        name: "network",
        summary: "for tasks on rows: an architecture and its parts",
        text: "\
[network]
kind = \"hard_sharing\"
trunk = { kind = \"mlp\", hidden = [128] }
head = { kind = \"mlp\", hidden = [32] } # before each task's last layer; left out: that layer alone
embedding = 8       # numbers for each embedded column
periodic = { size = 24, frequencies = 48, scale = 0.01, shared = false } # numbers of tables as waves with trained frequencies and a layer each (PLR, Gorishniy et al. 2022), `shared` one layer for all; left out: as they are
",
    },
    Described {
        name: "network",
        summary: "for learners on episodes: a backbone",
        text: "\
[network]
kind = \"resnet12\"
weights = \"resnet12.safetensors\" # what it begins with, a file of safetensors with the names of this program, timm, torchvision or the network's authors, relative to this file; a classifier in it is left out; left out: drawn
",
    },
    Described {
        name: "tasks",
        summary: "losses and metrics by the name of a task; `default` is for all",
        text: "\
[tasks.default]
metrics = [\"roc_auc\", \"accuracy\"] # the first is the primary one
calibration = \"temperature\" # of probabilities, on the validation split, or \"isotonic\"; left out: none; for the tasks that it fits
decision = \"f1\"     # the best threshold on the validation split; left out: `predict` gives no classes
coverage = 0.9      # `predict` gives sets of classes and intervals that hold the truth so often (split conformal)

[tasks.income]
loss = \"mse\"        # or a table, such as { focal = { gamma = 2.0 } }
",
    },
    Described {
        name: "training",
        summary: "of tasks on rows",
        text: "\
[training]
epochs = 10         # how often every row is seen; or `steps = 1000`
batch_size = 256
batch_order = \"shuffled\" # or \"sequential\"
last_batch = \"keep\" # or \"drop\": one that is not full is left out; a single row left over joins the batch before
task_sampling = \"equal\" # with `tasks_by`: as many rows of each task in a batch, so that those of small tasks are seen several times in an epoch; or \"proportional\": each row once
augment = { noise = 0.1, feature_dropout = 0.1, mixup = 0.2 } # training rows are changed at random: noise of that deviation, values taken away, rows mixed with others, or with manifold_mixup = 0.2 instead activations at a layer that is drawn (hard_sharing); of pictures { flip = \"horizontal\", crop = 4, rotation = 15.0, zoom = 0.1, cutout = 8, mixup = 0.2 }: flip also \"vertical\" or \"both\", crop and cutout in pixels, rotation in degrees; left out: as they are
execution = \"auto\" # fused passes where there are such; or \"graph\", or \"verify\": both ways, and an error where they differ
validate_every_epochs = 1 # or `validate_every_steps = 100`; left out: never
save_every_steps = 100 # checkpoints, beside those of the best and the last parameters, and of every epoch that ends more than a second after the last one (up to ten where writing takes long)
save_every_minutes = 5.0 # checkpoints by the clock, beside those
keep_checkpoints = 1 # how many of the latest stay, beside the best
log_every_steps = 50 # lines of training losses in metrics.jsonl
diagnose_every_steps = 100 # how the tasks' gradients stand to each other: norms, cosines, conflicts, condition number, and whether the step is down for each task; left out: never
clip_norm = 1.0     # the largest norm of the gradient; left out: any
only_tasks = [\"income\"] # left out: all
balance = \"income\"  # batches have as many rows of each class of this task's labels, rare ones several times in an epoch, rows without a label never; probabilities are then those of balanced data; left out: rows as they are
average = { ema = { decay = 0.999 } } # what is judged and kept is a moving average of the parameters, decay from 0 to below 1; or { swa = { from = 0.75 } }: their mean over the steps after this share of all; left out: the parameters of the last step
init_from = \"../runs/other\" # a run whose best parameters are the first ones, where name and shape fit, relative to this file; left out: they are drawn
freeze = [\"trunk\"]  # parts of the network that are held still, by what names of parameters begin with up to a dot, * for any characters: \"trunk.layer0\", \"heads.*\"; left out: none
monitor = { metric = \"loss\" } # what decides which parameters are the best; with `task` where one alone counts, weights = { income = 2.0 } what each counts in the mean (1 where it is not named), across = \"worst\" where the worst of the tasks decides
early_stopping = { patience = 4, min_delta = 0.0 } # so many looks at the validation split without a metric better by more than min_delta
",
    },
    Described {
        name: "training",
        summary: "of learners on episodes",
        text: "\
[training]
steps = 1000        # 0 with a learner that computes its classifier from the examples: nothing is trained, as of given vectors
tasks_per_step = 4
execution = \"auto\" # or loop, { threads = 2 }, batched, analytic; or verify: both as auto and through the graph, and an error where they differ
batch_norm = \"batch\" # normalises with the statistics of each pass' own examples, in evaluation too (transductive); or \"running\": with running ones in evaluation
validate_every_steps = 100 # left out: never
save_every_steps = 100 # checkpoints, beside those of the best and the last parameters, and of every epoch that ends more than a second after the last one (up to ten where writing takes long)
save_every_minutes = 5.0 # checkpoints by the clock, beside those
keep_checkpoints = 1 # how many of the latest stay, beside the best
log_every_steps = 50 # lines of training losses in metrics.jsonl
diagnose_every_steps = 100 # how the tasks' gradients stand to each other: norms, cosines, conflicts, condition number, and whether the step is down for each task; left out: never
clip_norm = 1.0     # the largest norm of the gradient; left out: any
average = { ema = { decay = 0.999 } } # what is judged and kept is a moving average of the parameters, decay from 0 to below 1; or { swa = { from = 0.75 } }: their mean over the steps after this share of all; left out: the parameters of the last step
init_from = \"../runs/other\" # a run whose best parameters are the first ones, where name and shape fit, relative to this file; left out: they are drawn
freeze = [\"layer*\"] # parts of the network that are held still in the steps on tasks, by what names of parameters begin with up to a dot, * for any characters: \"head\", \"layer0\"; left out: none
monitor = { metric = \"loss\" } # what decides which parameters are the best
early_stopping = { patience = 4, min_delta = 0.0 } # so many looks at the validation split without a metric better by more than min_delta
",
    },
    Described {
        name: "pretraining",
        summary: "of learners on episodes of images: the first steps of the training are on single examples of all its classes",
        text: "\
[pretraining]
steps = 400         # the first ones of training.steps, the others are on tasks; left out where the learner learns from no task: all
batch_size = 128
classifier = \"linear\" # or { cosine = { scale = 2.0 } }
",
    },
    Described {
        name: "evaluation",
        summary: "of learners: always the same tasks",
        text: "\
[evaluation]
tasks = 600
queries = 15        # for each class; left out: as in training; batch-norm normalises a task's queries together (transductive)
inner_steps = 3     # left out: as in training
seed = 0            # what these tasks are keyed by
",
    },
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Source;
    use crate::plan::{Plan, TrainingSection, Work};
    use crate::registries::Registries;

    const OPTIMIZER: &str =
        "[optimizer]\nkind = \"adam\"\nlearning_rate = 0.1\n[aggregator]\nkind = \"equal_weights\"\n";

    fn text(name: &str, summary: &str) -> &'static str {
        let of = |section: &&Described| section.name == name && section.summary.contains(summary);
        SECTIONS.iter().find(of).unwrap().text
    }

    #[test]
    fn a_configuration_of_tasks_on_rows_can_be_put_together_from_them() {
        let of_table = Registries::default().data.example("table").unwrap();
        let data = of_table.replacen("[data]\nkind = \"table\"\n", text("data", ""), 1);
        assert_ne!(data, of_table);
        let parts = [
            text("run", ""),
            &data,
            text("network", "rows"),
            text("tasks", ""),
            text("training", "rows"),
            OPTIMIZER,
        ];
        let source = Source::new(Path::new("a.toml"), &parts.join("\n"), &[]).unwrap();
        let plan = Plan::read(&source, &Registries::default()).unwrap();
        let Work::Rows(rows) = plan.work else { panic!("rows") };
        assert_eq!((rows.only.len(), rows.tasks.len(), plan.threads), (1, 2, Some(1)));
        assert!(plan.folder.ends_with("data"));
    }

    #[test]
    fn a_configuration_of_a_learner_can_be_put_together_from_them() {
        let all = Registries::default();
        let parts = [
            all.episodes.example("sinusoid").unwrap(),
            all.backbones.example("mlp").unwrap(),
            all.learners.example("maml").unwrap(),
            text("training", "learners").to_owned(),
            text("pretraining", "").to_owned(),
            text("evaluation", "").to_owned(),
            OPTIMIZER.to_owned(),
        ];
        let source = Source::new(Path::new("a.toml"), &parts.join("\n"), &[]).unwrap();
        let plan = Plan::read(&source, &all).unwrap();
        let Work::Episodes(episodes) = plan.work else { panic!("episodes") };
        assert_eq!((episodes.settings.tasks_per_step, episodes.settings.evaluation_queries), (4, Some(15)));
        assert_eq!(episodes.pretraining.unwrap().steps, Some(400));
    }

    #[test]
    fn no_key_of_the_training_is_left_out() {
        let all = TrainingSection {
            epochs: Some(1.0),
            steps: Some(1),
            validate_every_epochs: Some(1.0),
            validate_every_steps: Some(1),
            save_every_steps: Some(1),
            save_every_minutes: Some(1.0),
            keep_checkpoints: Some(1),
            log_every_steps: Some(1),
            diagnose_every_steps: Some(1),
            clip_norm: Some(1.0),
            monitor: Some(manytask_multitask::Monitor::default()),
            early_stopping: Some(manytask_multitask::EarlyStopping { patience: 1, min_delta: 0.0 }),
            init_from: Some("run".into()),
            freeze: vec!["trunk".into()],
            average: Some(manytask_multitask::WeightAverage::Swa { from: 0.5 }),
        };
        for key in toml::Table::try_from(all).unwrap().keys() {
            assert!(text("training", "rows").contains(key.as_str()), "{key}");
        }
    }
}
