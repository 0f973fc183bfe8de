"""Rows that are copies: as good as weights, where chance cannot have made them."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import datasets

from sknas import NASMLPClassifier, NASMLPRegressor
from sknas._fit.copies import merge_copies
from sknas._tasks.classification import Classification
from sknas._tasks.multilabel import Multilabel
from sknas._tasks.regression import Regression

N_ROWS = 90
TIMES = 1 + np.arange(N_ROWS) % 2


@pytest.fixture
def fast(fast):
    """Without a search."""
    return {**fast, "n_rounds": 1, "n_architectures": 1, "n_ensemble": 1}


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(N_ROWS, 3))
    return X, (X[:, 0] > 0.5).astype(int)


def _task(y, n_rows=N_ROWS, sample_weight=None):
    return Classification.from_target(None, np.empty(n_rows), y, sample_weight)


def _merged_rows(X, y):
    """Return how many rows are left of a table whose rows all count alike."""
    merged = merge_copies(X, _task(y, len(y)), None)
    return None if merged is None else len(merged[0])


def _shuffled(n_rows):
    return np.random.default_rng(1).permutation(n_rows)


@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}], ids=str)
def test_a_repeated_row_is_a_row_of_twice_the_weight(options, fast, table):
    X, y = table
    weighted = NASMLPClassifier(**fast, **options).fit(X, y, sample_weight=TIMES)
    repeated = NASMLPClassifier(**fast, **options)
    repeated.fit(np.repeat(X, TIMES, 0), np.repeat(y, TIMES))
    expected = weighted.predict_proba(X)
    np.testing.assert_allclose(repeated.predict_proba(X), expected, rtol=1e-6)
    plain = NASMLPClassifier(**fast, **options).fit(X, y).predict_proba(X)
    assert not np.allclose(plain, expected, rtol=1e-3)


def test_a_repeated_row_is_a_row_of_twice_the_weight_in_regression(fast, table):
    X = table[0]
    y = np.column_stack([X[:, 0] ** 2, X[:, 1]])
    weighted = NASMLPRegressor(**fast).fit(X, y, sample_weight=TIMES)
    repeated = NASMLPRegressor(**fast)
    repeated.fit(np.repeat(X, TIMES, 0), np.repeat(y, TIMES, 0))
    np.testing.assert_array_equal(repeated.predict(X), weighted.predict(X))


def test_a_table_twice_is_the_table(fast, table):
    X, y = table
    # Its rows weigh alike, so that even the bound of the score is there.
    settings = {**fast, "n_iter_no_change": None}
    once = NASMLPClassifier(**settings).fit(X, y)
    twice = NASMLPClassifier(**settings).fit(np.tile(X, (2, 1)), np.tile(y, 2))
    np.testing.assert_array_equal(twice.predict_proba(X), once.predict_proba(X))
    assert twice.score_bound_ == once.score_bound_
    assert not np.isnan(once.score_bound_)


def test_weights_of_copies_are_added(table):
    X, y = table
    order = np.append(np.arange(N_ROWS), np.arange(60))
    weights = np.linspace(0.1, 0.9, len(order))
    task = _task(y[order], len(order), weights)
    rows, merged = merge_copies(X[order], task, weights)
    np.testing.assert_array_equal(rows, np.arange(N_ROWS))
    sums = weights[:N_ROWS] + np.append(weights[N_ROWS:], np.zeros(30))
    np.testing.assert_allclose(merged.sample_weight, sums / sums.max())
    np.testing.assert_array_equal(merged.y, y)


def test_the_first_of_equal_rows_stays(table):
    X, y = table
    order = np.repeat(np.arange(N_ROWS), TIMES)[_shuffled(TIMES.sum())]
    rows, merged = merge_copies(X[order], _task(y[order], len(order)), None)
    firsts = np.sort(np.unique(order, return_index=True)[1])
    np.testing.assert_array_equal(rows, firsts)
    np.testing.assert_array_equal(merged.sample_weight, TIMES[order[rows]] / 2)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_repeated_tables_are_told(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    assert _merged_rows(X, y) is None
    drawn = np.random.default_rng(0).integers(0, len(X), len(X))
    n_different = len(np.unique(np.column_stack([X, y])[drawn], axis=0))
    assert _merged_rows(X[drawn], y[drawn]) == n_different


def _levels(n_rows, n_columns=6):
    return np.random.default_rng(2).integers(0, 3, (n_rows, n_columns))


@pytest.mark.parametrize("n_rows", [300, 1500])
def test_equal_rows_of_few_values_are_left_alone(n_rows):
    X = _levels(n_rows)
    y = (X.sum(axis=1) > 6).astype(int)
    assert len(np.unique(X, axis=0)) < 0.85 * n_rows
    assert _merged_rows(X, y) is None
    one_hot = (X[:, :, None] == np.arange(3)).reshape(n_rows, -1).astype(float)
    assert _merged_rows(one_hot, y) is None
    assert _merged_rows(scipy.sparse.csr_array(one_hot), y) is None
    texts = pd.DataFrame(X.astype(str))
    assert _merged_rows(texts, y) is None


def test_one_frequent_row_is_left_alone(table):
    X, y = table
    X = np.vstack([X, np.zeros((60, 3))])
    assert _merged_rows(X, np.append(y, np.zeros(60, dtype=int))) is None


def test_a_few_different_rows_are_left_alone():
    # As examples have them: chance cannot be told from copying.
    assert _merged_rows(np.repeat(np.eye(20), 5, 0), np.arange(100) // 5 % 2) is None


def test_few_copies_are_left_alone(table):
    X, y = table
    rows = np.append(np.arange(N_ROWS), np.arange(10))
    assert _merged_rows(X[rows], y[rows]) is None


def test_copies_of_one_rare_class_are_told(table):
    X, y = table
    rows = np.append(np.arange(N_ROWS), np.repeat(np.flatnonzero(y)[:5], 20))
    assert _merged_rows(X[rows], y[rows]) == N_ROWS


def test_rows_of_other_labels_are_no_copies(table):
    X, y = table
    X, y = np.vstack([X, X]), np.append(y, 1 - y)
    assert _merged_rows(X, y) is None


FRAME = pd.DataFrame(
    {
        "number": np.append([np.nan, 0, np.nan], np.arange(3, N_ROWS) / 3),
        "text": [f"text {i % 40}" for i in range(N_ROWS)],
        "date": pd.date_range("2020-01-01", periods=N_ROWS),
        "missing": pd.array([None, 1, 2] * (N_ROWS // 3), dtype="Int64"),
        "category": pd.Categorical(["a", None, "b"] * (N_ROWS // 3)),
    }
)
KINDS = {
    "pandas": lambda frame: frame,
    "objects": lambda frame: frame.astype(object).to_numpy(),
    "numbers": lambda frame: frame[["number"]].to_numpy(),
    "sparse": lambda frame: scipy.sparse.csr_array(frame[["number"] * 3].to_numpy()),
    "polars": lambda frame: pytest.importorskip("polars").DataFrame(
        {name: frame[name].tolist() for name in ("number", "text", "date")}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_told_in_every_kind_of_table(kind):
    rows = np.repeat(np.arange(N_ROWS), TIMES)
    y = np.arange(N_ROWS) % 2
    X = KINDS[kind](FRAME.iloc[rows])
    n_different = N_ROWS
    if kind in ("numbers", "sparse"):
        # Two rows without a number have the same label.
        n_different -= 1
    assert _merged_rows(X, y[rows]) == n_different


def test_a_value_of_another_type_is_another_value():
    X = np.array([[i, f"text {i}"] for i in range(N_ROWS)], dtype=object)
    other = X.copy()
    other[:, 0] = [float(i) for i in range(N_ROWS)]
    y = np.zeros(N_ROWS)
    assert _merged_rows(np.vstack([X, X]), np.tile(y, 2)) == N_ROWS
    assert _merged_rows(np.vstack([X, other]), np.tile(y, 2)) is None


def test_targets_of_several_columns_are_merged(table):
    X = table[0]
    rows = np.repeat(np.arange(N_ROWS), TIMES)
    labels = (X > 0).astype(int)
    for kind, y in ((Multilabel, labels), (Regression, X**2)):
        task = kind.from_target(None, X[rows], y[rows])
        merged = merge_copies(X[rows], task, None)[1]
        assert merged.n_rows == N_ROWS
        expected = kind.from_target(None, X, y, TIMES / 2)
        np.testing.assert_array_equal(merged.y, expected.y)
        np.testing.assert_array_equal(merged.sample_weight, TIMES / 2)


def test_whole_weights_decide_as_rows_do(table):
    X, y = table
    # Three rows are there twice, which alone is too few.
    X, y = np.vstack([X, X[:3]]), np.append(y, y[:3])
    times = np.append(TIMES, [1, 2, 1])
    assert _merged_rows(X, y) is None
    rows, merged = merge_copies(X, _task(y, len(y), times), times)
    rows_2, merged_2 = merge_copies(
        np.repeat(X, times, 0), _task(np.repeat(y, times), times.sum()), None
    )
    assert len(rows) == len(rows_2) == N_ROWS
    np.testing.assert_array_equal(merged.sample_weight, merged_2.sample_weight)


def test_balanced_classes_are_balanced_by_weight(table):
    X, y = table
    repeated = np.repeat(y, TIMES)
    weighted = Classification.from_target(None, X, y, TIMES, "balanced")
    of_rows = Classification.from_target(
        None, np.empty(len(repeated)), repeated, None, "balanced"
    )
    totals = np.bincount(y, weighted.sample_weight)
    np.testing.assert_allclose(totals[0], totals[1])
    np.testing.assert_allclose(
        np.bincount(repeated, of_rows.sample_weight), totals, rtol=1e-12
    )


def test_the_table_of_a_logical_function_is_left_as_it_is():
    X = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (50, 1))
    assert _merged_rows(X, X[:, 0] ^ X[:, 1]) is None
    # Nor is one without any information.
    assert _merged_rows(np.zeros((200, 3)), np.arange(200) % 2) is None
