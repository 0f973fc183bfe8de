"""How well the search's scores of architectures tell what their refits are worth.

python tests/benchmarks/bench_ranking.py [--tables FOLDER] [--architectures 24]
    [--max-rows 2000] [--n-jobs 2]

Architectures are drawn from the prior of the default space, in which all depths are
equally likely. Each is scored as the search does, and refitted twice with other seeds
as ``fit`` does, which includes the choice of its epochs (two networks, one split, no
choice of the encoding). Spearman's correlations: between the search's score and the
test accuracy of a refit (the mean of two), and between those of the two refits.
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
from machine import describe
from scipy.stats import spearmanr
from tables import load, names, split

from sknas import NASMLPClassifier, SearchSpace


class Given:
    """Proposes given architectures."""

    def __init__(self, architectures):
        self.architectures = architectures

    def setup(self, space, random_state):
        pass

    def ask(self, n):
        return self.architectures[:n]

    def tell(self, architectures, rewards):
        pass


def draw(n):
    """Draw different architectures of the default space."""
    defaults = NASMLPClassifier()
    space = SearchSpace(
        defaults.layer_widths, defaults.activations, defaults.max_layers
    )
    generator = np.random.default_rng(0)
    drawn = {}
    while len(drawn) < n:
        drawn[space.sample(generator)] = None
    return list(drawn)


def search_scores(architectures, X, y):
    """Score all architectures as the search does."""
    classifier = NASMLPClassifier(
        search_strategy=Given(architectures),
        first_architecture=None,
        n_rounds=1,
        n_architectures=len(architectures),
        n_finalists=0,
        n_ensemble=1,
        max_iter=1,
        random_state=0,
    ).fit(X, y)
    results = classifier.search_results_
    assert results["architecture"].tolist() == architectures
    return {"reward": results["reward"], "score": results["score"]}


def refit_score(architecture, seed, X_train, X_test, y_train, y_test):
    """Return the test accuracy of an architecture that was chosen."""
    classifier = NASMLPClassifier(
        first_architecture=architecture,
        n_rounds=1,
        n_architectures=1,
        n_finalists=1,
        n_ensemble=2,
        n_splits=1,
        encoding="piecewise",
        random_state=seed,
    )
    return classifier.fit(X_train, y_train).score(X_test, y_test)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--architectures", type=int, default=24)
    parser.add_argument("--max-rows", type=int, default=2000)
    parser.add_argument("--n-jobs", type=int, default=2)
    arguments = parser.parse_args()
    architectures = draw(arguments.architectures)
    print(describe())
    print(
        f"{len(architectures)} architectures, at most {arguments.max_rows} rows, one "
        "split into training and test rows\n"
    )
    print(f"{'':16} {'reward':>8} {'accuracy':>9} {'refits':>8}")
    rows = []
    for name in names(arguments.tables):
        parts = split(*load(arguments.tables, name), 0, arguments.max_rows)
        X_train, _, y_train, _ = parts
        searched = search_scores(architectures, X_train, y_train)
        refits = joblib.Parallel(arguments.n_jobs)(
            joblib.delayed(refit_score)(architecture, seed, *parts)
            for seed in (1, 2)
            for architecture in architectures
        )
        refits = np.reshape(refits, (2, -1))
        row = [
            np.mean([spearmanr(searched[key], refit).statistic for refit in refits])
            for key in ("reward", "score")
        ]
        row.append(spearmanr(*refits).statistic)
        rows.append(row)
        print(f"{name:16} {row[0]:8.2f} {row[1]:9.2f} {row[2]:8.2f}", flush=True)
    reward, accuracy, refits = np.mean(rows, axis=0)
    print(f"{'mean':16} {reward:8.2f} {accuracy:9.2f} {refits:8.2f}")
    print(f"the reward's is {reward / refits:.0%} of that of two refits")


if __name__ == "__main__":
    main()
