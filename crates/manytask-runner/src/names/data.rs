//! Names of settings of data and of the tasks on them.

use super::Choice;

/// All of them.
pub(super) const DATA: &[Choice] = &[
    Choice {
        kind: "loss",
        place: "tasks.NAME.loss",
        names: &[
            ("mse", "the squared error, of regressions", "loss = \"mse\"\n"),
            ("l1", "the absolute error, of regressions", "loss = \"l1\"\n"),
            (
                "huber",
                "squared up to `delta`, linear beyond, of regressions",
                "loss = { huber = { delta = 1.0 } } # or \"huber\", which is the same\n",
            ),
            (
                "cosine",
                "1 - cos of the angle between vectors, of regressions of several numbers such as normals",
                "loss = \"cosine\"\n",
            ),
            (
                "binary_cross_entropy",
                "the negative log-likelihood of yes or no, of binary and multilabel targets",
                "loss = { binary_cross_entropy = { positive_weight = 2.0 } } # how much a yes counts; left out, or \"binary_cross_entropy\": as a no\n",
            ),
            (
                "focal",
                "cross-entropy that discounts what is predicted well (Lin et al. 2017), of binary and multilabel targets",
                "loss = { focal = { gamma = 2.0, alpha = 0.25 } } # alpha weighs yes, 1 - alpha no; left out: alike\n",
            ),
            (
                "cross_entropy",
                "the negative log-likelihood of the class, of multiclass targets",
                "loss = { cross_entropy = { label_smoothing = 0.1, class_weights = [1.0, 2.0, 1.0] } } # both can be left out\n",
            ),
        ],
    },
    Choice {
        kind: "metric",
        place: "tasks.NAME.metrics",
        names: &[
            ("rmse", "the root of the mean squared error, of regressions", "metrics = [\"rmse\"]\n"),
            ("mae", "the mean absolute error, of regressions", "metrics = [\"mae\"]\n"),
            ("mse", "the mean squared error, of regressions", "metrics = [\"mse\"]\n"),
            (
                "r2",
                "the share of the variance that is explained, 1 - SS/SS0, of regressions",
                "metrics = [\"r2\"]\n",
            ),
            (
                "explained_variance",
                "the same, whatever the mean of the errors, of regressions",
                "metrics = [\"explained_variance\"]\n",
            ),
            (
                "relative_rmse",
                "the error relative to that of the mean of the training labels, of regressions; its mean over tasks is the aRRMSE",
                "metrics = [\"relative_rmse\"]\n",
            ),
            (
                "quantile_loss",
                "the pinball loss of a quantile, of regressions; `quantile_loss_0.9` in results",
                "metrics = [{ quantile_loss = 0.9 }]\n",
            ),
            (
                "relative_error",
                "the mean of |y - y'| / |y|, of regressions such as depths",
                "metrics = [\"relative_error\"]\n",
            ),
            (
                "mean_angle",
                "the mean angle in degrees between vectors, of regressions of several numbers such as normals",
                "metrics = [\"mean_angle\"]\n",
            ),
            ("median_angle", "the median of these angles", "metrics = [\"median_angle\"]\n"),
            (
                "within_angle",
                "the share of vectors within so many degrees; `within_angle_22.5` in results",
                "metrics = [{ within_angle = 22.5 }]\n",
            ),
            ("accuracy", "the share of right answers", "metrics = [\"accuracy\"]\n"),
            (
                "top_k_accuracy",
                "the share of rows whose class is among the k likeliest, of classes; `top_3_accuracy` in results",
                "metrics = [{ top_k_accuracy = 3 }]\n",
            ),
            (
                "macro_f1",
                "the mean of F1 over both or all classes, or over labels",
                "metrics = [\"macro_f1\"]\n",
            ),
            (
                "mean_iou",
                "TP / (TP + FP + FN) of the whole split's confusion matrix, the mean over the classes that occur, of classes",
                "metrics = [\"mean_iou\"]\n",
            ),
            ("micro_f1", "F1 of all classes or labels counted together", "metrics = [\"micro_f1\"]\n"),
            (
                "hamming_loss",
                "the share of wrong answers, of several labels over all together",
                "metrics = [\"hamming_loss\"]\n",
            ),
            ("cohen_kappa", "agreement beyond chance (Cohen 1960)", "metrics = [\"cohen_kappa\"]\n"),
            (
                "quadratic_kappa",
                "the same for classes in an order, where distance counts by its square (Cohen 1968)",
                "metrics = [\"quadratic_kappa\"]\n",
            ),
            ("matthews", "Matthews' correlation coefficient", "metrics = [\"matthews\"]\n"),
            (
                "brier_score",
                "the mean squared error of probabilities (Brier 1950)",
                "metrics = [\"brier_score\"]\n",
            ),
            (
                "balanced_accuracy",
                "the mean over classes of the share of right answers",
                "metrics = [\"balanced_accuracy\"]\n",
            ),
            (
                "f1",
                "2 TP / (2 TP + FP + FN), the mean over classes where there are several",
                "metrics = [\"f1\"]\n",
            ),
            ("roc_auc", "the area under the ROC curve", "metrics = [\"roc_auc\"]\n"),
            (
                "average_precision",
                "the area under the precision-recall curve",
                "metrics = [\"average_precision\"]\n",
            ),
            ("log_loss", "the mean negative log-likelihood", "metrics = [\"log_loss\"]\n"),
            (
                "calibration_error",
                "how far probabilities are from shares, over 15 bins (Guo et al. 2017)",
                "metrics = [\"calibration_error\"]\n",
            ),
        ],
    },
    Choice {
        kind: "calibration",
        place: "tasks.NAME.calibration",
        names: &[
            (
                "temperature",
                "logits are divided by one number, so that probabilities fit best (Guo et al. 2017)",
                "calibration = \"temperature\"\n",
            ),
            (
                "isotonic",
                "the nearest function without a descent (Zadrozny & Elkan 2002); it wants hundreds of rows",
                "calibration = \"isotonic\"\n",
            ),
        ],
    },
    Choice {
        kind: "decision",
        place: "tasks.NAME.decision",
        names: &[
            ("likeliest", "yes above a half, or the likeliest class", "decision = \"likeliest\"\n"),
            ("f1", "the threshold with the largest F1 on the validation split", "decision = \"f1\"\n"),
            (
                "balanced_accuracy",
                "the one with the largest mean share of right answers of yes and no",
                "decision = \"balanced_accuracy\"\n",
            ),
            (
                "cost",
                "the one with the lowest mean cost",
                "decision = { cost = { false_positive = 1.0, false_negative = 5.0 } }\n",
            ),
        ],
    },
    Choice {
        kind: "target kind",
        place: "data.targets",
        names: &[
            ("regression", "a number", "[[data.targets]]\nname = \"score\"\nkind = \"regression\"\n"),
            (
                "binary",
                "yes or no",
                "[[data.targets]]\nname = \"income\"\nkind = \"binary\"\npositive = [\"50000+.\"] # left out: the column holds 0 and 1\n",
            ),
            (
                "multiclass",
                "one of several classes",
                "[[data.targets]]\nname = \"size\"\nkind = \"multiclass\"\nclasses = [\"small\", \"large\"] # left out: those of the training split\n",
            ),
            (
                "multilabel",
                "several times yes or no",
                "[[data.targets]]\nname = \"tags\"\nkind = \"multilabel\"\ncolumns = [\"red\", \"round\"]\n",
            ),
        ],
    },
    Choice {
        kind: "split",
        place: "data.split",
        names: &[
            ("random", "each row by itself", "split.random = { validation = 0.1, test = 0.2, seed = 1 }\n"),
            (
                "grouped",
                "rows with the same value of a column stay together",
                "split.grouped = { column = \"patient\", validation = 0.1, test = 0.2, seed = 1 }\n",
            ),
            (
                "per_group",
                "each group of rows is split by the same shares",
                "split.per_group = { column = \"school\", validation = 0.1, test = 0.2, seed = 1 }\n",
            ),
            (
                "column",
                "by the values of a column",
                "split.column = { column = \"year\", validation = [\"2019\"], test = [\"2020\"] } # the rest trains, or `train`\n",
            ),
            (
                "files",
                "by files; the table itself is the training split",
                "split.files = { test = \"test.csv\", validation_fraction = 0.1, seed = 1 } # or `validation`, a file\n",
            ),
        ],
    },
    Choice {
        kind: "scale",
        place: "data.inputs.scale",
        names: &[
            (
                "standard",
                "numbers with mean 0 and deviation 1 over the training split",
                "scale = \"standard\"\n",
            ),
            (
                "robust",
                "the median 0 and the distance of the quartiles 1, for numbers with outliers",
                "scale = \"robust\"\n",
            ),
            (
                "quantile",
                "the quantiles of the training split become those of the normal distribution",
                "scale = \"quantile\"\n",
            ),
            (
                "piecewise",
                "an input for each of `bins` with as many rows: how much of the bin lies below the number",
                "scale = \"piecewise\"\nbins = 32\n",
            ),
            ("raw", "numbers as they are", "scale = \"raw\"\n"),
        ],
    },
    Choice {
        kind: "characters",
        place: "data.split of omniglot",
        names: &[
            (
                "random",
                "characters by lot, irrespective of the alphabet",
                "split.random = { train = 1100, validation = 100, seed = 0 }\n",
            ),
            (
                "vinyals",
                "by lists of classes (Vinyals et al. 2016)",
                "split.vinyals = { train = \"train.txt\", validation = \"val.txt\", test = \"test.txt\" }\n",
            ),
            (
                "lake",
                "the authors' own: the background set trains, the evaluation set tests",
                "split = \"lake\"\n",
            ),
        ],
    },
    Choice {
        kind: "rotations",
        place: "data.rotations of omniglot",
        names: &[
            ("none", "characters as they are", "rotations = \"none\"\n"),
            ("quarter", "each character is four classes, by quarters of a turn", "rotations = \"quarter\"\n"),
        ],
    },
];
