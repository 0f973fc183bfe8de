"""Compare search strategies on tables of rows, at equal cost.

    python tests/benchmarks/bench_equal_cost.py run RESULTS [--folder FOLDER]
    python tests/benchmarks/bench_equal_cost.py show RESULTS

``run`` lets every strategy search for as long as a random search of 40 trials takes, in
seconds of the cost model, and appends a line for each search to a file. What is there
already is left out, so that a run that was ended goes on. The trial with the best
reward is refitted, as an ensemble of four, without a selection among finalists: that
would let all strategies keep the first architecture. ``show`` prints the mean rank of
each strategy on test rows, and how it compares with random search.
``--outside`` adds Optuna's TPE, where ``optuna`` is installed.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from bench_strategies import OptunaStrategy
from machine import describe
from scipy.stats import wilcoxon
from sklearn.metrics import log_loss, root_mean_squared_error
from tables import load, names, split

from sknas import (
    BayesianStrategy,
    DartsStrategy,
    EnasStrategy,
    EvolutionStrategy,
    HalvingStrategy,
    HyperbandStrategy,
    MorphNetStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    ProgressiveStrategy,
    RandomStrategy,
    ReinforceStrategy,
)

STRATEGIES = {
    "random": RandomStrategy,
    "reinforce": ReinforceStrategy,
    "evolution": EvolutionStrategy,
    "progressive": ProgressiveStrategy,
    "bayesian": BayesianStrategy,
    "halving": HalvingStrategy,
    "hyperband": HyperbandStrategy,
    "enas": EnasStrategy,
    "darts": DartsStrategy,
    "morphnet": MorphNetStrategy,
}
N_TRIALS, N_ARCHITECTURES = 40, 8


def limited(strategy_class, limit, costs):
    """Return a strategy that proposes nothing once its trials have cost the limit.

    What a supernet and each of the trials cost is added to the list ``costs``.
    """

    class Limited(strategy_class):
        def explore(self, supernet):
            super().explore(supernet)
            costs.append(supernet.cost)

        def observe(self, outcomes):
            super().observe(outcomes)
            costs.extend(each.cost for each in outcomes)

        def ask(self, n):
            if costs:
                # The last round is a part of one.
                n_left = (limit - sum(costs)) / np.median(costs)
                n = int(np.clip(n_left.round(), 0, n))
            return super().ask(n)

    return Limited()


def run_one(X, y, task, seed, strategy_class, limit):
    """Search, refit the trial with the best reward, and measure it on test rows."""
    is_regression = task == "regression"
    X_train, X_test, y_train, y_test = split(X, y, seed, len(X), task)
    estimator_class = NASMLPRegressor if is_regression else NASMLPClassifier
    is_one_shot = hasattr(strategy_class, "explore")
    # Short trainings are trials too; it is the cost that ends a search.
    n_rounds = N_TRIALS // N_ARCHITECTURES * (1 if is_one_shot or limit is None else 8)
    costs = []
    strategy = limited(strategy_class, np.inf if limit is None else limit, costs)
    start = time.process_time()
    estimator = estimator_class(
        search_strategy=strategy,
        n_rounds=n_rounds,
        n_architectures=N_ARCHITECTURES,
        n_finalists=0,
        random_state=seed,
    ).fit(X_train, y_train)
    seconds = time.process_time() - start
    if is_regression:
        loss = root_mean_squared_error(y_test, estimator.predict(X_test))
    else:
        probabilities = estimator.predict_proba(X_test)
        loss = log_loss(y_test, probabilities, labels=estimator.classes_)
    results = estimator.search_results_
    return {
        "score": estimator.score(X_test, y_test),
        "loss": loss,
        "reward": float(results["score"][estimator.best_index_]),
        "n_trials": len(results["score"]),
        "cost": float(sum(costs)),
        "seconds": seconds,
        "architecture": str(estimator.best_architecture_),
    }


def run(path, folder, tables, strategies, n_seeds):
    """Append what is missing to the results."""
    done = {}
    if path.exists():
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            done[entry["table"], entry["seed"], entry["strategy"]] = entry
    for seed in range(n_seeds):
        for name in tables:
            X, y = load(folder, name)
            is_regression = name in names(folder, "regression")
            task = "regression" if is_regression else "classification"
            limit = None
            # The random search first: it says what the others may cost.
            for label in ["random", *(each for each in strategies if each != "random")]:
                if (name, seed, label) not in done:
                    entry = run_one(X, y, task, seed, strategies[label], limit)
                    entry.update(table=name, seed=seed, strategy=label)
                    done[name, seed, label] = entry
                    with path.open("a") as file:
                        file.write(json.dumps(entry) + "\n")
                if label == "random":
                    limit = done[name, seed, label]["cost"]


def show(path):
    """Print ranks, and differences from random search."""
    results = pd.DataFrame(
        json.loads(line) for line in path.read_text().splitlines()
    ).drop_duplicates(["table", "seed", "strategy"])
    for column, is_loss in (("reward", False), ("score", False), ("loss", True)):
        pairs = results.pivot_table(
            index=["table", "seed"], columns="strategy", values=column
        ).dropna()
        ranks = pairs.rank(axis=1, ascending=is_loss)
        # Tables differ in scale: losses are compared as ratios.
        values = np.log(pairs) if is_loss else pairs
        differences = values.sub(values["random"], axis=0)
        of_tables = differences.groupby("table").mean()
        print(f"\n{column}: {len(of_tables)} tables, {len(pairs)} searches each")
        for label in ranks.mean().sort_values().index:
            line = f"  {label:12} mean rank {ranks[label].mean():.2f}"
            if label != "random" and len(pairs) > 1:
                mean = of_tables[label].mean()
                error = of_tables[label].sem()
                p = wilcoxon(differences[label], zero_method="zsplit").pvalue
                n_better = (of_tables[label] * (-1 if is_loss else 1) > 0).sum()
                line += (
                    f", minus random {100 * mean:+.2f} % (error over tables "
                    f"{100 * error:.2f}), better on {n_better}, p {p:.2g}"
                )
            print(line)
    print("\ncost relative to random:")
    costs = results.pivot_table(index="table", columns="strategy", values="cost")
    print(costs.div(costs["random"], axis=0).mean().round(2).to_string())


def main():
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["run", "show"])
    parser.add_argument("results", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tables", nargs="+", default=["digits", "breast_cancer"])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--outside", action="store_true")
    arguments = parser.parse_args()
    strategies = {label: STRATEGIES[label] for label in arguments.strategies}
    strategies["random"] = RandomStrategy
    if arguments.outside:
        strategies["TPE (Optuna)"] = OptunaStrategy
    if arguments.what == "run":
        print(describe())
        run(
            arguments.results,
            arguments.folder,
            arguments.tables,
            strategies,
            arguments.seeds,
        )
    show(arguments.results)


if __name__ == "__main__":
    main()
