"""Small networks: fronts of score and size, on lookup tables and on tables of rows.

python tests/benchmarks/bench_front.py FOLDER [--tables NAME ...] [--repeats 5]
python tests/benchmarks/bench_front.py --lookups noisy ... [--repeats 50]

A lookup table (make_lookup.py) has the score of every architecture: the figure is the
share of the exact front's hypervolume that 80 trials come to. Of a table of rows, the
networks of the first architecture are compared on test rows with the best of those that
are ten times smaller, on several splits, and the front of these is shown.
"""

import argparse
from pathlib import Path

import numpy as np
from lookup import SOUGHT, LookupTable, share_of_front
from machine import describe
from tables import load, names, split

from sknas import NASMLPClassifier, NASMLPRegressor
from sknas._search.strategies import STRATEGIES


def measure_lookup(name, epochs, n_repeats, strategies):
    """Print the mean shares of the exact hypervolume."""
    table = LookupTable(name, epochs)
    for strategy in (STRATEGIES[each]() for each in strategies):
        shares = [share_of_front(strategy, table, seed) for seed in range(n_repeats)]
        print(
            f"{name:8} {epochs:2} epochs {type(strategy).__name__:18} "
            f"{np.mean(shares):.4f} (standard error "
            f"{np.std(shares) / np.sqrt(n_repeats):.4f}, least {np.min(shares):.4f}, "
            f"{n_repeats} seeds)",
            flush=True,
        )


def measure_table(folder, name, n_repeats, max_rows):
    """Print test scores and sizes of the first architecture and of a small one."""
    X, y = load(folder, name)
    # Both are numbers: labels of classes and targets.
    is_regression = name in names(folder, "regression")
    task = "regression" if is_regression else "classification"
    pairs = [compared(name, X, y, task, seed, max_rows) for seed in range(n_repeats)]
    scores, sizes = (np.array(each, dtype=float) for each in zip(*pairs, strict=True))
    gains = scores[:, 1] - scores[:, 0]
    error = gains.std(ddof=1) / np.sqrt(n_repeats) if n_repeats > 1 else np.nan
    first, small = scores.mean(axis=0)
    n_first, n_small = np.median(sizes, axis=0)
    print(
        f"{name:20} first {first:.4f} with {n_first:.0f} parameters, small {small:.4f} "
        f"with {n_small:.0f} ({np.median(sizes[:, 0] / sizes[:, 1]):.0f} times fewer), "
        f"difference {gains.mean():+.4f}, standard error {error:.4f}, "
        f"{n_repeats} splits",
        flush=True,
    )


def compared(name, X, y, task, seed, max_rows):
    """Return test scores, and sizes, of the first architecture and of a small one."""
    is_regression = task == "regression"
    X_train, X_test, y_train, y_test = split(X, y, seed, max_rows, task)
    estimator_class = NASMLPRegressor if is_regression else NASMLPClassifier
    first = estimator_class.from_architecture(
        [(256, "relu"), "dropout"] * 3, random_state=seed
    ).fit(X_train, y_train)
    n_first = int(first.search_results_["n_parameters"][0])
    small = estimator_class(
        max_parameters=n_first // 10,
        objectives=SOUGHT,
        search_strategy="evolution",
        random_state=seed,
    ).fit(X_train, y_train)
    n_small = int(small.search_results_["n_parameters"][small.best_index_])
    scores = first.score(X_test, y_test), small.score(X_test, y_test)
    print(
        f"{name:20} split {seed}, {len(X_train):6} rows: first {scores[0]:.4f} with "
        f"{n_first}, small {scores[1]:.4f} with {n_small} parameters "
        f"({n_first / n_small:.0f} times fewer) {small.best_architecture_}",
        flush=True,
    )
    front = small.pareto_front_
    for size, score in zip(front["n_parameters"], front["finalist_score"], strict=True):
        if np.isfinite(score):
            print(f"    {size:8} parameters: {score:.4f} as a finalist", flush=True)
    return scores, (n_first, n_small)


def main():
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tables", nargs="+", default=["digits"])
    parser.add_argument("--lookups", nargs="+", default=[])
    parser.add_argument("--epochs", type=int, nargs="+", default=[15])
    parser.add_argument(
        "--strategies", nargs="+", default=["random", "reinforce", "evolution"]
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--max-rows", type=int, default=8000)
    arguments = parser.parse_args()
    print(describe())
    for name in arguments.lookups:
        for epochs in arguments.epochs:
            measure_lookup(name, epochs, arguments.repeats, arguments.strategies)
    if arguments.lookups:
        return
    for name in arguments.tables:
        measure_table(arguments.folder, name, arguments.repeats, arguments.max_rows)


if __name__ == "__main__":
    main()
