"""Tables 1 to 6 of the paper, with its settings and beside its figures.

python tests/benchmarks/bench_paper.py --mnist FILE.npz --wine FILE --speakers FILE
    [--tables 1,2,3,4,5,6] [--max-rows N] [--n-jobs 2] [--seed 0]

--mnist     an .npz with X_train, y_train, X_test, y_test, or "openml" to fetch it
--wine      a CSV with the label in a last column "target"; --speakers likewise. The
            paper's "10 Speakers" is private: any set of speakers stands in for it.
--max-rows  trains on this many rows, drawn at random, where there are more

Wine and speakers are split 75/25, stratified. As in the paper, the validation accuracy
is that of the search, and the test accuracy is the winner's after fine-tuning.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from machine import describe
from sklearn.base import clone
from sklearn.datasets import fetch_openml
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import PAPER_SETTINGS, NASMLPClassifier

# Title, data, what differs from section 5.1, and the paper's own figures: validation
# accuracy of the worst and the best of its top five, test accuracy of the best one and
# of scikit-learn's MLPClassifier.
TABLES = {
    1: (
        "no one-shot, no predictor",
        "mnist",
        {"weight_sharing": False, "search_strategy__accuracy_predictor": False},
        (0.68, 0.72, 0.72, 0.93),
    ),
    2: (
        "predictor only",
        "mnist",
        {"weight_sharing": False},
        (0.66, 0.74, 0.86, 0.91),
    ),
    3: (
        "one-shot and predictor, controller batch 10",
        "mnist",
        {"search_strategy__batch_size": 10},
        (0.70, 0.77, 0.84, 0.92),
    ),
    4: (
        "one-shot and predictor, 15 rounds of 30, controller batch 30",
        "mnist",
        {"n_rounds": 15, "n_architectures": 30, "search_strategy__batch_size": 30},
        (0.95, 0.96, None, 0.92),
    ),
    5: (
        "one-shot and predictor, controller batch 10",
        "speakers",
        {"search_strategy__batch_size": 10},
        (0.42, 0.43, 0.47, 0.21),
    ),
    6: (
        "one-shot and predictor, LSTM 512",
        "wine",
        {"search_strategy__hidden_size": 512},
        (0.64, 0.66, 0.64, 0.69),
    ),
}


def load_mnist(source):
    if source == "openml":
        X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        return X[:60000], X[60000:], y[:60000], y[60000:]
    with np.load(source) as arrays:
        return tuple(arrays[k] for k in ("X_train", "X_test", "y_train", "y_test"))


def load_table(source):
    X = pd.read_csv(source)
    y = X.pop("target").to_numpy()
    return train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


def run(number, data, arguments):
    title, name, changes, paper = TABLES[number]
    X, X_test, y, y_test = data
    n_all = len(X)
    if arguments.max_rows and n_all > arguments.max_rows:
        rows = np.random.RandomState(arguments.seed).permutation(n_all)
        rows = rows[: arguments.max_rows]
        X, y = (X.iloc[rows] if hasattr(X, "iloc") else X[rows]), y[rows]

    # A clone, since the settings hold a strategy that changes must not reach.
    nas = clone(NASMLPClassifier(**PAPER_SETTINGS)).set_params(
        **changes, n_jobs=arguments.n_jobs, random_state=arguments.seed
    )
    start = time.perf_counter()
    nas.fit(X, y)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    mlp = make_pipeline(StandardScaler(), MLPClassifier(random_state=arguments.seed))
    mlp.fit(X, y)
    mlp_seconds = time.perf_counter() - start

    results = nas.search_results_
    top = np.argsort(-results["score"], kind="stable")[:5]
    class_counts = np.unique(y, return_counts=True)[1]
    n_validation = int(np.round(nas.validation_fraction * class_counts).sum())
    print(f"\nTable {number}: {name}, {title}")
    print(
        f"  rows: {len(X) - n_validation} train, {n_validation} validate (of {n_all}), "
        f"{len(X_test)} test; {len(results['score'])} architectures, "
        f"{seconds:.0f} s (MLPClassifier {mlp_seconds:.0f} s)"
    )
    print(f"  {'':38} {'here':>8} {'paper':>8}")
    rows = [
        ("worst of top five, validation", results["score"][top[-1]], paper[0]),
        ("best of top five, validation", results["score"][top[0]], paper[1]),
        ("winner, fine-tuned, test", nas.score(X_test, y_test), paper[2]),
        ("MLPClassifier, test", mlp.score(X_test, y_test), paper[3]),
    ]
    for label, here, printed in rows:
        shown = "-" if printed is None else f"{printed:.2f}"
        print(f"  {label:38} {here:8.4f} {shown:>8}")
    print(f"  worst of top five: {results['architecture'][top[-1]]}")
    print(f"  winner:            {nas.best_architecture_}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist")
    parser.add_argument("--wine")
    parser.add_argument("--speakers")
    parser.add_argument("--tables", default="1,2,3,4,5,6")
    parser.add_argument("--max-rows", type=int)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    print(describe())
    print(f"random_state {arguments.seed}, n_jobs {arguments.n_jobs}, one run each")
    loaded = {}
    for number in map(int, arguments.tables.split(",")):
        name = TABLES[number][1]
        source = getattr(arguments, name)
        if source is None:
            print(f"\nTable {number}: not run, it needs --{name}")
            continue
        if name not in loaded:
            loaded[name] = (load_mnist if name == "mnist" else load_table)(source)
        run(number, loaded[name], arguments)


if __name__ == "__main__":
    main()
