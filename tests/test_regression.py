import math

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_friedman1
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import make_scorer, mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sknas import NASMLPRegressor
from sknas._fit.evidence import choose
from sknas._tasks import target as _target
from sknas._tasks.regression import Regression
from sknas._tasks.splits import SplitSettings

ESTIMATOR = NASMLPRegressor()


def _task(y, sample_weight=None):
    return Regression.from_target(ESTIMATOR, np.zeros((len(y), 1)), y, sample_weight)


@pytest.fixture
def table():
    return make_friedman1(200, noise=0.5, random_state=0)


@pytest.fixture
def quick(fast):
    return {**fast, "max_iter": 40, "learning_rate_init": 0.02}


def test_a_regressor_learns(quick, table):
    X, y = table
    regressor = NASMLPRegressor(**quick).fit(X[:150], y[:150])
    predicted = regressor.predict(X[150:])
    assert predicted.shape == (50,)
    assert regressor.score(X[150:], y[150:]) == r2_score(y[150:], predicted) > 0.6
    assert regressor.out_activation_ == "identity"
    assert regressor.n_outputs_ == 1
    assert not hasattr(regressor, "classes_")
    assert regressor.best_score_ > 0.6


def test_several_outputs_of_very_different_scale_are_all_learned(quick, table):
    X, y = table
    Y = np.column_stack([1e9 * y, 1e-9 * X[:, 0], np.full(len(y), 3.0)])
    regressor = NASMLPRegressor(**quick).fit(X[:150], Y[:150])
    predicted = regressor.predict(X[150:])
    assert predicted.shape == (50, 3)
    scores = r2_score(Y[150:], predicted, multioutput="raw_values")
    assert scores.min() > 0.6
    np.testing.assert_allclose(predicted[:, 2], 3.0, atol=1e-9)


def test_units_of_the_target_do_not_matter(quick, table):
    X, y = table
    first = NASMLPRegressor(**quick).fit(X, y).predict(X)
    other = NASMLPRegressor(**quick).fit(X, 1e30 * y - 5e30).predict(X)
    # A little, since scaled targets are rounded to 32 bits.
    np.testing.assert_allclose((other + 5e30) / 1e30, first, rtol=1e-3)


def test_an_outlier_leaves_the_rest_to_be_learned(quick, monkeypatch):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 3))
    y = 3 * X[:, 0] + 0.1 * generator.normal(size=400)
    y[0] = 3000

    def score():
        return NASMLPRegressor(**quick).fit(X[:200], y[:200]).score(X[200:], y[200:])

    assert score() > 0.8
    monkeypatch.setattr(_target, "KNEE", 1e9)
    assert score() < 0


def test_a_constant_target_is_predicted(fast):
    X = np.random.default_rng(0).normal(size=(30, 2))
    regressor = NASMLPRegressor(**fast).fit(X, np.full(30, 4.5))
    np.testing.assert_array_equal(regressor.predict(X), np.full(30, 4.5))
    assert regressor.score(X, np.full(30, 4.5)) == 1


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_few_rows_are_enough(fast, n_rows):
    X, y = np.arange(n_rows)[:, None], np.arange(n_rows, dtype=float)
    if n_rows == 1:
        with pytest.warns(UserWarning, match="X has one row"):
            regressor = NASMLPRegressor(**fast).fit(X, y)
    else:
        regressor = NASMLPRegressor(**fast).fit(X, y)
    assert np.isfinite(regressor.predict(X)).all()


def test_a_column_of_numbers_is_taken_with_scikit_learns_warning(fast, table):
    X, y = table
    with pytest.warns(DataConversionWarning):
        regressor = NASMLPRegressor(**fast).fit(X, y[:, None])
    assert regressor.predict(X).shape == (200,)


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([1, 2, 3, 4], dtype="Int64"),
        pd.Series([1, 2, 3, 4], dtype="Float64"),
        pd.Series([1, 2, 3, 4]),
        np.array([1, 2, 3, 4], dtype=np.int8),
        np.array([1, 2, 3, 4], dtype=object),
        [1, 2, 3, 4],
    ],
    ids=repr,
)
def test_numbers_of_every_kind_are_taken(y):
    task = _task(y)
    assert task.given_y.tolist() == [1, 2, 3, 4]
    assert task.y.shape == (4, 1)
    assert task.y.dtype == np.float32


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([1.0, math.nan, 2.0], "Input y contains NaN"),
        (pd.Series([1, None, 2], dtype="Int64"), "Input y contains NaN"),
        ([1.0, math.inf, 2.0], "Input y contains infinity"),
        (["a", "b", "c"], "y of NASMLPRegressor.fit must hold numbers: could not"),
        ([1.0, 2.0], "inconsistent numbers of samples"),
        (np.zeros((3, 2, 2)), "dim 3"),
        ([1 + 2j, 1j, 2], "Complex data not supported"),
        (
            pd.Series(["a", "b", "c"]),
            "y of NASMLPRegressor.fit must hold numbers: could",
        ),
        (np.array([1, 10**400, 2], dtype=object), "must hold numbers"),
        (pd.Series(pd.date_range("2020", periods=3)), "must hold numbers: .* dates"),
        (np.array(["2020", "NaT", "2021"], "datetime64[D]"), "must hold numbers"),
    ],
    ids=repr,
)
def test_bad_targets_are_refused_before_any_training(y, message):
    with pytest.raises(ValueError, match=message):
        NASMLPRegressor(n_rounds=10**9).fit(np.zeros((3, 1)), y)


def test_splits_are_random_parts():
    splits = _task(np.arange(50.0)).split(SplitSettings(0.2, 5), 0)
    measured = np.concatenate([validation for _, validation in splits])
    assert sorted(measured.tolist()) == list(range(50))
    assert np.abs(np.diff(measured)).max() > 1


