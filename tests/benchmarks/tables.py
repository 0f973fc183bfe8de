"""Tables to measure on: a folder of them, or those that come with scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.model_selection import train_test_split

BUNDLED = {
    "classification": ("iris", "wine", "breast_cancer", "digits"),
    "regression": ("diabetes",),
}
TASKS = {
    "classification": ("binary", "multiclass"),
    "regression": ("regression",),
}


def names(folder: Path | None, task: str = "classification") -> list[str]:
    """Return the tables of a folder, or the bundled ones, for a task."""
    if folder is None:
        return list(BUNDLED[task])
    return [
        entry["name"]
        for entry in _manifest(folder)
        if entry["task"] in TASKS[task] and entry["file"].endswith(".csv.gz")
    ]


def load(folder: Path | None, name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return a table and its target: labels, or numbers for regression.

    A folder has a MANIFEST.json that lists ``datasets`` with ``name``, ``file``,
    ``task`` and ``categorical_columns``; the files are CSV, with the target in the
    column ``target``.
    """
    if folder is None:
        return getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
    (entry,) = (entry for entry in _manifest(folder) if entry["name"] == name)
    is_text = [*entry["categorical_columns"]]
    if entry["task"] != "regression":
        is_text.append("target")
    text = dict.fromkeys(is_text, str)
    X = pd.read_csv(
        folder / entry["file"], dtype=text, keep_default_na=False, na_values=[""]
    )
    y = X.pop("target")
    for column in entry["categorical_columns"]:
        X[column] = X[column].astype(object).astype("category")
    return X, y


def _manifest(folder: Path) -> list[dict]:
    text = (folder / "MANIFEST.json").read_text(encoding="utf-8")
    return json.loads(text)["datasets"]


def split(X, y, seed, max_rows, task="classification"):
    """Return training rows, test rows and their targets: three quarters and one.

    Of a longer table ``max_rows`` rows are drawn, without classes of fewer than four.
    """
    is_classification = task == "classification"
    generator = np.random.RandomState(1000 + seed)
    if len(X) > max_rows:
        rows = generator.permutation(len(X))[:max_rows]
        X, y = X.iloc[rows], y.iloc[rows]
        if is_classification:
            counts = y.value_counts()
            is_common = y.isin(counts[counts >= 4].index)
            X, y = X[is_common], y[is_common]
    stratify = y if is_classification else None
    return train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
