import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score, f1_score, log_loss

from sknas import NASMLPClassifier
from sknas._tasks.multilabel import Multilabel
from sknas._tasks.splits import SplitSettings

ESTIMATOR = NASMLPClassifier()


def _task(y, sample_weight=None):
    X = np.zeros((np.shape(y)[0], 1))
    return Multilabel.from_target(ESTIMATOR, X, y, sample_weight)


@pytest.fixture(scope="module")
def table():
    return make_multilabel_classification(250, 10, n_classes=4, random_state=0)


@pytest.fixture
def quick(fast):
    return {**fast, "max_iter": 40, "learning_rate_init": 0.02}


def test_several_labels_per_row_are_learned(quick, table):
    X, y = table
    classifier = NASMLPClassifier(**quick).fit(X[:200], y[:200])
    predicted, p = classifier.predict(X[200:]), classifier.predict_proba(X[200:])
    assert predicted.shape == p.shape == (50, 4)
    np.testing.assert_array_equal(predicted, p > 0.5)
    log_p = classifier.predict_log_proba(X[200:])
    np.testing.assert_allclose(np.exp(log_p), p)
    assert f1_score(y[200:], predicted, average="macro") > 0.6
    assert classifier.score(X[200:], y[200:]) == accuracy_score(y[200:], predicted)
    assert classifier.classes_.tolist() == [0, 1, 2, 3]
    assert classifier.n_outputs_ == 4
    assert classifier.out_activation_ == "logistic"
    assert np.isnan(classifier.score_bound_)


@pytest.mark.parametrize(
    "make", [scipy.sparse.csr_matrix, scipy.sparse.csc_array, np.asarray, list, bool]
)
def test_indicators_of_every_kind_are_taken(make, fast, table):
    X, y = table
    expected = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    given = y.astype(bool) if make is bool else make(y)
    classifier = NASMLPClassifier(**fast).fit(X, given)
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)


@pytest.mark.parametrize("dtype", [int, float, bool, np.bool_, np.float32])
def test_indicators_may_be_objects(dtype, table):
    y = table[1]
    given = y.astype(dtype).astype(object)
    np.testing.assert_array_equal(_task(given).y, y)
    np.testing.assert_array_equal(_task(pd.DataFrame(given)).y, y)
    np.testing.assert_array_equal(_task(pd.DataFrame(y.astype(dtype))).y, y)
    with pytest.raises(ValueError, match=r"with values such as \['1'"):
        _task(np.full((250, 2), "1", dtype=object))


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_predictions_are_sparse_where_the_target_was(make, fast, table):
    X, y = table
    dense = NASMLPClassifier(**fast).fit(X, y)
    sparse = NASMLPClassifier(**fast).fit(X, make(y))
    predicted = sparse.predict(X)
    assert isinstance(predicted, scipy.sparse.csr_matrix)
    np.testing.assert_array_equal(predicted.toarray(), dense.predict(X))
    assert sparse.score(X, make(y)) == dense.score(X, y)
    assert isinstance(sparse.predict_proba(X), np.ndarray)
    assert sparse.fit(X, y).sparse_output_ is False
    assert isinstance(sparse.predict(X), np.ndarray)


def test_one_sparse_column_is_refused(table):
    X, y = table
    with pytest.raises(TypeError, match="Sparse data was passed for y"):
        NASMLPClassifier(n_rounds=10**9).fit(X, scipy.sparse.csr_array(y[:, :1]))


def test_labels_that_all_or_no_rows_have_are_predicted(fast, table):
    X, y = table
    y = np.column_stack([y[:, 0], np.zeros(250, int), np.ones(250, int)])
    classifier = NASMLPClassifier(**{**fast, "max_iter": 20}).fit(X, y)
    predicted = classifier.predict(X)
    assert not predicted[:, 1].any()
    assert predicted[:, 2].all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([[0, 1], [1, 2], [1, 0]]), "Got a target of type 'multiclass-m"),
        (np.array([[-1, 1], [1, -1], [1, 1]]), "with values such as .-1, 1"),
        (scipy.sparse.csr_array(2 * np.eye(3, dtype=int)), "with values such as .2, 0"),
        (np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 1.0]]), "Input y contains NaN"),
        (np.eye(2, dtype=int), "inconsistent numbers of samples"),
    ],
    ids=["three values", "-1 and 1", "0 and 2", "missing", "too short"],
)
def test_bad_indicators_are_refused_before_any_training(y, message):
    with pytest.raises(ValueError, match=message):
        NASMLPClassifier(n_rounds=10**9).fit(np.zeros((3, 1)), y)


