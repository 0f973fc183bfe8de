"""Weights of rows and of classes."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import config_context
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import NASMLPClassifier, NASMLPRegressor

N_ROWS = 240


@pytest.fixture(scope="module")
def table():
    """Two overlapping classes, of which one is rare."""
    generator = np.random.default_rng(0)
    y = (np.arange(N_ROWS) % 8 == 0).astype(int)
    X = generator.normal(size=(N_ROWS, 2)) + 1.2 * y[:, None]
    return X, y


@pytest.fixture(params=[NASMLPClassifier, NASMLPRegressor])
def estimator_class(request):
    return request.param


def _predict(estimator, X):
    method = getattr(estimator, "predict_proba", estimator.predict)
    return method(X)


def test_rows_without_weight_are_as_good_as_none(estimator_class, fast, table):
    X, y = table
    weights = np.where(np.arange(N_ROWS) % 3, 2.0, 0.0)
    rows = weights > 0
    weighted = estimator_class(**fast).fit(X, y, sample_weight=weights)
    alone = estimator_class(**fast).fit(X[rows], y[rows], sample_weight=weights[rows])
    np.testing.assert_array_equal(_predict(weighted, X), _predict(alone, X))


def test_only_what_weights_are_relative_to_each_other_counts(
    estimator_class, fast, table
):
    X, y = table
    # Many categories are encoded by the target, rare ones more cautiously.
    X = pd.DataFrame({"a": X[:, 0], "b": [f"level {i % 70}" for i in range(len(X))]})
    weights = np.linspace(0.1, 3, N_ROWS)
    first = estimator_class(**fast).fit(X, y, sample_weight=weights)
    other = estimator_class(**fast).fit(X, y, sample_weight=8 * weights)
    np.testing.assert_allclose(_predict(first, X), _predict(other, X), rtol=1e-4)
    equal = estimator_class(**fast).fit(X, y, sample_weight=np.full(N_ROWS, 3.0))
    plain = estimator_class(**fast).fit(X, y)
    np.testing.assert_allclose(_predict(equal, X), _predict(plain, X), rtol=1e-4)
    assert not np.allclose(_predict(first, X), _predict(plain, X), rtol=1e-3)


@pytest.mark.parametrize("make", [list, pd.Series, np.float32], ids=str)
def test_weights_of_every_kind_are_taken(make, fast, table):
    X, y = table
    weights = 1.0 + np.arange(N_ROWS) % 2
    expected = NASMLPClassifier(**fast).fit(X, y, weights).predict_proba(X)
    given = NASMLPClassifier(**fast).fit(X, y, make(weights)).predict_proba(X)
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(N_ROWS), "Negative values in data passed to `sample_weight`"),
        (np.where(np.arange(N_ROWS), 1, math.nan), "sample_weight contains NaN"),
        (np.where(np.arange(N_ROWS), 1, math.inf), "sample_weight contains infinity"),
        (np.zeros(N_ROWS), "weight.*zero"),
        (np.ones(N_ROWS - 1), "sample_weight.shape =="),
        (np.ones((N_ROWS, 2)), "[Ss]ample.?weights? must be 1D"),
        (["a"] * N_ROWS, "could not convert string"),
    ],
    ids=["negative", "NaN", "infinite", "zero", "short", "matrix", "text"],
)
def test_bad_weights_are_refused_before_any_training(
    estimator_class, table, weights, message
):
    with pytest.raises(ValueError, match=message):
        estimator_class(n_rounds=10**9).fit(*table, sample_weight=weights)


def test_weights_are_routed(fast, table):
    X, y = table
    weights = np.where(y == 1, 7.0, 1.0)
    with config_context(enable_metadata_routing=True):
        classifier = NASMLPClassifier(**fast).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, classifier)
        pipeline.fit(X, y, sample_weight=weights)
    p = pipeline.predict_proba(X)
    plain = make_pipeline(StandardScaler(), NASMLPClassifier(**fast))
    plain.fit(X, y, nasmlpclassifier__sample_weight=weights)
    np.testing.assert_array_equal(plain.predict_proba(X), p)
    assert not np.allclose(plain.fit(X, y).predict_proba(X), p, atol=1e-3)


def test_scores_of_the_search_are_weighted(fast, table):
    X, y = table
    # What is right for the rare class alone would be right in half of the weight.
    weights = np.where(y == 1, 7.0, 1.0)
    classifier = NASMLPClassifier(**fast).fit(X, y, sample_weight=weights)
    by_class = NASMLPClassifier(**fast, class_weight={0: 1, 1: 7}).fit(X, y)
    for name in ("score", "loss", "reward"):
        np.testing.assert_allclose(
            classifier.search_results_[name], by_class.search_results_[name]
        )
    np.testing.assert_allclose(by_class.predict_proba(X), classifier.predict_proba(X))
    assert math.isnan(classifier.score_bound_)


def test_balanced_classes_find_the_rare_one(fast, table):
    X, y = table
    settings = {**fast, "max_iter": 30, "learning_rate_init": 0.02}
    recalls = [
        recall_score(
            y, NASMLPClassifier(**settings, class_weight=weight).fit(X, y).predict(X)
        )
        for weight in (None, "balanced")
    ]
    assert recalls[1] > recalls[0] + 0.2


def test_both_kinds_of_weights_are_multiplied(fast, table):
    X, y = table
    weights = 1.0 + np.arange(N_ROWS) % 2
    both = NASMLPClassifier(**fast, class_weight={1: 7}).fit(X, y, weights)
    product = NASMLPClassifier(**fast).fit(X, y, weights * np.where(y == 1, 7, 1))
    np.testing.assert_allclose(both.predict_proba(X), product.predict_proba(X))


def test_a_class_without_weight_is_left_out(fast, three_class_table):
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast, class_weight={0: 0}).fit(X, y)
    alone = NASMLPClassifier(**fast).fit(X[y > 0], y[y > 0])
    assert classifier.classes_.tolist() == [1, 2]
    np.testing.assert_array_equal(classifier.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("kind", ["coo", "dia", "bsr", "csc"])
def test_rows_without_weight_are_left_out_of_sparse_tables(kind, fast, table):
    X, y = table
    weights = np.where(np.arange(N_ROWS) % 3, 2.0, 0.0)
    X = X * (np.arange(2) == 1)  # a column of zeros
    if kind == "dia":
        X = np.diag(np.arange(1.0, N_ROWS + 1))
    X_sparse = scipy.sparse.csr_array(X).asformat(kind)
    sparse = NASMLPClassifier(**fast).fit(X_sparse, y, sample_weight=weights)
    dense = NASMLPClassifier(**fast).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(sparse.predict_proba(X), dense.predict_proba(X))


@pytest.mark.parametrize("factor", [1e-300, 1e307])
def test_weights_of_any_size_are_relative(estimator_class, factor, fast, table):
    X, y = table
    weights = np.linspace(0.1, 3, N_ROWS)
    first = estimator_class(**fast).fit(X, y, sample_weight=weights)
    other = estimator_class(**fast).fit(X, y, sample_weight=factor * weights)
    np.testing.assert_allclose(_predict(first, X), _predict(other, X), rtol=1e-4)


def test_a_scorer_that_refuses_weights_does_not_get_them(fast, three_class_table):
    X, y = three_class_table
    settings = {**fast, "scoring": "roc_auc_ovo"}
    weights = 1.0 + np.arange(len(y)) % 2
    classifier = NASMLPClassifier(**settings).fit(X, y, sample_weight=weights)
    assert 0 < classifier.best_score_ <= 1


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ("auto", ValueError, "The 'class_weight' parameter of NASMLPClassifier must"),
        ([1, 2], ValueError, "The 'class_weight' parameter of NASMLPClassifier must"),
        (
            {0: 1, 5: 2},
            ValueError,
            r"It names \[5\], which are none",
        ),
        ({0: -1, 1: 1}, ValueError, "class_weight must have no negative"),
        ({0: 0, 1: 0}, ValueError, "weight.*zero"),
    ],
    ids=repr,
)
def test_bad_class_weights_are_refused(table, class_weight, error, message):
    with pytest.raises(error, match=message):
        NASMLPClassifier(n_rounds=10**9, class_weight=class_weight).fit(*table)
