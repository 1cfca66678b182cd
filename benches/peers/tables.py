"""`tables.py TABLE SYSTEM PLAN FOLDER`: a system for tables on the rows that manytask is trained and tested on.

PLAN is JSON. With `folds`, a CSV whose column `fold` has the fold of each row of the table, each fold is tested on in turn; without it the
table's own test rows are, with `seeds` seeds. The system `judge` trains nothing: it judges `predictions`, files of manytask, by the same
code. The last line is JSON: `values`, for each metric of the table a value for each fold or seed, and `seconds` of processor time.

Each target is a model of its own, trained on the rows that have its label, with the library's defaults, but for: CatBoost stops where a
tenth of the training rows has not improved for 50 rounds, and so does scikit-learn's histogram gradient boosting, of 1,000 rounds at most
(its default is 100 without a look at other rows); numbers are standardised and categories one-hot where the model is linear; one thread.
"""
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, roc_auc_score

ROUNDS, PATIENCE, HELD_OUT = 1000, 50, 0.1


class Table:
    """Inputs (numbers and categories), targets by name (NaN where there is no label), which rows are the test's own, metrics."""

    def __init__(self, numbers, categories, targets, metrics, is_binary, tests=None):
        self.numbers = numbers.astype(float)
        self.categories = categories.astype(str)
        self.targets, self.metrics, self.is_binary, self.tests = targets, metrics, is_binary, tests


def mean_auc(table, rows, predictions):
    """The mean over targets of the area under the ROC curve, each over its labelled rows."""
    values = []
    for name, target in table.targets.items():
        labelled = ~np.isnan(target[rows])
        values.append(roc_auc_score(target[rows][labelled], predictions[name][labelled]))
    return float(np.mean(values))


def auc_of(name):
    return lambda table, rows, predictions: float(roc_auc_score(table.targets[name][rows], predictions[name]))


def explained(table, rows, predictions):
    """The explained variance over all test rows: 1 - SSE / SST (Bakker & Heskes 2003)."""
    (name, target), = table.targets.items()
    truth = target[rows]
    return float(1 - np.sum((truth - predictions[name]) ** 2) / np.sum((truth - truth.mean()) ** 2))


def absolute(table, rows, predictions):
    (name, target), = table.targets.items()
    return float(mean_absolute_error(target[rows], predictions[name]))


def census(folder):
    frame = pd.read_csv(folder / "census_income_train.csv.gz", skipinitialspace=True, keep_default_na=False)
    numeric = ["age", "wage_per_hour", "capital_gains", "capital_losses", "dividends_from_stocks"]
    numeric += ["persons_worked_for_employer", "weeks_worked_in_year"]
    targets = {
        "income": (frame["income"].astype(str).str.strip() == "50000+.").to_numpy(float),
        "never_married": (frame["marital_status"].str.strip() == "Never married").to_numpy(float),
    }
    rest = [c for c in frame if c not in numeric + ["instance_weight", "income", "marital_status"]]
    return Table(frame[numeric], frame[rest], targets, [auc_of(name) for name in targets], True)


def tox21(folder):
    frame = pd.read_csv(folder / "tox21_ecfp4_1024.csv.gz")
    bits = [c for c in frame if c.startswith("ecfp4_")]
    targets = {c: frame[c].to_numpy(float) for c in frame if c[:3] in ("NR-", "SR-")}
    return Table(frame[bits], frame[[]], targets, [mean_auc], True)


def jura(folder):
    train, test = pd.read_csv(folder / "jura_train.csv"), pd.read_csv(folder / "jura_test.csv")
    frame = pd.concat([train, test], ignore_index=True)
    tests = np.arange(len(frame)) >= len(train)
    numbers, categories = frame[["Xloc", "Yloc", "Ni", "Zn"]], frame[["Landuse", "Rock"]]
    return Table(numbers, categories, {"Cd": frame["Cd"].to_numpy(float)}, [absolute], False, tests)


def school(folder):
    frame = pd.read_csv(folder / "school139.csv.gz")
    inputs = [c for c in frame if c not in ("school", "score")]
    return Table(frame[inputs], frame[["school"]], {"score": frame["score"].to_numpy(float)}, [explained], False)


def exam(folder):
    frame = pd.read_csv(folder / "exam.csv.gz")
    categories = frame[["school", "schgend", "vr", "intake", "sex", "type"]]
    targets = {"normexam": frame["normexam"].to_numpy(float)}
    return Table(frame[["schavg", "standLRT"]], categories, targets, [explained], False)


def one_hot(table):
    """Numbers, and a column for each category."""
    dummies = pd.get_dummies(table.categories).to_numpy(float) if table.categories.shape[1] else np.zeros((len(table.numbers), 0))
    return np.hstack([table.numbers.to_numpy(), dummies])