def test_rare_labels_are_on_both_sides_of_each_split():
    generator = np.random.default_rng(0)
    y = generator.random((400, 6)) < [0.5, 0.4, 0.3, 0.02, 0.015, 0.01]
    y[:2, 5] = True  # two rows of the rarest, at least
    for training, validation in _task(y).split(SplitSettings(0.2, 5), 0):
        assert sorted([*training, *validation]) == list(range(400))
        for rows in (training, validation):
            assert y[rows].any(axis=0).all()
        # In proportion, nearly.
        assert abs(y[validation, 0].mean() - y[:, 0].mean()) < 0.05


def test_a_sample_keeps_rows_with_and_without_each_label():
    y = np.zeros((100, 3), dtype=int)
    y[50, 0] = y[7, 1] = y[:, 2] = 1
    y[99, 2] = 0
    kept = y[_task(y).representatives()]
    assert kept.any(axis=0).all()
    assert not kept.all(axis=0).any()


def test_what_is_compared_are_labels_and_what_is_scored_are_rows(table):
    _, y = table
    task = _task(y, np.linspace(0.5, 2, 250))
    generator = np.random.default_rng(0)
    p = np.clip(0.2 + 0.6 * y + generator.normal(scale=0.3, size=y.shape), 0.01, 0.99)
    metric = task.metric(None, None, np.arange(250))
    expected = accuracy_score(y, p > 0.5, sample_weight=task.sample_weight)
    assert metric.score(p) == pytest.approx(expected)
    right = np.average(((p > 0.5) == y).mean(axis=1), weights=task.sample_weight)
    assert metric.reward(p, 0.0) < right
    assert metric.merit(p, 0.0) == pytest.approx(right, abs=0.1)
    assert metric.guess_reward() < metric.reward(p, 0.0)
    rows = np.array([7, 3, 200, 11])
    some = metric.restrict(rows), task.metric(None, None, rows)
    assert some[0].reward(p[rows], 0.0) == some[1].reward(p[rows], 0.0)
    temperature = metric.temperature(p)
    losses = {
        t: _log_loss(y, p, t, task.sample_weight)
        for t in (temperature, 0.9 * temperature, 1.1 * temperature)
    }
    assert min(losses, key=losses.get) == temperature
    f1 = task.metric("f1_macro", None, np.arange(250))
    f1.check()
    assert f1.merit(p, 0.7) == 0.7
    assert f1.noise(p, 1 - p) > 0
    with pytest.raises(ValueError, match="this target with 4 labels"):
        task.metric("top_k_accuracy", None, np.arange(250)).check()


def _log_loss(y, p, temperature, weights):
    odds = (p / (1 - p)) ** (1 / temperature)
    p = odds / (1 + odds)
    weights = np.repeat(weights, y.shape[1])
    return log_loss(y.ravel(), p.ravel(), sample_weight=weights)


def test_class_weights_are_refused(table):
    with pytest.raises(ValueError, match=r"class_weight must be None .* sample_weight"):
        NASMLPClassifier(class_weight="balanced").fit(*table)


def test_a_label_of_few_rows_is_in_every_resample():
    generator = np.random.default_rng(0)
    y = np.column_stack([generator.integers(2, size=200), np.zeros(200, int)])
    y[:3, 1] = 1
    metric = _task(y).metric("roc_auc", None, np.arange(200))
    good, worse = 0.2 + 0.6 * y, 0.4 + 0.1 * y + 0.1 * generator.random(y.shape)
    assert 0 < metric.noise(good, worse + 0.3 * generator.random(y.shape)) < 0.5
