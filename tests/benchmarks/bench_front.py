"""Small networks: fronts of score and size, on lookup tables and on tables of rows.

python tests/benchmarks/bench_front.py FOLDER [--tables NAME ...] [--repeats 1]
python tests/benchmarks/bench_front.py --lookups FILE ... [--repeats 50]

A lookup table, of make_lookup.py for digits, has the score of every architecture: the
figure is the share of the exact front's hypervolume that 80 trials come to. Of a table
of rows, the networks of the first architecture and of the best row of the front that is
ten times smaller are compared on test rows.
"""

import argparse
from pathlib import Path

import numpy as np
from machine import describe
from tables import load, split

from sknas import (
    EvolutionStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    Outcome,
    RandomStrategy,
    SearchSpace,
)
from sknas._space import as_proposal

# The space of the lookup tables, in their order; digits has 64 columns and 10 classes.
SPACE = SearchSpace((16, 64, 256), ("relu", "tanh"), max_layers=5)
N_INPUTS, N_OUTPUTS = 64, 10


def hypervolume(scores, costs, reference):
    """Return the area between a front and a point that is worse than all of it."""
    area, best = 0.0, reference[0]
    # The cheapest first; each point that scores more adds a rectangle.
    for place in np.lexsort((-scores, costs)):
        gain = max(scores[place] - best, 0.0)
        area += gain * (reference[1] - costs[place])
        best += gain
    return area


def searched(strategy, scores, sizes, seed, n_trials=80, n_architectures=8):
    """Return the positions of what a strategy tries."""
    positions = {architecture: i for i, architecture in enumerate(SPACE)}
    strategy.setup(SPACE, seed)
    tried = []
    while len(tried) < n_trials:
        asked = strategy.ask(n_architectures)
        of_round = [positions[architecture] for architecture in asked]
        outcomes = [
            Outcome(
                trial=len(tried) + number,
                proposal=as_proposal(architecture),
                reward=scores[i],
                objectives={"score": scores[i], "n_parameters": float(sizes[i])},
                curve=(),
                cost=0.0,
                failed=False,
                sought=("score", "n_parameters"),
            )
            for number, (architecture, i) in enumerate(
                zip(asked, of_round, strict=True)
            )
        ]
        strategy.observe(outcomes)
        strategy.tell(asked, [scores[i] for i in of_round])
        tried += of_round
    return tried


def measure_lookup(path, n_repeats):
    """Print the mean shares of the exact hypervolume."""
    scores = np.load(path)["score"].astype(float)
    sizes = np.array([each.n_parameters(N_INPUTS, N_OUTPUTS) for each in SPACE])
    costs = np.log(sizes)
    reference = scores.min(), costs.max()
    exact = hypervolume(scores, costs, reference)
    for strategy in (RandomStrategy(), EvolutionStrategy()):
        shares = []
        for seed in range(n_repeats):
            tried = searched(strategy, scores, sizes, seed)
            found = hypervolume(scores[tried], costs[tried], reference)
            shares.append(found / exact)
        print(
            f"{path.stem:12} {type(strategy).__name__:18} {np.mean(shares):.4f} "
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
        objectives=("score", "n_parameters"),
        search_strategy="evolution",
        n_finalists=8,
        select=lambda front: _best_below(front, n_first / 10),
        random_state=seed,
    ).fit(X_train, y_train)
    front = estimator.pareto_front_
    row = np.flatnonzero(front["index"] == estimator.best_index_)[0]
    n_small = front["n_parameters"][row]
    print(
        f"{name:20} {len(X_train):6} rows: first {first.score(X_test, y_test):.4f} with"
        f" {n_first}, small {estimator.score(X_test, y_test):.4f} with {n_small} "
        f"parameters ({n_first / n_small:.0f} times fewer) "
        f"{estimator.best_architecture_}",
        flush=True,
    )


def _best_below(front, n_parameters):
    """Return the row of the best finalist that is no larger, else the smallest row."""
    is_small = front["n_parameters"] <= n_parameters
    scores = np.where(is_small, np.nan_to_num(front["finalist_score"], nan=-9.0), -99.0)
    return int(scores.argmax()) if is_small.any() else len(scores) - 1


def main():
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tables", nargs="+", default=["digits"])
    parser.add_argument("--lookups", type=Path, nargs="+", default=[])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--max-rows", type=int, default=8000)
    arguments = parser.parse_args()
    print(describe())
    for path in arguments.lookups:
        measure_lookup(path, arguments.repeats)
    if arguments.lookups:
        return
    for name in arguments.tables:
        for seed in range(arguments.repeats):
            measure_table(arguments.folder, name, seed, arguments.max_rows)


if __name__ == "__main__":
    main()
