"""How well the search's scores of architectures tell what their refits are worth.

python tests/benchmarks/bench_ranking.py [--tables FOLDER] [--architectures 24]
    [--max-rows 2000] [--n-jobs 2]

Architectures are drawn from the prior of the default space, in which all depths are
equally likely. Each is scored as the search does, and refitted twice with other seeds
as ``fit`` does, which includes the choice of its epochs (two networks, one split, no
choice of the encoding). Spearman's correlations: between the search's score and the
test accuracy of a refit (the mean of two), and between those of the two refits. These
two are right or wrong on the same rows; the search saw others. "other rows" is what
refits themselves reach without that advantage: one's accuracy on half of the test rows
and the other's on the other half.
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


def refit_hits(architecture, seed, X_train, X_test, y_train, y_test):
    """Return on which test rows an architecture is right if it is chosen."""
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
    return classifier.fit(X_train, y_train).predict(X_test) == y_test.to_numpy()


def spearman(one, other):
    """Return the correlation; none (0) where all are alike."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return spearmanr(one, other).statistic


def other_rows(hits):
    """Return the mean correlation of refits on different halves of the test rows."""
    halves = hits[:, :, ::2].mean(axis=2), hits[:, :, 1::2].mean(axis=2)
    return np.mean([spearman(halves[i][0], halves[1 - i][1]) for i in (0, 1)])


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
    columns = ("reward", "accuracy", "refits", "other rows")
    print(f"{'':16}" + "".join(f"{column:>11}" for column in columns))
    rows = []
    for name in names(arguments.tables):
        parts = split(*load(arguments.tables, name), 0, arguments.max_rows)
        X_train, _, y_train, _ = parts
        searched = search_scores(architectures, X_train, y_train)
        hits = joblib.Parallel(arguments.n_jobs)(
            joblib.delayed(refit_hits)(architecture, seed, *parts)
            for seed in (1, 2)
            for architecture in architectures
        )
        hits = np.reshape(hits, (2, len(architectures), -1))
        refits = hits.mean(axis=2)
        row = [
            np.mean([spearman(searched[key], refit) for refit in refits])
            for key in ("reward", "score")
        ]
        row += [spearman(*refits), other_rows(hits)]
        rows.append(row)
        print(f"{name:16}" + "".join(f"{value:11.2f}" for value in row), flush=True)
    means = np.mean(rows, axis=0)
    print(f"{'mean':16}" + "".join(f"{value:11.2f}" for value in means))
    print(f"the reward's is {means[0] / means[2]:.0%} of that of two refits,")
    print(f"and {means[0] / means[3]:.0%} of theirs on other rows")


if __name__ == "__main__":
    main()
