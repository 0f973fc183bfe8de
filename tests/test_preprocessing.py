import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sknas._table.encoder import (
    CATEGORICAL,
    NUMERIC,
    RampEncoder,
    SmoothClipScaler,
    TableEncoder,
    is_mixed_table,
)


def _encode(table, other=None, encoding="scale"):
    encoder = TableEncoder(encoding).fit(table)
    return encoder.transform(table if other is None else other)


def _squeeze(z):
    return z / np.sqrt(1 + (np.asarray(z) / 3) ** 2)


# SmoothClipScaler.


def test_the_scaler_agrees_with_a_worked_example():
    # Median 3, quartiles 2 and 4.
    X = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    scaler = SmoothClipScaler().fit(X)
    assert (scaler.center_.item(), scaler.scale_.item()) == (3.0, 2.0)
    expected = _squeeze(np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]]))
    np.testing.assert_allclose(scaler.transform(X), expected)


def test_a_column_without_interquartile_range_is_divided_by_half_its_range():
    X = np.array([[0.0]] * 8 + [[4.0]])
    scaler = SmoothClipScaler().fit(X)
    assert scaler.scale_.item() == 2.0
    assert scaler.transform(X)[-1].item() == pytest.approx(_squeeze(2.0))


def test_the_scaler_is_monotone_and_bounded_by_three():
    X = np.concatenate([np.linspace(-5, 5, 101), [1e30, -1e30]])[:, None]
    scaled = SmoothClipScaler().fit(X).transform(X)[:, 0]
    assert np.abs(scaled).max() <= 3
    assert (np.diff(scaled[np.argsort(X[:, 0])]) > 0).all()


def test_the_scaler_ignores_units():
    X = np.random.default_rng(0).normal(size=(40, 3))
    shifted = X * [1e-6, 7.0, 1e9] + [0.0, -5.0, 1e9]
    np.testing.assert_allclose(
        SmoothClipScaler().fit_transform(shifted),
        SmoothClipScaler().fit_transform(X),
        atol=1e-6,
    )


def test_constant_and_missing_columns_become_zero_and_nan():
    X = np.array([[7.0, np.nan, 1.0], [7.0, np.nan, np.nan], [7.0, np.nan, 3.0]])
    scaled = SmoothClipScaler().fit(X).transform(X)
    np.testing.assert_array_equal(scaled[:, 0], 0)
    assert np.isnan(scaled[:, 1]).all()
    np.testing.assert_array_equal(np.isnan(scaled[:, 2]), [False, True, False])


def test_infinite_values_are_refused_by_the_scaler():
    with pytest.raises(ValueError, match="contains infinity"):
        SmoothClipScaler().fit(np.array([[1.0], [np.inf]]))


# scikit-learn's own check for finite values sums them.
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")
@pytest.mark.parametrize("huge", [1e30, 1e308, np.finfo(np.float64).max])
@pytest.mark.parametrize("n_huge", [1, 10, 20])
def test_huge_values_of_both_signs_stay_finite(huge, n_huge):
    X = np.linspace(-1, 1, 40)[:, None]
    X[:n_huge] = -huge
    X[-n_huge:] = huge
    scaled = SmoothClipScaler().fit(X).transform(X)
    assert np.isfinite(scaled).all()
    assert scaled[0].item() < scaled[-1].item()


def test_a_constant_column_may_be_far_away_at_predict_time():
    scaler = SmoothClipScaler().fit(np.full((5, 1), -1e308))
    assert np.isfinite(scaler.transform(np.array([[1e308]]))).all()


# RampEncoder.


def _ramps(column, n_bins, other=None):
    encoder = RampEncoder(n_bins).fit(np.asarray(column, float)[:, None])
    other = column if other is None else other
    return encoder.transform(np.asarray(other, float)[:, None])


def test_ramps_agree_with_a_worked_example():
    # Knots 0, 2 and 4.
    ramps = _ramps([0, 1, 2, 3, 4], 2, [-9, 0, 1, 2, 3.5, 9, np.nan])
    expected = [[0, 0], [0, 0], [0.5, 0], [1, 0], [1, 0.75], [1, 1], [0.5, 0.5]]
    np.testing.assert_allclose(ramps, (np.array(expected) - 0.5) / 2)


def test_any_piecewise_linear_function_is_a_sum_of_ramps():
    x = np.random.default_rng(0).normal(size=300)
    knots = np.quantile(x, np.linspace(0, 1, 9), method="nearest")
    design = np.column_stack([_ramps(x, 8), np.ones(300)])
    target = np.interp(x, knots, np.random.default_rng(1).normal(size=9))
    coef, *_ = np.linalg.lstsq(design, target, rcond=None)
    np.testing.assert_allclose(design @ coef, target, atol=1e-9)


