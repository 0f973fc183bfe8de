"""Nothing a user has computed is lost because something later failed."""

import numpy as np
import pandas as pd
import pytest
import torch

from sknas import NASMLPClassifier, RandomStrategy
from sknas._engine import trainer as _trainer
from sknas._engine.jobs import untrained
from sknas._fit.workbench import Workbench


@pytest.fixture
def classifier(fast):
    return NASMLPClassifier(**{**fast, "n_rounds": 3})


class Bug(Exception):
    """One of the user's."""


class FaultyScorer:
    """The accuracy, but for one call and those after it."""

    def __init__(self, fails_from):
        self.fails_from, self.n_calls = fails_from, 0

    def __call__(self, estimator, X, y):
        self.n_calls += 1
        if self.n_calls >= self.fails_from:
            raise Bug("this scorer has a bug")
        return (estimator.predict(X) == y).mean()


def _n_calls_of(classifier, X, y):
    scorer = FaultyScorer(10**9)
    classifier.set_params(scoring=scorer).fit(X, y)
    return scorer.n_calls


def test_a_scorer_that_fails_late_loses_nothing(classifier, three_class_table):
    X, y = three_class_table
    n_calls = _n_calls_of(classifier, X, y)
    for fails_from in range(8, n_calls + 1, 6):
        classifier.set_params(scoring=FaultyScorer(fails_from))
        with pytest.warns(UserWarning, match="Bug: this scorer has a bug"):
            classifier.fit(X, y)
        assert classifier.predict(X).shape == (90,)
        assert len(classifier.search_results_["score"]) >= 2


def test_a_scorer_that_fails_at_once_is_the_error(classifier, three_class_table):
    classifier.set_params(scoring=FaultyScorer(1))
    with pytest.raises(Bug, match="this scorer has a bug") as info:
        classifier.fit(*three_class_table)
    # Its own line is in the traceback, and a hint follows.
    assert info.traceback[-1].name == "__call__"
    assert "scorer(estimator, X, y)" in "".join(info.value.__notes__)


class FaultyStrategy(RandomStrategy):
    """Random search that fails in a method, the second time."""

    def __init__(self, method="draw"):
        self.method = method

    def begin(self):
        self.n_calls_ = {"draw": 0, "learn": 0}

    def _count(self, method):
        self.n_calls_[method] += 1
        if method == self.method and self.n_calls_[method] == 2:
            raise Bug("this strategy has a bug")

    def draw(self, n):
        self._count("draw")
        return super().draw(n)

    def learn(self, architectures, rewards):
        self._count("learn")
        super().learn(architectures, rewards)


@pytest.mark.parametrize("method", ["draw", "learn"])
def test_a_strategy_that_fails_late_loses_nothing(
    method, classifier, three_class_table
):
    X, y = three_class_table
    classifier.set_params(search_strategy=FaultyStrategy(method))
    with pytest.warns(UserWarning, match="Bug: this strategy has a bug"):
        classifier.fit(X, y)
    assert classifier.predict(X).shape == (90,)
    assert len(classifier.finalist_results_["index"]) == 2


# A fit that fails leaves what an earlier one has published.


def _failures(X, y):
    yield {"dropout": 2.0}, X, y
    yield {"scoring": "no scorer"}, X, y
    yield {"scoring": FaultyScorer(3)}, X, y
    yield {"learning_rate_init": 1e30}, X, y
    yield {}, X[:, :3], np.full(len(y), np.nan)
    yield {}, pd.DataFrame(X).set_axis(list("abcdef"), axis=1), y[:5]


@pytest.mark.parametrize("number", range(6))
def test_a_failed_fit_leaves_the_fitted_model_as_it_was(
    number, classifier, three_class_table
):
    X, y = three_class_table
    classifier.fit(X, y)
    expected = classifier.predict_proba(X)
    fitted = {k: v for k, v in vars(classifier).items() if k.endswith("_")}
    parameters, other_X, other_y = list(_failures(X, y))[number]
    classifier.set_params(**parameters)
    with pytest.raises((ValueError, Bug), match=r"."):
        classifier.fit(other_X, other_y)
    after = {k: v for k, v in vars(classifier).items() if k.endswith("_")}
    assert after.keys() == fitted.keys()
    assert all(after[name] is fitted[name] for name in fitted)
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)