# What is measured.


def test_scores_are_in_the_units_of_the_target():
    y = np.array([10.0, 20.0, 30.0, 50.0])
    task = _task(y)
    rows = np.arange(4)
    predictions = task.scaler.transform(np.array([[12.0], [20.0], [30.0], [40.0]]))
    error = task.metric("neg_mean_absolute_error", None, rows)
    assert error.score(predictions) == pytest.approx(-3)
    assert error.reward(predictions, -3.0) == -3
    assert error.merit(predictions, -3.0) == -3
    metric = task.metric(None, None, rows)
    expected = r2_score(y, [12, 20, 30, 40])
    assert metric.score(predictions) == pytest.approx(expected)
    assert metric.merit(predictions, 0.0) == pytest.approx(expected)
    assert metric.reward(predictions, 0.0) == pytest.approx(1 - (1 - expected) ** 0.5)
    assert metric.guess_reward() == pytest.approx(0)
    assert metric.temperature(predictions) == 1
    assert not metric.is_accuracy
    # A network that diverges is not so bad that nothing else counts.
    assert metric.reward(1e6 * predictions, 0.0) == -1


def test_weights_count_in_what_is_measured():
    y, weights = np.array([10.0, 20.0, 30.0]), np.array([1.0, 0.5, 3.0])
    task = _task(y, weights)
    predictions = task.scaler.transform(np.array([[12.0], [20.0], [20.0]]))
    for scoring, function in [(None, r2_score), ("r2", r2_score)]:
        metric = task.metric(scoring, None, np.arange(3))
        expected = function(y, [12, 20, 20], sample_weight=weights)
        assert metric.score(predictions) == pytest.approx(expected)
        # Networks' targets have 32 bits.
        merit = metric.merit(predictions, expected)
        assert merit == pytest.approx(expected, rel=1e-5)
    # This metric has no use for weights.
    metric = task.metric("neg_max_error", None, np.arange(3))
    assert metric.score(predictions) == pytest.approx(-10)


def test_the_noise_between_two_is_that_of_their_resamples():
    generator = np.random.default_rng(0)
    y = generator.normal(size=500)
    task = _task(y)
    one, other = (
        task.y + generator.normal(scale=scale, size=(500, 1)) for scale in (0.5, 0.6)
    )
    metric = task.metric(None, None, np.arange(500))
    resamples = []
    for _ in range(2000):
        rows = generator.integers(500, size=500)
        a, b = ((task.y[rows] - p[rows]) ** 2 for p in (one, other))
        resamples.append((b.mean() - a.mean()) / task.y.var())
    noise = math.sqrt(metric.noise(one, other) ** 2 - 2 * metric.seed_deviation**2)
    assert noise == pytest.approx(np.std(resamples), rel=0.1)
    by_scorer = task.metric("r2", None, np.arange(500)).noise(one, other)
    assert by_scorer == pytest.approx(noise, rel=0.4)
    merits = [metric.merit(p, 0.0) for p in (other, one)]
    assert choose(merits, lambda *_: metric.noise(one, other), 0) == 1


# At home in scikit-learn.


def test_a_scorer_is_what_the_search_maximises(fast, table):
    X, y = table
    regressor = NASMLPRegressor(**fast, scoring="neg_mean_absolute_error").fit(X, y)
    assert (regressor.search_results_["score"] < 0).all()
    np.testing.assert_array_equal(
        regressor.search_results_["score"], regressor.search_results_["reward"]
    )
    seen = []

    def scoring(estimator, X, y):
        seen.append((X, y))
        return -mean_absolute_error(y, estimator.predict(X))

    frame = pd.DataFrame(X, columns=list("abcdefghij"))
    NASMLPRegressor(**fast, scoring=scoring).fit(frame, y)
    assert list(seen[0][0].columns) == list(frame.columns)
    with pytest.raises(ValueError, match="'roc_auc' cannot be computed on this target"):
        NASMLPRegressor(**fast, scoring="roc_auc").fit(X, y)


def test_meta_estimators_take_it(fast, table):
    X, y = table
    scores = cross_val_score(
        NASMLPRegressor(**fast),
        X,
        y,
        cv=2,
        scoring=make_scorer(mean_absolute_error, greater_is_better=False),
    )
    assert (scores < 0).all()
    grid = GridSearchCV(NASMLPRegressor(**fast), {"alpha": [0.0, 0.3]}, cv=2)
    assert grid.fit(X, y).best_estimator_.predict(X).shape == (200,)


def test_tables_of_every_kind_are_encoded(fast, mixed_frame):
    X, _ = mixed_frame
    y = X["count"] + 0.5 * X["flag"]
    regressor = NASMLPRegressor(**fast).fit(X, y)
    assert np.isfinite(regressor.predict(X)).all()


def test_the_same_seed_gives_the_same_predictions(fast, table):
    X, y = table
    first, again = (NASMLPRegressor(**fast).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("factor", [1e-305, 1e-200, 1e155, 1e307])
def test_targets_of_extreme_size_have_scores(factor, fast, table):
    X, y = table
    y = y / np.abs(y).max()
    settings = {**fast, "n_rounds": 1, "n_architectures": 1}
    expected = NASMLPRegressor(**settings).fit(X, y)
    regressor = NASMLPRegressor(**settings).fit(X, factor * y)
    assert regressor.best_score_ == pytest.approx(expected.best_score_, rel=1e-4)
    np.testing.assert_allclose(
        regressor.predict(X) / factor, expected.predict(X), rtol=1e-4, atol=1e-4
    )
