"""How near to its limit a fit ends, and what it has come to by then.

python tests/benchmarks/bench_max_time.py [--seconds 2,5,20]

Each fit runs in a process of its own, so that its first import of torch counts, as it
does for a user. The scores are those of 5,000 rows that were not trained on.
"""

import argparse
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
from machine import describe
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknas import NASMLPClassifier


def numbers():
    """200,000 rows of 50 numbers; a product and a sum decide."""
    X = np.random.default_rng(0).normal(size=(205_000, 50))
    return X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)


def levels():
    """100,000 rows with a text column of 100,000 levels, ten classes."""
    generator = np.random.default_rng(0)
    number = generator.normal(size=105_000)
    text = [f"level {i}" for i in generator.integers(0, 100_000, 105_000)]
    frame = pd.DataFrame({"number": number, "text": text})
    return frame, pd.qcut(number, 10, labels=False)


def digits():
    """The digits that come with scikit-learn."""
    return load_digits(return_X_y=True)


TABLES = {"numbers": numbers, "levels": levels, "digits": digits}


def run(name, max_time):
    """Fit once and print a line."""
    X, y = TABLES[name]()
    n_test = min(5_000, len(y) // 4)
    X, X_test, y, y_test = train_test_split(X, y, test_size=n_test, random_state=0)
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier = NASMLPClassifier(max_time=max_time, random_state=0).fit(X, y)
    seconds = time.monotonic() - start
    n_trials = len(classifier.search_results_["score"])
    n_finalists = len(classifier.finalist_results_["index"])
    print(
        f"{name:8} {max_time:8g} {seconds:8.2f} {n_trials:7} {n_finalists:10} "
        f"{len(classifier.ensemble_):8} {classifier.score(X_test, y_test):9.4f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", default="2,5,20")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run[0], float(arguments.run[1]))
        return
    print(describe())
    print("\none fit each, with the first import of torch")
    print(
        f"{'':8} {'max_time':>8} {'seconds':>8} {'trials':>7} {'finalists':>10} "
        f"{'members':>8} {'accuracy':>9}",
        flush=True,
    )
    for name in TABLES:
        for seconds in arguments.seconds.split(","):
            command = [sys.executable, __file__, "--run", name, seconds]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
