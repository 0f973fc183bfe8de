import pickle
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from sknas._table.categories import CategoryEncoder
from sknas._table.encoder import TableEncoder


def _many_categories(n_classes=2):
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 100, 2000)
    y = (codes % n_classes).astype(int)
    return pd.DataFrame({"code": codes.astype(str)}).astype("category"), y


@pytest.mark.parametrize(("n_classes", "n_added"), [(2, 1), (3, 3)])
def test_many_categories_are_encoded_by_the_classes_too(n_classes, n_added):
    X, y = _many_categories(n_classes)
    encoder = TableEncoder()
    encoded = encoder.fit_transform(X, y)
    assert encoded.shape == (2000, 64 + n_added)
    assert encoder.n_features_out_ == 64 + n_added
    shares = encoder.transform(X)[:, -n_added:]
    if n_classes == 2:
        assert ((shares[:, 0] > 0) == (y == 1)).all()
    else:
        assert (shares.argmax(axis=1) == y).all()
    unseen = encoder.transform(pd.DataFrame({"code": ["?"]}).astype("category"))
    prior = np.bincount(y)[-n_added:] / len(y) - 0.5
    np.testing.assert_allclose(unseen[0, -n_added:], prior)


def test_no_row_sees_its_own_class():
    # Each row has a category of its own: other rows know nothing of it.
    y = np.random.default_rng(0).integers(0, 2, 200)
    X = pd.DataFrame({"name": [f"row {i}" for i in range(200)]})
    with pytest.warns(UserWarning, match="differs in nearly every row"):
        shares = TableEncoder().fit_transform(X, y)[:, -1]
    assert abs(np.corrcoef(shares, y)[0, 1]) < 0.3


@pytest.mark.parametrize("y", [None, np.zeros(2000, int)], ids=["none", "one class"])
def test_without_classes_there_is_nothing_to_encode_by(y):
    X, _ = _many_categories()
    assert TableEncoder().fit_transform(X, y).shape == (2000, 64)


def test_few_categories_are_not_encoded_by_the_classes(mixed_frame):
    X, y = mixed_frame
    np.testing.assert_array_equal(
        TableEncoder().fit_transform(X, y), TableEncoder().fit(X).transform(X)
    )


# One column per category.


def _texts(n_rows, n_categories, seed=0):
    generator = np.random.default_rng(seed)
    # Frequencies differ, and many are equal.
    codes = (n_categories * generator.random(n_rows) ** 2).astype(int)
    texts = np.array([f"{code}" for code in codes], dtype=object)
    texts[generator.random(n_rows) < 0.1] = None
    return texts


@pytest.mark.parametrize("n_categories", [3, 62, 64, 65, 200])
def test_columns_of_categories_equal_those_of_scikit_learn(n_categories):
    columns = np.column_stack([_texts(600, n_categories), _texts(600, 5, seed=1)])
    other = np.column_stack(
        [_texts(600, 2 * n_categories, seed=2), _texts(600, 9, seed=3)]
    )
    reference = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=64, sparse_output=False
    ).fit(columns)
    encoder = CategoryEncoder()
    codes = encoder.fit(columns.T)
    for table in (columns, other):
        expected = reference.transform(table)
        encoded = np.full(expected.shape, np.nan)
        encoder.one_hot(encoder.encode(table.T), encoded)
        np.testing.assert_array_equal(encoded, expected)
    np.testing.assert_array_equal(codes, encoder.encode(columns.T))


def test_sixty_four_categories_have_a_column_each():
    column = [f"{code:02d}" for code in range(64)]
    encoder = CategoryEncoder()
    encoder.fit([column])
    encoded = np.empty((65, 64))
    encoder.one_hot(encoder.encode([[*column, "unseen"]]), encoded)
    np.testing.assert_array_equal(encoded, np.eye(65, 64))


def test_equal_values_are_one_category_however_they_are_written():
    ones = [1, 1.0, "1", "1.0", "1.00", True, "True", np.int8(1), np.float32(1)]
    ones += [np.True_, Decimal(1), Decimal("1.0")]
    zeros = [0, 0.0, -0.0, "0", "0.0", "-0.0", False, "False"]
    others = ["01", "1.50", "1.05", "true", " 1", "1.", "10", "1.0.0", "nan", "10.0"]
    others += [1.5, "-1.0", -2, "x"]
    missing = [None, np.nan, pd.NA, pd.NaT, np.float32("nan"), Decimal("nan")]
    values = [*ones, *zeros, *others, *missing]
    column = np.empty(len(values), dtype=object)
    column[:] = values
    for table in (column[:, None], pd.DataFrame({"a": column})):
        encoder = TableEncoder().fit(table)
        encoded = encoder.transform(table).argmax(axis=1)
        of_ones, of_zeros, of_others, of_missing = np.split(
            encoded, np.cumsum([len(ones), len(zeros), len(others)])
        )
        assert len(set(of_ones)) == len(set(of_zeros)) == len(set(of_missing)) == 1
        # "10" and "10.0" are the only two others that are equal.
        assert len(set(of_others)) == len(others) - 1
        assert encoder.n_features_out_ == len(set(encoded)) == len(others) - 1 + 3


