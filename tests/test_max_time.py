"""Limits of time: no value of `max_time` makes a fit fail, or lose what it has."""

import time

import numpy as np
import pytest
from sklearn.datasets import make_moons

from sknas import NASMLPClassifier
from sknas._engine.trainer import Trainer
from sknas._fit import workbench


@pytest.fixture(scope="module")
def large_table():
    X = np.random.default_rng(0).normal(size=(60_000, 20))
    return X, X[:, 0] * X[:, 1] + X[:, 2] > 0


@pytest.mark.parametrize("max_time", np.geomspace(0.05, 2.0, 20).round(3).tolist())
def test_no_limit_makes_a_fit_fail(max_time, large_table):
    """Once the copies of the refit fell into stacks of which some were skipped."""
    X, y = large_table
    classifier = NASMLPClassifier(max_time=max_time, random_state=0)
    start = time.monotonic()
    classifier.fit(X, y)
    # How near is a benchmark's question; a machine may be busy.
    assert time.monotonic() - start < max_time + 10
    assert 1 <= len(classifier.ensemble_) <= 4
    assert len(classifier.search_results_["score"]) >= 1
    assert classifier.predict_proba(X[:10]).shape == (10, 2)


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("n_skipped", [1, 2, 3])
def test_copies_that_there_was_no_time_for_are_left_out(
    n_skipped, fast, three_class_table, monkeypatch
):
    original = Trainer.train

    def train(self, jobs, *arguments):
        results = list(original(self, jobs, *arguments))
        is_refit = self.folds[0].X_validation is None
        yield from results[:-n_skipped] if is_refit else results

    monkeypatch.setattr(Trainer, "train", train)
    fast.update(n_ensemble=4, max_time=1000)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    assert len(classifier.ensemble_) == 4 - n_skipped


def test_every_stage_ends_in_time():
    X, y = make_moons(4000, noise=0.3, random_state=0)
    classifier = NASMLPClassifier(
        n_rounds=1000, search_epochs=10, max_iter=10**6, max_time=4, random_state=0
    )
    start = time.perf_counter()
    classifier.fit(X, y)
    seconds = time.perf_counter() - start
    assert seconds < 30
    assert len(classifier.round_results_["round"]) < 1000
    assert 1 <= classifier.n_iter_ < 10**6
    assert classifier.score(X, y) > 0.8


def test_without_time_there_is_still_a_classifier(fast, three_class_table):
    X, y = three_class_table
    fast.update(n_rounds=50, max_iter=50)
    classifier = NASMLPClassifier(**fast, max_time=1e-9).fit(X, y)
    assert len(classifier.search_results_["score"]) >= 1
    assert len(classifier.finalist_results_["index"]) == 0
    assert classifier.predict_proba(X).shape == (90, 3)


def test_time_that_is_never_short_changes_nothing(fast, three_class_table):
    X, y = three_class_table
    free = NASMLPClassifier(**fast).fit(X, y)
    bounded = NASMLPClassifier(**fast, max_time=10_000).fit(X, y)
    np.testing.assert_array_equal(free.predict_proba(X), bounded.predict_proba(X))
    for key in ("architecture", "reward", "n_iter"):
        np.testing.assert_array_equal(
            free.search_results_[key], bounded.search_results_[key]
        )


def test_the_time_counts_from_the_call_of_fit(run_python):
    """The first import of torch takes more than this limit: one epoch is left."""
    program = """
import sys
import numpy as np
from sknas import NASMLPClassifier
X = np.random.default_rng(0).normal(size=(2000, 10))
assert "torch" not in sys.modules
classifier = NASMLPClassifier(max_time=0.2, n_rounds=1000, random_state=0)
classifier.fit(X, (X[:, 0] > 0).astype(int))
print(len(classifier.round_results_["round"]))
print(len(classifier.finalist_results_["index"]))
"""
    n_rounds, n_finalists = map(int, run_python(program).split())
    assert (n_rounds, n_finalists) == (1, 0)


def test_a_table_that_takes_too_long_to_encode_is_sampled(monkeypatch):
    monkeypatch.setattr(workbench, "_PROBED_ROWS", 200)
    monkeypatch.setattr(workbench, "_ENCODING_SHARE", 1e-9)
    X = np.random.default_rng(0).normal(size=(5000, 4))
    y = (X[:, 0] > 0).astype(int)
    y[[17, 18]] = 2
    classifier = NASMLPClassifier(max_time=2, random_state=0).fit(X, y)
    # Some 200 rows, two of the third class among them.
    assert classifier.t_ / classifier.n_iter_ <= 206
    assert classifier.predict_proba(X).shape == (5000, 3)
    assert (classifier.predict(X) == y).mean() > 0.8
