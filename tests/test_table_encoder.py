import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sknas._table.encoder import TableEncoder
from sknas._table.numbers import SmoothClipScaler
from sknas._table.reading.columns import CATEGORICAL


def _encode(table, other=None, encoding="scale"):
    encoder = TableEncoder(encoding).fit(table)
    # `transform` would tell arrays from frames.
    return encoder.encode(table if other is None else other)


def _steps(encoding, n_columns=3):
    X = np.random.default_rng(0).normal(size=(200, n_columns))
    return TableEncoder(encoding).fit(X), X


def test_ramps_are_added_where_there_is_room():
    encoder, X = _steps("auto")
    assert encoder.transform(X).shape == (200, 3 + 3 * 8)
    assert _steps("piecewise")[0].n_features_out_ == 27
    assert _steps("scale")[0].n_features_out_ == 3
    assert _steps("auto", 100)[0].n_features_out_ == 100 + 100 * 5
    # Two ramps per column would be no more than a bend.
    assert _steps("auto", 200)[0].n_features_out_ == 200


def test_views_are_complete_encodings():
    X = np.random.default_rng(0).normal(size=(200, 3))
    X[::9, 1] = np.nan
    encoder = TableEncoder().fit(X)
    with_ramps = encoder.transform(X)
    views = encoder.views_
    assert set(views) == {"piecewise", "scale"}
    np.testing.assert_array_equal(views["piecewise"], np.arange(3 + 3 * 8 + 1))
    np.testing.assert_array_equal(with_ramps[:, views["scale"]], _encode(X))
    encoder.restrict("scale")
    np.testing.assert_array_equal(encoder.transform(X), _encode(X))
    assert encoder.ramps_ is None
    assert encoder.n_features_out_ == 4
    (name, columns), *others = encoder.views_.items()
    assert (name, columns.tolist(), others) == ("scale", [0, 1, 2, 3], [])


def test_the_view_of_all_columns_changes_nothing():
    encoder, X = _steps("auto")
    before = encoder.transform(X)
    encoder.restrict("piecewise")
    assert list(encoder.views_) == ["piecewise"]
    np.testing.assert_array_equal(encoder.transform(X), before)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("auto", "scale"),
        ("scale", "scale"),
        ("piecewise", "piecewise"),
        ("passthrough", "passthrough"),
    ],
)
def test_without_ramps_there_is_one_view(encoding, name):
    X = np.tile([[0.0, 1.0], [1.0, 0.0]], (5, 1))
    views = TableEncoder(encoding).fit(X).views_
    assert {key: columns.tolist() for key, columns in views.items()} == {name: [0, 1]}


def test_views_keep_categories_and_shares():
    generator = np.random.default_rng(0)
    X = pd.DataFrame(
        {"x": generator.normal(size=300), "code": generator.integers(0, 70, 300)}
    ).astype({"code": "category"})
    y = generator.integers(0, 2, 300)
    encoder = TableEncoder().fit(X, y)
    with_ramps = encoder.transform(X)
    columns = encoder.views_["scale"]
    assert len(columns) == 1 + 64 + 1
    encoder.restrict("scale")
    np.testing.assert_array_equal(encoder.transform(X), with_ramps[:, columns])


def test_passthrough_takes_numbers_as_they_are():
    X = np.random.default_rng(0).normal(size=(50, 2)) * 1e6
    np.testing.assert_array_equal(_encode(X, encoding="passthrough"), X)
    X[3, 0] = np.nan
    encoded = _encode(X, encoding="passthrough")
    assert encoded.shape == (50, 3)
    assert encoded[3, 0] == np.nanmedian(X[:, 0])
    assert encoded[:, 2].tolist() == np.isnan(X[:, 0]).tolist()


# Encoding.


def test_categories_become_one_column_each_and_missing_is_a_category():
    frame = pd.DataFrame({"x": pd.Series(["b", "a", None, "b"], dtype=object)})
    expected = [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    np.testing.assert_array_equal(_encode(frame), expected)


def test_an_unseen_category_is_all_zeros():
    frame = pd.DataFrame({"x": ["b", "a", "b"], "y": ["u", "v", "w"]})
    other = pd.DataFrame({"x": ["c", "a"], "y": ["u", None]})
    np.testing.assert_array_equal(
        _encode(frame, other), [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]
    )


def test_the_rarest_of_many_categories_share_a_column():
    values = [f"common {i}" for i in range(63)] * 2 + [f"rare {i}" for i in range(30)]
    frame = pd.DataFrame({"x": values})
    encoder = TableEncoder().fit(frame)
    assert encoder.n_features_out_ == 64
    encoded = encoder.transform(pd.DataFrame({"x": ["rare 1", "rare 2", "unseen"]}))
    assert (encoded == encoded[0]).all()
    assert encoded[0].sum() == 1


def test_integer_categories_that_became_floats_are_the_same():
    fitted = pd.DataFrame({"x": pd.Series([1, 2, 3, 2], dtype="category")})
    floats = pd.DataFrame({"x": pd.Series([1.0, 2.0, None, 3.0], dtype="category")})
    encoder = TableEncoder().fit(fitted)
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    np.testing.assert_array_equal(encoder.transform(floats), expected)
    plain = pd.DataFrame({"x": [1.0, 2.0, np.nan, 3.0]})
    np.testing.assert_array_equal(encoder.transform(plain), expected)
    half = pd.DataFrame({"x": [1.5]})
    np.testing.assert_array_equal(encoder.transform(half), [[0, 0, 0]])


def test_missing_numbers_become_the_median_and_an_indicator():
    X = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [np.nan, 8.0], [9.0, 9.0]])
    encoded = _encode(X)
    assert encoded.shape == (5, 3)
    assert encoded[3, 0] == 0
    np.testing.assert_array_equal(encoded[:, 2], [0, 0, 0, 1, 0])
    # A column that had none in fit gets none later, and its missing are the median.
    late = _encode(X[:, 1:], np.array([[np.nan], [7.0]]))
    np.testing.assert_array_equal(late, [[0], [0]])