def held_out(rows, labels, is_binary, seed):
    """A tenth of the rows to stop by."""
    from sklearn.model_selection import train_test_split

    return train_test_split(rows, test_size=HELD_OUT, random_state=seed, stratify=labels if is_binary else None)


def linear(table):
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = one_hot(table)
    count = table.numbers.shape[1]

    def fit(rows, labels, test, seed):
        scaler = StandardScaler().fit(x[rows][:, :count])
        of = lambda rows: np.hstack([scaler.transform(x[rows][:, :count]), x[rows][:, count:]])
        model = LogisticRegression(max_iter=1000) if table.is_binary else Ridge()
        return answers(model.fit(of(rows), labels), of(test))

    return fit


def random_forest(table):
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    x = one_hot(table)
    kind = RandomForestClassifier if table.is_binary else RandomForestRegressor
    return lambda rows, labels, test, seed: answers(kind(random_state=seed, n_jobs=1).fit(x[rows], labels), x[test])


def gradient_boosting(table):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    codes = table.categories.apply(lambda column: pd.factorize(column)[0]).to_numpy(float)
    x = np.hstack([table.numbers.to_numpy(), codes.reshape(len(table.numbers), -1)])
    is_category = [False] * table.numbers.shape[1] + [True] * table.categories.shape[1]
    kind = HistGradientBoostingClassifier if table.is_binary else HistGradientBoostingRegressor

    def fit(rows, labels, test, seed):
        model = kind(max_iter=ROUNDS, early_stopping=True, n_iter_no_change=PATIENCE, validation_fraction=HELD_OUT,
                     categorical_features=is_category, random_state=seed)
        return answers(model.fit(x[rows], labels), x[test])

    return fit


def catboost(table):
    from catboost import CatBoostClassifier, CatBoostRegressor, Pool

    x = pd.concat([table.numbers, table.categories], axis=1)
    categories = list(table.categories.columns)
    kind = CatBoostClassifier if table.is_binary else CatBoostRegressor

    def fit(rows, labels, test, seed):
        places = np.arange(len(rows))
        train, stop = held_out(places, labels, table.is_binary, seed)
        pool = lambda part: Pool(x.iloc[rows[part]], labels[part], cat_features=categories)
        model = kind(random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False, early_stopping_rounds=PATIENCE)
        return answers(model.fit(pool(train), eval_set=pool(stop)), x.iloc[test])

    return fit


def answers(model, x):
    return model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else np.asarray(model.predict(x))


SYSTEMS = {
    "linear": linear,
    "random forest": random_forest,
    "gradient boosting": gradient_boosting,
    "catboost": catboost,
}
TABLES = {"census": census, "tox21": tox21, "jura": jura, "school": school, "exam": exam}


def splits(table, plan):
    """Training rows, test rows and a seed, for each fold or seed."""
    if plan.get("folds"):
        folds = pd.read_csv(plan["folds"])["fold"].to_numpy()
        for fold in np.unique(folds[folds >= 0]):
            yield np.flatnonzero((folds != fold) & (folds >= 0)), np.flatnonzero(folds == fold), int(fold)
    else:
        for seed in range(1, plan.get("seeds", 1) + 1):
            yield np.flatnonzero(~table.tests), np.flatnonzero(table.tests), seed


def trained(table, system, plan):
    """The metrics of each split, and the processor time of training and prediction."""
    began = time.process_time()
    fit = SYSTEMS[system](table)
    values = []
    for rows, test, seed in splits(table, plan):
        predictions = {}
        for name, target in table.targets.items():
            own = rows[~np.isnan(target[rows])]
            predictions[name] = fit(own, target[own], test, seed)
        values.append([metric(table, test, predictions) for metric in table.metrics])
    return values, time.process_time() - began


def judged(table, plan):
    """The metrics of predictions of manytask."""
    values = []
    if plan.get("folds"):
        (path,) = plan["predictions"]
        frame = pd.read_csv(path)
        plan = {"folds": path}
        for _, test, _ in splits(table, plan):
            predictions = {name: frame[name].to_numpy(float)[test] for name in table.targets}
            values.append([metric(table, test, predictions) for metric in table.metrics])
    else:
        test = np.flatnonzero(table.tests)
        for path in plan["predictions"]:
            frame = pd.read_csv(path)
            predictions = {name: frame[name].to_numpy(float) for name in table.targets}
            values.append([metric(table, test, predictions) for metric in table.metrics])
    return values, None


def main():
    name, system, plan, folder = sys.argv[1:]
    plan, table = json.loads(plan), TABLES[name](Path(folder))
    values, seconds = judged(table, plan) if system == "judge" else trained(table, system, plan)
    print(json.dumps({"values": np.transpose(values).tolist(), "seconds": seconds}))


main()