def test_booleans_that_became_numbers_or_text_are_the_same_categories():
    fitted = pd.DataFrame({"x": pd.Categorical([True, False, None, True])})
    expected = [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    encoder = TableEncoder().fit(fitted)
    np.testing.assert_array_equal(encoder.transform(fitted), expected)
    for column in ([1.0, 0.0, np.nan, 1.0], ["True", "False", None, "True"]):
        np.testing.assert_array_equal(
            encoder.transform(pd.DataFrame({"x": column})), expected
        )


def test_a_row_is_encoded_without_a_new_table_of_the_categories():
    """Whatever is rebuilt for 100,000 categories takes a megabyte or more."""
    n_rows = 100_000
    X = pd.DataFrame({"name": [f"name {i}" for i in range(n_rows)]})
    y = np.arange(n_rows) % 3
    with pytest.warns(UserWarning, match="differs in nearly every row"):
        encoder = TableEncoder().fit(X, y)
    row = X.iloc[[7]]
    encoder.transform(row)
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        encoder.transform(row)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A hundred thousand numbers of 8 bytes would be 800,000.
    assert peak - before < 100_000


def test_a_pickled_encoder_encodes_alike():
    X, y = _many_categories(3)
    encoder = TableEncoder().fit(X, y)
    restored = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(restored.transform(X), encoder.transform(X))


# Folds.


def _noise(seed):
    """600 rows, 40 columns of 150 categories, and classes that have nothing to do."""
    generator = np.random.default_rng(seed)
    columns = {f"c{i}": generator.integers(0, 150, 600) for i in range(40)}
    return pd.DataFrame(columns).astype("category"), generator.integers(0, 2, 600)


def test_folds_hold_nothing_of_the_classes_of_validation_rows():
    scores = []
    for seed in range(20):
        X, y = _noise(seed)
        table = TableEncoder(random_state=seed).fit_table(X, y)
        rows, validation_rows = np.split(
            np.random.default_rng(seed).permutation(600), [400]
        )
        encoded = table.all_rows()
        for train, test in (
            table.fold(rows, validation_rows),
            (encoded[rows], encoded[validation_rows]),
        ):
            # The shares: the last column of each of the forty.
            classifier = LogisticRegression().fit(train[:, -40:], y[rows])
            scores.append(classifier.score(test[:, -40:], y[validation_rows]))
    in_folds, with_all_rows = np.reshape(scores, (20, 2)).mean(axis=0)
    # The standard error of 20 times 200 rows is 0.008.
    assert abs(in_folds - 0.5) < 0.016
    # Where the encoder has seen all classes, noise seems to be learned.
    assert with_all_rows > 0.53


def test_classes_of_validation_rows_change_nothing_in_a_fold():
    X, y = _many_categories(3)
    rows, validation_rows = np.arange(0, 1500), np.arange(1500, 2000)
    changed = y.copy()
    changed[validation_rows] = (y[validation_rows] + 1) % 3
    folds = [
        TableEncoder().fit_table(X, target).fold(rows, validation_rows)
        for target in (y, changed)
    ]
    for first, second in zip(*folds, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_fold_is_the_table_of_its_rows_alone():
    X, y = _many_categories(3)
    order = np.random.default_rng(1).permutation(2000)
    rows, validation_rows = order[:1500], order[1500:]
    table = TableEncoder(random_state=5).fit_table(X, y)
    train, test = table.fold(rows, validation_rows)
    assert table.all_rows().shape == (2000, 64 + 3)
    assert train.dtype == test.dtype == np.float32
    # The hundred categories are in every part, and so have the same codes.
    alone = TableEncoder(random_state=5)
    encoded = alone.fit_transform(X.iloc[rows], y[rows], dtype=np.float32)
    np.testing.assert_array_equal(train[:, 64:], encoded[:, 64:])
    encoded = alone.transform(X.iloc[validation_rows], np.float32)
    np.testing.assert_array_equal(test[:, 64:], encoded[:, 64:])
    # What is learned from X alone is that of all rows.
    np.testing.assert_array_equal(train[:, :64], table.all_rows()[rows, :64])
    np.testing.assert_array_equal(test[:, :64], table.all_rows()[validation_rows, :64])


def test_all_rows_of_a_table_are_those_of_fit_transform(mixed_frame):
    X, y = mixed_frame
    table = TableEncoder().fit_table(X, y)
    expected = TableEncoder().fit_transform(X, y, dtype=np.float32)
    np.testing.assert_array_equal(table.all_rows(), expected)
    rows, validation_rows = np.arange(40), np.arange(40, 60)
    train, test = table.fold(rows, validation_rows)
    np.testing.assert_array_equal(np.vstack([train, test]), expected)
    assert not np.shares_memory(train, table.all_rows())


def test_folds_may_miss_classes_and_have_few_rows():
    X, y = _many_categories(3)
    table = TableEncoder().fit_table(X, y)
    for rows in (np.flatnonzero(y == 1)[:50], np.arange(3), np.arange(1)):
        for part in table.fold(rows, np.arange(1000, 1010)):
            assert part.shape[1] == 64 + 3
            assert np.isfinite(part).all()