def test_a_second_fit_forgets_names_of_columns(classifier, three_class_table):
    X, y = three_class_table
    classifier.fit(pd.DataFrame(X, columns=list("abcdef")), y)
    assert list(classifier.feature_names_in_) == list("abcdef")
    classifier.fit(X, y)
    assert not hasattr(classifier, "feature_names_in_")


# What is around a fit.


def test_inference_mode_of_the_caller_does_not_matter(fast, three_class_table):
    X, y = three_class_table
    expected = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    with torch.inference_mode():
        inside = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(inside, expected)


@pytest.mark.parametrize(
    ("solver", "name"),
    # The strongest L2 term is one more direction for Adam, which scales its steps.
    [
        ("adamw", "learning_rate_init"),
        ("adamw", "alpha"),
        ("adam", "learning_rate_init"),
    ],
)
def test_numbers_too_large_for_a_network_are_explained(
    name, solver, fast, three_class_table
):
    classifier = NASMLPClassifier(**fast, solver=solver, **{name: 1e300})
    with pytest.raises(ValueError, match="All 4 children of the search failed"):
        classifier.fit(*three_class_table)


def test_a_callable_scorer_sees_the_table_as_it_was_given(fast, three_class_table):
    X, y = three_class_table
    seen = []

    def scoring(estimator, X, y):
        seen.append(X)
        return (estimator.predict(X) == y).mean()

    for table in (X, pd.DataFrame(X, columns=list("abcdef")), X.tolist()):
        seen.clear()
        NASMLPClassifier(**fast, scoring=scoring).fit(table, y)
        assert {type(part) for part in seen} == {type(table)}
        assert {len(part) for part in seen} == {18}


class Reporting(RandomStrategy):
    """Reports arrays that grow from round to round."""

    def report(self):
        self.n_reports_ = getattr(self, "n_reports_", 0) + 1
        return {"weights": np.zeros(self.n_reports_)}


def test_figures_of_any_shape_are_recorded(classifier, three_class_table):
    classifier.set_params(search_strategy=Reporting()).fit(*three_class_table)
    shapes = [weights.shape for weights in classifier.round_results_["weights"]]
    assert shapes == [(1,), (2,), (3,)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("fails_from", [4, 6, 9, 11])
def test_scores_that_are_not_finite_are_failures(
    value, fails_from, classifier, three_class_table
):
    n_calls = []

    def scoring(estimator, X, y):
        n_calls.append(1)
        if len(n_calls) >= fails_from:
            return value
        return (estimator.predict(X) == y).mean()

    classifier.set_params(scoring=scoring)
    if fails_from == 4:
        with pytest.raises(ValueError, match="All 6 children of the search failed"):
            classifier.fit(*three_class_table)
        return
    classifier.fit(*three_class_table)
    assert np.isfinite(classifier.best_score_)


def test_a_copy_that_fails_is_left_out(fast, three_class_table, monkeypatch):
    original = _trainer.train_stack

    def train_stack(data, jobs, *arguments):
        results = original(data, jobs, *arguments)
        if data.X_validation is not None:
            return results
        return [
            untrained(jobs[0], len(data.X), "a killed worker process"),
            *results[1:],
        ]

    monkeypatch.setattr(_trainer, "train_stack", train_stack)
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast).fit(X, y)
    assert len(classifier.ensemble_) == 1
    assert len(classifier.loss_curve_) == classifier.n_iter_ == 3
    assert classifier.predict(X).shape == (90,)


def test_an_error_of_the_refit_loses_nothing(fast, three_class_table, monkeypatch):
    def all_rows(*_):
        raise MemoryError("no room for all rows")

    monkeypatch.setattr(Workbench, "all_rows", all_rows)
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast)
    with pytest.warns(UserWarning, match="refit ended with MemoryError: no room"):
        classifier.fit(X, y)
    assert classifier.predict(X).shape == (90,)


def test_a_scorer_that_fails_while_noise_is_measured_keeps_the_finalists(
    fast, three_class_table
):
    X, y = three_class_table
    # Three guesses come first, then each trial and each finalist.
    n_calls, n_before = 0, 3 + 4 + 2

    def fails_late(*_):
        nonlocal n_calls
        n_calls += 1
        if n_calls > n_before:
            raise ValueError("boom")
        # Later finalists are better: the first architecture has a rival to beat.
        return n_calls / 100

    with pytest.warns(UserWarning, match=r"noise .* not measured \(ValueError: boom\)"):
        classifier = NASMLPClassifier(**{**fast, "scoring": fails_late}).fit(X, y)
    assert classifier.finalist_results_["chosen"].sum() == 1