def test_a_column_of_mostly_one_value_has_knots_among_the_others():
    column = np.concatenate([np.zeros(500), np.arange(1, 21)])
    assert _ramps(column, 5).shape == (520, 5)


@pytest.mark.parametrize("column", [[3.0] * 9, [0, 1] * 5, [np.nan] * 4], ids=str)
def test_columns_of_two_values_or_fewer_have_no_ramps(column):
    assert _ramps(column, 8).shape == (len(column), 0)


def test_ramps_belong_to_their_columns():
    generator = np.random.default_rng(0)
    X = np.column_stack(
        [np.ones(50), generator.normal(size=50), np.tile([0, 1], 25), np.arange(50)]
    )
    encoder = RampEncoder(4).fit(X)
    assert encoder.columns_.tolist() == [1] * 4 + [3] * 4
    changed = X.copy()
    changed[:, 3] = 25
    difference = encoder.transform(X) - encoder.transform(changed)
    assert (difference[:, :4] == 0).all()
    assert (difference[:, 4:] != 0).any()


def _steps(encoding, n_columns=3):
    X = np.random.default_rng(0).normal(size=(200, n_columns))
    return TableEncoder(encoding).fit(X), X


def test_ramps_are_added_where_there_is_room():
    encoder, X = _steps("auto")
    assert encoder.transform(X).shape == (200, 3 + 3 * 8)
    assert _steps("piecewise")[0].n_features_out_ == 27
    assert _steps("scale")[0].n_features_out_ == 3
    assert _steps("auto", 100)[0].n_features_out_ == 100 + 100 * 5
    # Two ramps a column would be no more than a bend.
    assert _steps("auto", 200)[0].n_features_out_ == 200


def test_ramps_may_be_dropped():
    X = np.random.default_rng(0).normal(size=(200, 3))
    X[::9, 1] = np.nan
    encoder = TableEncoder().fit(X)
    with_ramps = encoder.transform(X)
    plain = encoder.plain_columns_
    encoder.drop_ramps()
    np.testing.assert_array_equal(encoder.transform(X), with_ramps[:, plain])
    np.testing.assert_array_equal(encoder.transform(X), _encode(X))


def test_passthrough_takes_numbers_as_they_are():
    X = np.random.default_rng(0).normal(size=(50, 2)) * 1e6
    np.testing.assert_array_equal(_encode(X, encoding="passthrough"), X)
    X[3, 0] = np.nan
    encoded = _encode(X, encoding="passthrough")
    assert encoded.shape == (50, 3)
    assert encoded[3, 0] == np.nanmedian(X[:, 0])
    assert encoded[:, 2].tolist() == np.isnan(X[:, 0]).tolist()


# Kinds of columns.


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series([1.0, 2.0, None]), NUMERIC),
        (pd.Series([1, 2, 3]), NUMERIC),
        (pd.Series([True, False, True]), NUMERIC),
        (pd.Series([1, None, 3], dtype="Int64"), NUMERIC),
        (pd.Series([1.5, None, 3], dtype="Float32"), NUMERIC),
        (pd.Series([True, None, False], dtype="boolean"), NUMERIC),
        (pd.Series([1, None, 2.5], dtype=object), NUMERIC),
        (pd.Series([True, None, False], dtype=object), NUMERIC),
        (pd.Series([Decimal("1.5"), Decimal(2), None], dtype=object), NUMERIC),
        (pd.Series([None, None, None], dtype=object), NUMERIC),
        # The dtype is 'str' from pandas 3 on, object before.
        pytest.param(pd.Series(["a", "b", None]), CATEGORICAL, id="inferred text"),
        (pd.Series(["a", "b", None], dtype=object), CATEGORICAL),
        (pd.Series(["a", 1, None], dtype=object), CATEGORICAL),
        (pd.Series(["a", "b", None], dtype="string"), CATEGORICAL),
        (pd.Series(["a", "b", None], dtype="category"), CATEGORICAL),
        (pd.Series([1, 2, None], dtype="category"), CATEGORICAL),
        (pd.Series([b"a", b"b", None], dtype=object), CATEGORICAL),
    ],
    ids=lambda value: (
        f"{value.dtype}-{'-'.join(map(str, value))}"
        if isinstance(value, pd.Series)
        else value
    ),
)
def test_columns_are_numbers_or_categories_and_may_miss_values(column, kind):
    frame = pd.DataFrame({"column": column, "text": ["x", "y", "x"]})
    encoder = TableEncoder().fit(frame)
    assert encoder.kinds_ == [kind, CATEGORICAL]
    encoded = encoder.transform(frame)
    assert encoded.dtype == np.float64
    assert np.isfinite(encoded).all()
    assert encoded.shape == (3, encoder.n_features_out_)
    # The missing value leaves a trace: an indicator or a category of its own.
    if column.isna().any() and not column.isna().all():
        (row,) = np.flatnonzero(column.isna())
        marks = encoded[row] == 1
        others = np.delete(encoded, row, axis=0)
        assert (marks & ~(others == 1).any(axis=0)).any()


