"""Small networks: fronts of score and size, on lookup tables and on tables of rows.

python tests/benchmarks/bench_front.py FOLDER [--tables NAME ...] [--repeats 1]
python tests/benchmarks/bench_front.py --lookups noisy ... [--repeats 50]

A lookup table (make_lookup.py) has the score of every architecture: the figure is the
share of the exact front's hypervolume that 80 trials come to. Of a table of rows, the
networks of the first architecture are compared on test rows with the best that are ten
times smaller, and the front of these is shown.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from lookup import LookupTable
from machine import describe
from tables import load, split

from sknas import (
    EvolutionStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    RandomStrategy,
)
from sknas._space import as_proposal

SOUGHT = ("score", "n_parameters")


def hypervolume(scores, costs, reference):
    """Return the area between a front and a point that is worse than all of it."""
    area, best = 0.0, reference[0]
    # The cheapest first; each point that scores more adds a rectangle.
    for place in np.lexsort((-scores, costs)):
        gain = max(scores[place] - best, 0.0)
        area += gain * (reference[1] - costs[place])
        best += gain
    return area


def searched(strategy, table, seed, n_trials=80, n_architectures=8):
    """Return the positions of what a strategy tries."""
    strategy.setup(table.space, seed)
    tried = []
    while len(tried) < n_trials:
        asked = strategy.ask(n_architectures)
        outcomes = [
            replace(table.outcome(len(tried) + i, as_proposal(each)), sought=SOUGHT)
            for i, each in enumerate(asked)
        ]
        strategy.observe(outcomes)
        strategy.tell(asked, [outcome.reward for outcome in outcomes])
        tried += [table.index[each] for each in asked]
    return tried


def measure_lookup(name, epochs, n_repeats):
    """Print the mean shares of the exact hypervolume."""
    table = LookupTable(name, epochs)
    scores = table.rewards().astype(float)
    costs = np.log(table.columns["n_parameters"])
    reference = scores.min(), costs.max()
    exact = hypervolume(scores, costs, reference)
    for strategy in (RandomStrategy(), EvolutionStrategy()):
        shares = []
        for seed in range(n_repeats):
            tried = searched(strategy, table, seed)
            found = hypervolume(scores[tried], costs[tried], reference)
            shares.append(found / exact)
        print(
            f"{name:12} {type(strategy).__name__:18} {np.mean(shares):.4f} "
            f"(least {np.min(shares):.4f}, {n_repeats} seeds)",
            flush=True,
        )


def measure_table(folder, name, seed, max_rows):
    """Print test scores and sizes of the first architecture and of a small one."""
    X, y = load(folder, name)
    is_regression = y.dtype.kind == "f"
    task = "regression" if is_regression else "classification"
    X_train, X_test, y_train, y_test = split(X, y, seed, max_rows, task)
    estimator_class = NASMLPRegressor if is_regression else NASMLPClassifier
    first = estimator_class.from_architecture(
        [(256, "relu"), "dropout"] * 3, random_state=seed
    ).fit(X_train, y_train)
    n_first = first.search_results_["n_parameters"][0]
    estimator = estimator_class(
        max_parameters=int(n_first / 10),
        objectives=SOUGHT,
        search_strategy="evolution",
        random_state=seed,
    ).fit(X_train, y_train)
    n_small = estimator.search_results_["n_parameters"][estimator.best_index_]
    print(
        f"{name:20} {len(X_train):6} rows: first {first.score(X_test, y_test):.4f} with"
        f" {n_first}, small {estimator.score(X_test, y_test):.4f} with {n_small} "
        f"parameters ({n_first / n_small:.0f} times fewer) "
        f"{estimator.best_architecture_}",
        flush=True,
    )
    front = estimator.pareto_front_
    for size, score in zip(front["n_parameters"], front["finalist_score"], strict=True):
        if np.isfinite(score):
            print(f"    {size:8} parameters: {score:.4f} as a finalist", flush=True)


def main():
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tables", nargs="+", default=["digits"])
    parser.add_argument("--lookups", nargs="+", default=[])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--max-rows", type=int, default=8000)
    arguments = parser.parse_args()
    print(describe())
    for name in arguments.lookups:
        measure_lookup(name, arguments.epochs, arguments.repeats)
    if arguments.lookups:
        return
    for name in arguments.tables:
        for seed in range(arguments.repeats):
            measure_table(arguments.folder, name, seed, arguments.max_rows)


if __name__ == "__main__":
    main()
