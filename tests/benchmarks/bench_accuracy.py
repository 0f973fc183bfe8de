"""Accuracy and log loss, or R2, beside rivals, on tables as they come.

python tests/benchmarks/bench_accuracy.py [--task regression] [--tables FOLDER]
    [--splits 3] [--max-rows 4000] [--results FILE.jsonl] [--rivals FILE.jsonl]
    [--report-only]

Without a folder the tables are scikit-learn's own. Every fit is appended to
--results as a line of JSON; what is there already is not fitted again. --rivals holds
lines of the same form of estimators that need not be installed here.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import pandas as pd
from machine import describe
from scipy.stats import wilcoxon
from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables import load, names, split

from sknas import NASMLPClassifier, NASMLPRegressor


def make_mlp(mlp):
    """Return the pipeline that a careful user writes in front of an MLP."""
    encode = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=5,
                sparse_output=False,
            ),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    return make_pipeline(encode, mlp)


def make_scaled_mlp(seed):
    """Return the same for numbers, which a careful user scales too."""
    return TransformedTargetRegressor(
        make_mlp(MLPRegressor(random_state=seed)), transformer=StandardScaler()
    )


MODELS = {
    "classification": {
        "sknas": lambda seed: NASMLPClassifier(random_state=seed),
        "mlp": lambda seed: make_mlp(MLPClassifier(random_state=seed)),
        "hgb": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    },
    "regression": {
        "sknas": lambda seed: NASMLPRegressor(random_state=seed),
        "mlp_scaled": make_scaled_mlp,
        "hgb": lambda seed: HistGradientBoostingRegressor(
            random_state=seed, categorical_features="from_dtype"
        ),
    },
}


def measure(arguments):
    """Fit what is not in the results yet."""
    done = {(row["data"], row["model"], row["seed"]) for row in read(arguments.results)}
    task = arguments.task
    models = MODELS[task]
    for name in arguments.names or names(arguments.tables, task):
        X, y = load(arguments.tables, name)
        for seed in range(arguments.splits):
            X_train, X_test, y_train, y_test = split(
                X, y, seed, arguments.max_rows, task
            )
            for model in arguments.models or models:
                if (name, model, seed) in done:
                    continue
                start = time.perf_counter()
                estimator = models[model](seed).fit(X_train, y_train)
                seconds = time.perf_counter() - start
                row = {
                    "data": name,
                    "model": model,
                    "seed": seed,
                    "task": task,
                    "n": len(X_train),
                    "fit_s": round(seconds, 2),
                    "score": round(estimator.score(X_test, y_test), 5),
                }
                if task == "classification":
                    p = estimator.predict_proba(X_test)
                    loss = log_loss(y_test, p, labels=estimator.classes_)
                    row["log_loss"] = round(loss, 5)
                if model == "sknas":
                    row["validation"] = round(estimator.best_score_, 5)
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def read(path):
    if path is None or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def report(rows, task):
    """Print means per table, ranks, and paired tests over the tables."""
    frame = pd.DataFrame(rows)
    is_regression = frame.get("task", pd.Series("", index=frame.index)) == "regression"
    frame = frame[is_regression == (task == "regression")]
    frame = frame[frame["score"].notna()]
    counts = frame.groupby(["data", "seed"])["model"].transform("nunique")
    frame = frame[counts == frame["model"].nunique()]
    n_splits = frame.groupby(["data", "seed"]).ngroups
    columns = {"score": "highest", "log_loss": "lowest"}
    if task == "regression":
        del columns["log_loss"]
    for column, better in columns.items():
        means = frame.pivot_table(
            index="data", columns="model", values=column, sort=False
        )
        print(f"\n{column}, means of {n_splits} splits; {better} is best")
        print(means.round(4).to_string())
        ranks = means.rank(axis=1, ascending=column != "score").mean()
        summary = pd.DataFrame({"mean": means.mean().round(4), "mean rank": ranks})
        summary["p"] = [
            wilcoxon(means["sknas"], means[model]).pvalue
            if (means["sknas"] != means[model]).any()
            else 1.0
            for model in summary.index
        ]
        summary["lower for"] = [
            int((means["sknas"] > means[model]).sum()) for model in summary.index
        ]
        print(summary.sort_values("mean rank").round(3).to_string())
    if "validation" in frame:
        ours = frame[frame["model"] == "sknas"]
        optimism = (ours["validation"] - ours["score"]).groupby(ours["data"]).mean()
        print(
            f"\noptimism of best_score_: {optimism.mean():+.4f} "
            f"(standard error {optimism.sem():.4f} over the tables)"
        )
    seconds = frame.groupby("model")["fit_s"].mean().round(1).to_dict()
    print(f"mean fit seconds (comparable within one machine only): {seconds}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--names", type=lambda text: text.split(","))
    parser.add_argument("--models", type=lambda text: text.split(","))
    parser.add_argument("--task", choices=list(MODELS), default="classification")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--max-rows", type=int, default=4000)
    parser.add_argument("--results", type=Path, default=Path("accuracy.jsonl"))
    parser.add_argument("--rivals", type=Path)
    parser.add_argument("--report-only", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe())
    if not arguments.report_only:
        measure(arguments)
    report(read(arguments.results) + read(arguments.rivals), arguments.task)


if __name__ == "__main__":
    main()