def test_an_all_missing_column_is_harmless():
    X = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]])
    encoded = _encode(X, np.array([[1.0, np.nan], [2.0, 7.0]]))
    assert np.isfinite(encoded).all()


def test_huge_values_are_finite_in_float32():
    X = np.linspace(0, 1, 30)[:, None]
    X[3], X[4] = 1e30, 1e308
    encoded = TableEncoder().fit(X).transform(X, dtype=np.float32)
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()


@pytest.mark.parametrize(
    "make",
    [sparse.csr_matrix, sparse.csr_array, sparse.csc_array],
    ids=lambda m: m.__name__,
)
def test_sparse_equals_dense(make):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(30, 4)) * (generator.random((30, 4)) < 0.3)
    X[0, 0] = np.nan
    np.testing.assert_array_equal(_encode(make(X).tocsr()), _encode(X))


def test_an_object_array_equals_the_data_frame(mixed_frame):
    X, _ = mixed_frame
    array = X.to_numpy(dtype=object)
    assert TableEncoder().fit(array).kinds_ == TableEncoder().fit(X).kinds_
    np.testing.assert_array_equal(_encode(array), _encode(X))
    np.testing.assert_array_equal(_encode(X, array), _encode(X))


def test_text_arrays_hold_categories():
    X = np.array([["a", "1"], ["b", "2"]])
    encoder = TableEncoder().fit(X)
    assert encoder.kinds_ == [CATEGORICAL, CATEGORICAL]
    np.testing.assert_array_equal(encoder.transform(X), [[1, 0, 1, 0], [0, 1, 0, 1]])


def test_integers_booleans_and_floats_of_any_width_are_encoded_alike():
    X = np.random.default_rng(0).integers(0, 2, (20, 3))
    expected = _encode(X.astype(np.float64))
    for dtype in (bool, np.uint8, np.int32, np.float32, object):
        np.testing.assert_array_equal(_encode(X.astype(dtype)), expected)


def test_rows_are_encoded_alike_in_chunks_and_alone(mixed_frame, monkeypatch):
    X, _ = mixed_frame
    encoder = TableEncoder().fit(X)
    whole = encoder.transform(X)
    monkeypatch.setattr("sknas._table.encoder._CHUNK", 7)
    np.testing.assert_array_equal(encoder.transform(X), whole)
    for row in (0, 17, 59):
        np.testing.assert_array_equal(encoder.transform(X.iloc[[row]]), whole[[row]])


def test_the_table_is_not_written_to(mixed_frame):
    X, _ = mixed_frame
    copied = X.copy(deep=True)
    _encode(X)
    pd.testing.assert_frame_equal(X, copied)


def test_numbers_equal_those_of_scikit_learns_transformers():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((50, 5)) * [1, 1e-9, 1e9, 3, 0]
    X[::7, 1] = X[3, 3] = np.nan
    other = 5 * X[::-1]
    other[4] = np.nan  # columns that missed nothing before have no indicator
    encoder = TableEncoder("scale").fit(X)
    pipeline = make_pipeline(
        FunctionTransformer(SmoothClipScaler().fit(X).transform),
        SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True),
    ).fit(X)
    expected = pipeline.transform(other)
    assert expected.shape == (50, 5 + 2)
    np.testing.assert_array_equal(encoder.transform(other), expected)


def test_steps_as_small_as_floats_get_are_finite():
    X = np.array([[0.0, 0.0], [5e-324, 1e-310], [1e-323, 2e-310]])
    assert np.isfinite(_encode(X)).all()


def test_nullable_columns_are_numbers_among_others():
    X = pd.DataFrame(
        {
            "a": pd.array([1, None, 3], dtype="Int64"),
            "text": ["x", "y", "x"],
            "b": [True, False, True],
            "c": pd.array([True, None, False], dtype="boolean"),
            "d": [0.5, np.nan, 2.5],
        }
    )
    X["e"] = np.array([1, 2.5, None], dtype=object)
    encoder = TableEncoder().fit(X)
    numbers = X.drop(columns="text").astype("Float64").to_numpy(float, na_value=np.nan)
    expected = TableEncoder().fit(numbers).transform(numbers)
    n_texts = 2
    np.testing.assert_array_equal(encoder.transform(X)[:, :-n_texts], expected)
