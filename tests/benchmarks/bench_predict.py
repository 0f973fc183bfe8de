"""Seconds of ``predict`` beside MLPClassifier with the same layers.

python tests/benchmarks/bench_predict.py [--repeats 500]

One row and 10,000 rows of 50 numbers, and one row of a DataFrame of ten numbers with
missing values, a text and a categorical column. Both classifiers are hardly trained:
what is compared is arithmetic. MLPClassifier gets the numbers as they are; ours scales
them too. Calls alternate; the figures are medians, the ratios medians of ratios.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from machine import describe
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sknas import NASMLPClassifier

ARCHITECTURES = [
    ((100,), "relu"),
    ((256, 256, 256), "relu"),
    ((256, 128), "tanh"),
    ((256, 128), "sigmoid"),
]


def make_ours(layers, n_ensemble=1):
    return NASMLPClassifier(
        first_architecture=layers,
        layer_widths=(100, 128, 256),
        n_rounds=1,
        n_architectures=1,
        n_finalists=0,
        n_ensemble=n_ensemble,
        search_epochs=1,
        max_iter=1,
        encoding="scale",
        random_state=0,
    )


def make_mlp(widths, activation):
    name = "logistic" if activation == "sigmoid" else activation
    return MLPClassifier(widths, activation=name, max_iter=1, random_state=0)


def alternate(functions, repeats):
    seconds = np.empty((repeats, len(functions)))
    for repeat in range(repeats):
        for column, function in enumerate(functions):
            start = time.perf_counter()
            function()
            seconds[repeat, column] = time.perf_counter() - start
    return seconds


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=500)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe())
    X, y = make_classification(10000, 50, n_informative=10, n_classes=3, random_state=0)

    print(f"\n{'ms':32} {'sknas':>8} {'MLPClassifier':>14} {'ratio':>6}")
    for widths, activation in ARCHITECTURES:
        ours = make_ours(tuple((width, activation) for width in widths)).fit(X, y)
        mlp = make_mlp(widths, activation).fit(X, y)
        for rows, n in ((X[:1], repeats), (X, max(repeats // 20, 5))):
            calls = [lambda m=m, r=rows: m.predict(r) for m in (ours, mlp)]
            seconds = alternate(calls, n)
            label = f"{widths} {activation}, {len(rows):,} row{'s' * (len(rows) > 1)}"
            mine, theirs = 1000 * np.median(seconds, axis=0)
            ratio = np.median(seconds[:, 0] / seconds[:, 1])
            print(f"{label:32} {mine:8.3f} {theirs:14.3f} {ratio:6.2f}", flush=True)

    for n_ensemble in (1, 4):
        ours = make_ours(((100, "relu"),), n_ensemble).fit(X, y)
        for rows, n in ((X[:1], repeats), (X, max(repeats // 20, 5))):
            calls = [lambda m=ours, r=rows: m.predict(r)]
            milliseconds = 1000 * np.median(alternate(calls, n))
            label = (
                f"ensemble of {n_ensemble}, {len(rows):,} row{'s' * (len(rows) > 1)}"
            )
            print(f"{label:32} {milliseconds:8.3f}")

    frame = pd.DataFrame(X[:, :10]).add_prefix("number_")
    frame.iloc[::7, 3] = np.nan
    frame["text"] = np.where(X[:, 11] > 0, "u", "v")
    frame["category"] = pd.Categorical(np.where(X[:, 12] > 0, "u", "v"))
    ours = make_ours(((100, "relu"),)).fit(frame, y)
    for rows, n in ((frame.iloc[:1], repeats), (frame, max(repeats // 20, 5))):
        milliseconds = 1000 * np.median(alternate([lambda r=rows: ours.predict(r)], n))
        label = f"mixed DataFrame, {len(rows):,} row{'s' * (len(rows) > 1)}"
        print(f"{label:32} {milliseconds:8.3f}")


if __name__ == "__main__":
    main()
