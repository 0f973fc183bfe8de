"""Tables to measure on: a folder of them, or those that come with scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.model_selection import train_test_split

BUNDLED = ("iris", "wine", "breast_cancer", "digits")


def names(folder: Path | None) -> list[str]:
    """Return the classification tables of a folder, or the bundled ones."""
    if folder is None:
        return list(BUNDLED)
    return [
        entry["name"]
        for entry in _manifest(folder)
        if entry["task"] in ("binary", "multiclass")
        and entry["file"].endswith(".csv.gz")
    ]


def load(folder: Path | None, name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return a table and its labels.

    A folder has a MANIFEST.json that lists ``datasets`` with ``name``, ``file``,
    ``task`` and ``categorical_columns``; the files are CSV, with the labels in the
    column ``target``.
    """
    if folder is None:
        return getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
    (entry,) = (entry for entry in _manifest(folder) if entry["name"] == name)
    text = dict.fromkeys([*entry["categorical_columns"], "target"], str)
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


def split(X, y, seed, max_rows):
    """Return training rows, test rows and their labels: three quarters and one.

    Of a longer table ``max_rows`` rows are drawn, without classes of fewer than four.
    """
    generator = np.random.RandomState(1000 + seed)
    if len(X) > max_rows:
        rows = generator.permutation(len(X))[:max_rows]
        X, y = X.iloc[rows], y.iloc[rows]
        counts = y.value_counts()
        is_common = y.isin(counts[counts >= 4].index)
        X, y = X[is_common], y[is_common]
    return train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