def test_every_kind_of_column_is_encoded_with_missing_values(mixed_frame):
    X, _ = mixed_frame
    encoder = TableEncoder("scale").fit(X)
    assert encoder.kinds_ == [NUMERIC] * 5 + [CATEGORICAL] * 3
    encoded = encoder.transform(X)
    assert np.isfinite(encoded).all()
    # Five numbers, indicators of three of them; 2 + 3 + 3 categories, 3 of missing.
    assert encoded.shape == (60, 5 + 3 + 8 + 3)
    assert np.abs(encoded).max() <= 3


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.date_range("2020-01-01", periods=3), "datetime64"),
        (pd.to_timedelta([1, 2, 3], unit="D"), "timedelta64"),
        (pd.period_range("2020-01", periods=3, freq="M"), "period"),
    ],
    ids=["datetime", "timedelta", "period"],
)
def test_a_column_of_dates_is_refused_with_a_remedy(column, kind):
    frame = pd.DataFrame({"x": [1, 2, 3], "when": column})
    with pytest.raises(
        ValueError, match=rf"Column 'when' has dtype {kind}.*leave it out"
    ):
        TableEncoder().fit(frame)


@pytest.mark.parametrize("value", [{"a": 1}, [1, 2]], ids=["dict", "list"])
def test_an_object_column_of_anything_else_is_refused(value):
    frame = pd.DataFrame({"odd": pd.Series([value, value], dtype=object)})
    with pytest.raises(TypeError, match=r"Column 'odd' holds .* must be a string or a"):
        TableEncoder().fit(frame)


@pytest.mark.parametrize(
    "value", [datetime.date(2020, 1, 1), pd.Timestamp(2020, 1, 1)], ids=["date", "time"]
)
def test_objects_that_are_dates_are_refused_like_columns_of_dates(value):
    frame = pd.DataFrame({"odd": pd.Series([value, value], dtype=object)})
    with pytest.raises(ValueError, match=r"Column 'odd' holds .* leave it out"):
        TableEncoder().fit(frame)


def test_a_date_is_refused_where_there_was_a_category():
    frame = pd.DataFrame({"x": [1.0, 2.0], "text": ["a", "b"]})
    encoder = TableEncoder().fit(frame)
    with pytest.raises(ValueError, match="Column 'text' has dtype datetime"):
        encoder.transform(frame.assign(text=pd.to_datetime(["2020-01-01"] * 2)))


def test_what_was_numeric_must_stay_numeric():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "text": ["a", "b", "a"]})
    encoder = TableEncoder().fit(frame)
    changed = frame.assign(x=["one", "two", "three"])
    with pytest.raises(ValueError, match="Column 'x' was numeric in fit"):
        encoder.transform(changed)


def test_infinity_in_a_numeric_column_of_a_mixed_table_is_refused():
    frame = pd.DataFrame({"x": [1.0, np.inf, 3.0], "text": ["a", "b", "a"]})
    with pytest.raises(ValueError, match="X contains infinity"):
        TableEncoder().fit(frame)


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


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (np.zeros((2, 2)), False),
        (np.zeros((2, 2), dtype=object), True),
        (np.array([["a"]]), True),
        (np.array([["2020-01-01"]], dtype="datetime64[D]"), True),
        (pd.DataFrame({"x": [1.0], "y": [True]}), False),
        (pd.DataFrame({"x": pd.array([1, None], dtype="Int64")}), False),
        (pd.DataFrame({"x": [1.0], "y": ["a"]}), True),
        (pd.Series(["a"]), False),
        (sparse.csr_array((2, 2)), False),
        ([["a"]], False),
    ],
    ids=range(10),
)
def test_mixed_tables_are_told_from_plain_ones(table, expected):
    assert is_mixed_table(table) is expected


def test_the_folded_numbers_equal_scikit_learns_transformers():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((50, 5)) * [1, 1e-9, 1e9, 3, 0]
    X[::7, 1] = X[3, 3] = np.nan
    other = 5 * X[::-1]
    other[4] = np.nan  # columns that missed nothing before have no indicator
    encoder = TableEncoder("scale").fit(X)
    expected = encoder.numeric_.transform(other)
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


# Columns of many categories.


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
