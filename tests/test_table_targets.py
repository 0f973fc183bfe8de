import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import TargetEncoder

from sknas._table.encoder import TableEncoder
from sknas._table.targets import N_PARTS, TargetMeans


@pytest.mark.parametrize("n_classes", [2, 3])
def test_shares_equal_those_of_scikit_learns_target_encoder(n_classes):
    generator = np.random.default_rng(0)
    codes = generator.integers(0, [40, 90], size=(200, 2)).astype(np.int32)
    # Categories of one class, of one row, and of more rows than classes.
    y = np.where(codes[:, 0] < 10, 1, generator.integers(0, n_classes, 200))
    shares = TargetMeans([41, 91], y, 0).fit(codes, y)
    unseen = np.array([[40, 90]])
    target_type = "binary" if n_classes == 2 else "multiclass"
    reference = TargetEncoder(target_type=target_type).fit(codes, y)
    for table in (codes, unseen):
        # scikit-learn arranges the classes of a column one after another.
        expected = reference.transform(table).reshape(len(table), 2, -1)
        expected = expected.transpose(0, 2, 1).reshape(len(table), -1) - 0.5
        encoded = shares.transform(table)
        assert encoded.shape == (len(table), shares.n_features_out)
        np.testing.assert_allclose(encoded, expected, atol=1e-12)


def test_cross_fitted_shares_come_from_the_rows_of_other_parts():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 30, size=(103, 1))
    y = generator.integers(0, 3, 103)
    shares = TargetMeans([31], y, 7)
    encoded = shares.cross_fit(codes, y)
    # A row's own class changes nothing in its own columns, and much in others'.
    own, others = [], []
    for row in range(20):
        changed = y.copy()
        # The order of the classes decides the parts; two equal rows swap classes.
        partner = np.flatnonzero(y != y[row])[0]
        changed[[row, partner]] = y[[partner, row]]
        difference = np.abs(shares.cross_fit(codes, changed) - encoded).max(axis=1)
        own.append(difference[row])
        others.append(difference.max())
    assert min(others) > 0
    whole = shares.fit(codes, y).transform(codes)
    correlation = [np.corrcoef(s[:, 0], y == 0)[0, 1] for s in (encoded, whole)]
    assert correlation[0] < 0.2 < correlation[1]


# Numbers and labels.


def _numbers(n_targets=2, n_rows=400, seed=0):
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, [40, 90], size=(n_rows, 2)).astype(np.int32)
    y = generator.normal(size=(n_rows, n_targets)) + codes[:, :1] / 20
    return codes, (y - y.mean(axis=0)) / y.std(axis=0)


def test_means_of_numbers_equal_those_of_scikit_learns_target_encoder():
    codes, y = _numbers()
    means = TargetMeans([41, 91], y, 0).fit(codes, y)
    assert (means.n_targets, means.n_features_out) == (2, 4)
    unseen = np.array([[40, 90]])
    for table in (codes, unseen):
        expected = [
            TargetEncoder(target_type="continuous").fit(codes, column).transform(table)
            for column in y.T
        ]
        np.testing.assert_allclose(
            means.transform(table), np.hstack(expected), atol=1e-12
        )


def test_labels_are_encoded_as_two_classes_each_are():
    codes, _ = _numbers()
    labels = np.random.default_rng(1).integers(0, 2, (400, 3))
    means = TargetMeans([41, 91], labels.astype(float), 0).fit(codes, labels)
    expected = [
        TargetMeans([41, 91], label, 0).fit(codes, label).transform(codes)
        for label in labels.T
    ]
    np.testing.assert_allclose(means.transform(codes), np.hstack(expected), atol=1e-12)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_row_of_weight_two_is_two_rows(kind):
    codes, y = _numbers()
    if kind == "classes":
        y = (3 * np.random.default_rng(2).random(400)).astype(int)
    weight = np.random.default_rng(3).integers(0, 3, 400)
    repeated = np.repeat(np.arange(400), weight)
    means = TargetMeans([41, 91], y, 0)
    weighted = means.fit(codes, y, weight.astype(float)).transform(codes)
    expected = means.fit(codes[repeated], y[repeated]).transform(codes)
    np.testing.assert_allclose(weighted, expected, atol=1e-12)


def test_weights_of_one_change_nothing_for_classes():
    codes, _ = _numbers()
    y = np.random.default_rng(2).integers(0, 3, 400)
    means = TargetMeans([41, 91], y, 0)
    np.testing.assert_array_equal(
        means.cross_fit(codes, y, np.ones(400)), means.cross_fit(codes, y)
    )


@pytest.mark.parametrize("weight", [None, 0.1])
def test_a_category_of_other_parts_rows_alone_has_the_mean_of_these(weight):
    # Each row has a category of its own: of it, the other parts know nothing, and a
    # rest of rounding must not pass for knowledge.
    y = np.random.default_rng(0).normal(size=(100, 1))
    codes = np.arange(100)[:, None]
    weights = None if weight is None else np.full(100, weight)
    encoded = TargetMeans([101], y, 0).cross_fit(codes, y, weights)
    assert len(np.unique(encoded.round(12))) == N_PARTS
    assert np.abs(encoded).max() < 0.2


def test_constant_numbers_and_no_weight_at_all_are_finite():
    codes, y = _numbers()
    means = TargetMeans([41, 91], y, 0)
    for target, weight in ((np.full_like(y, 0.1), None), (y, np.zeros(400))):
        for encoded in (
            means.fit(codes, target, weight).transform(codes),
            means.cross_fit(codes, target, weight),
        ):
            assert np.isfinite(encoded).all()


def _table(n_rows=600):
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 100, n_rows)
    X = pd.DataFrame({"code": codes, "x": generator.normal(size=n_rows)})
    y = codes[:, None] / 50 - 1 + generator.normal(size=(n_rows, 2)) / 9
    return X.astype({"code": "category"}), y


def test_a_table_is_encoded_by_numbers_with_weights():
    X, y = _table()
    weight = np.random.default_rng(1).random(600) + 0.5
    encoder = TableEncoder("scale")
    encoded = encoder.fit_transform(X, y, weight)
    assert encoded.shape == (600, 1 + 64 + 2)
    for column in (-2, -1):
        assert np.corrcoef(encoded[:, column], y[:, column])[0, 1] > 0.9
    unweighted = TableEncoder("scale").fit_transform(X, y)
    assert not np.allclose(encoded[:, -2:], unweighted[:, -2:])
    np.testing.assert_array_equal(encoded[:, :-2], unweighted[:, :-2])
    # One column of numbers may have one axis.
    one = TableEncoder("scale").fit_transform(X, y[:, 0])
    np.testing.assert_allclose(one[:, -1], unweighted[:, -2], atol=1e-12)


def test_weights_follow_the_rows_of_a_fold():
    X, y = _table()
    weight = np.random.default_rng(1).random(600) + 0.5
    rows, validation_rows = np.arange(400), np.arange(400, 600)
    table = TableEncoder().fit_table(X, y, weight)
    changed = weight.copy()
    changed[validation_rows] *= 7
    other = TableEncoder().fit_table(X, y, changed)
    for one, two in zip(
        table.fold(rows, validation_rows),
        other.fold(rows, validation_rows),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(table.all_rows(), other.all_rows())


@pytest.mark.parametrize("y", [np.ones((600, 1)), np.zeros((600, 3))])
def test_constant_targets_add_no_columns(y):
    X, _ = _table()
    assert TableEncoder("scale").fit_transform(X, y).shape == (600, 65)
