import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sknas._table.encoder import TableEncoder
from sknas._table.reading.columns import CATEGORICAL, NUMERIC
from sknas._table.reading.tables import is_mixed_table


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


@pytest.mark.parametrize("value", [{"a": 1}, [1, 2]], ids=["dict", "list"])
def test_an_object_column_of_anything_else_is_refused(value):
    frame = pd.DataFrame({"odd": pd.Series([value, value], dtype=object)})
    with pytest.raises(TypeError, match=r"Column 'odd' holds .* must be a string or "):
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


@pytest.mark.parametrize(
    "column",
    [
        np.array([1 + 2j, 3j]),
        pd.Series([1 + 2j, 3j], dtype=object),
        pd.Series([np.complex128(1 + 2j), 1.5], dtype=object),
        pd.Series([np.complex64(1 + 2j), "a"], dtype=object),
    ],
    ids=["complex128", "complex", "numpy.complex128", "beside text"],
)
def test_complex_numbers_are_refused(column):
    frame = pd.DataFrame({"z": column, "text": ["a", "b"]})
    for table, name in ((frame, "'z'"), (frame.to_numpy(dtype=object), "0")):
        with pytest.raises(
            ValueError,
            match=f"Complex data not supported: column {name} .* two columns",
        ):
            TableEncoder().fit(table)


@pytest.mark.parametrize("fitted", [[1.0, 2.0], ["a", "b"]], ids=["number", "text"])
def test_complex_numbers_are_refused_where_there_was_something_else(fitted):
    frame = pd.DataFrame({"z": fitted, "text": ["a", "b"]})
    encoder = TableEncoder().fit(frame)
    with pytest.raises(ValueError, match="Complex data not supported: column 'z'"):
        encoder.transform(frame.assign(z=[1j, 2j]))


def test_complex_objects_are_refused_where_there_were_numbers():
    frame = pd.DataFrame({"z": [1.0, 2.0], "text": ["a", "b"]})
    encoder = TableEncoder().fit(frame)
    odd = frame.assign(z=pd.Series([np.complex128(1j), None], dtype=object))
    with pytest.raises(ValueError, match=r"Column 'z' was numeric.*complex numbers"):
        encoder.transform(odd)


@pytest.mark.parametrize("make", [int, Fraction], ids=["int", "fraction"])
def test_a_number_beyond_all_floats_is_refused_by_name(make):
    column = pd.Series([make(10**400), make(1)], dtype=object)
    frame = pd.DataFrame({"huge": column, "text": ["a", "b"]})
    with pytest.raises(ValueError, match="Column 'huge' holds a number beyond the ran"):
        TableEncoder().fit(frame)
    encoder = TableEncoder().fit(frame.assign(huge=[1.0, 2.0]))
    with pytest.raises(ValueError, match="Column 'huge' holds a number beyond the ran"):
        encoder.transform(frame)


def test_an_integer_of_any_size_may_be_a_category():
    column = pd.Series([10**400, "a"], dtype=object)
    encoded = (
        TableEncoder()
        .fit(pd.DataFrame({"x": column}))
        .transform(pd.DataFrame({"x": column}))
    )
    np.testing.assert_array_equal(encoded, [[1, 0], [0, 1]])
    too_long = pd.DataFrame({"x": pd.Series([10**5000, "a"], dtype=object)})
    with pytest.raises(ValueError, match="Column 'x' cannot be read as text: Exceeds"):
        TableEncoder().fit(too_long)


def test_every_value_of_an_unusual_type_is_looked_at():
    column = pd.Series([Decimal(1), Fraction(1, 2), datetime.date(2020, 1, 1)])
    with pytest.raises(
        ValueError,
        match=r"Column 'x' holds Decimal.* and datetime.* cannot be",
    ):
        TableEncoder().fit(pd.DataFrame({"x": column, "text": list("abc")}))
    arrays = np.empty(2, dtype=object)
    arrays[0], arrays[1] = np.array(1.0), np.array([1.0, 2.0])
    with pytest.raises(TypeError, match="Column 'x' holds"):
        TableEncoder().fit(pd.DataFrame({"x": arrays, "text": list("ab")}))
