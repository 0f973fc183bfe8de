"""What a column is: numbers or categories, and how its values are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite

NUMERIC = "numeric"
CATEGORICAL = "categorical"

_TEXT_DTYPES = ("category", "string", "str")
_NUMBERS = (bool, np.bool_, int, float, np.integer, np.floating)
_COMPLEX = (complex, np.complexfloating)
# A whole number that is written with decimals.
_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
# Python's own equalities: True is 1, and minus zero is zero.
_SYNONYMS = {"True": "1", "False": "0", "-0": "0"}


def is_mixed_table(X: Any) -> bool:
    """Tell tables that need a look at each column from plain numeric ones."""
    if hasattr(X, "iloc") and hasattr(X, "dtypes"):
        if getattr(X, "ndim", 2) != 2:
            return False
        return not all(_is_plain_numeric(dtype) for dtype in X.dtypes)
    return isinstance(X, np.ndarray) and X.dtype.kind in "OUSMm"


def _is_plain_numeric(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "biufc"


def column_of(X: Any, position: int) -> tuple[Any, object]:
    """Return a column, and its name or position for messages.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
        A table.
    position : int
        Of the column.

    Returns
    -------
    column : Series or ndarray of shape (n_rows,)
        Its values.
    name : object
        Its name in a frame, else the position.
    """
    if hasattr(X, "iloc"):
        return X.iloc[:, position], X.columns[position]
    return X[:, position], position


def kinds_of(X: Any) -> list[str]:
    """Decide which columns of a table hold numbers and which hold categories.

    Parameters
    ----------
    X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
        A table.

    Returns
    -------
    list of {'numeric', 'categorical'}
        One for each column.

    Raises
    ------
    TypeError, ValueError
        If a column holds anything else, such as dates or complex numbers.
    """
    if not is_mixed_table(X):
        return [NUMERIC] * X.shape[1]
    return [_kind(*column_of(X, position)) for position in range(X.shape[1])]


def _kind(column: Any, name: object) -> str:
    dtype = column.dtype
    if _is_plain_numeric(dtype):
        # numpy would drop the imaginary parts with no more than a warning.
        _refuse_dtype(dtype, name, "c")
        return NUMERIC
    if getattr(dtype, "kind", "O") in "US" or str(dtype) in _TEXT_DTYPES:
        return CATEGORICAL
    if dtype != object:
        raise _unsupported(name, f"has dtype {dtype}")
    # Text among numbers makes categories of them; without a present value, an
    # all-missing column counts as numeric.
    kinds = {_kind_of_value(value, name) for value in _one_of_each_type(column)}
    return CATEGORICAL if CATEGORICAL in kinds else NUMERIC


def _one_of_each_type(column: Any) -> list[object]:
    """Return a present value of each type, and all values of unusual types."""
    # Numbers and text of one type are of one kind. Other objects may differ: some
    # arrays are a number, others are not.
    values = {}
    for value in np.asarray(column, dtype=object):
        usual = isinstance(value, (str, bytes, *_NUMBERS))
        key = type(value) if usual else (type(value), id(value))
        if key not in values and not _is_missing_value(value):
            values[key] = value
    return list(values.values())


def _kind_of_value(value: object, name: object) -> str:
    if isinstance(value, (str, bytes)):
        return CATEGORICAL
    if isinstance(value, _NUMBERS):
        return NUMERIC
    if isinstance(value, _COMPLEX):
        raise _complex_numbers(name, f"holds {value!r}")
    if hasattr(value, "isoformat") or isinstance(value, np.datetime64):
        raise _unsupported(name, f"holds {value!r}")
    try:
        float(value)  # type: ignore[arg-type]  # Decimal, Fraction, 0-d arrays
    except OverflowError:
        return NUMERIC  # Refused, with the name of the column, when it is read.
    except TypeError:
        raise TypeError(
            f"Column {name!r} holds {value!r} of type {type(value).__name__}: the "
            "argument must be a string or a real number."
        ) from None
    return NUMERIC


def _unsupported(name: object, what: str) -> ValueError:
    return ValueError(
        f"Column {name!r} {what}, but must be numeric, boolean, categorical or text. "
        "Turn it into numbers (for dates, say, the days since the first one, the "
        "month, the weekday) or leave it out."
    )


def _complex_numbers(name: object, what: str) -> ValueError:
    return ValueError(
        f"Complex data not supported: column {name!r} {what}. Give its real and its "
        "imaginary part as two columns, or leave it out."
    )


def _refuse_dtype(dtype: Any, name: object, kinds: str) -> None:
    """Refuse a column of complex numbers ('c') or dates and durations ('mM')."""
    kind = getattr(dtype, "kind", "O")
    if kind not in kinds:
        return
    error = _complex_numbers if kind == "c" else _unsupported
    raise error(name, f"has dtype {dtype}")


def _is_missing_value(value: object) -> bool:
    """Recognize None, NaN of any type, pandas.NA and NaT."""
    # NA is neither equal nor unequal to itself, and has no truth value.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _is_missing(column: Any) -> np.ndarray:
    """Find the missing values of a column."""
    if hasattr(column, "isna"):
        missing: np.ndarray = column.isna().to_numpy(dtype=bool)
        return missing
    return np.array([_is_missing_value(value) for value in column], dtype=bool)


def as_float64(X: Any) -> np.ndarray:
    """Make a table without categories, or some of its rows, dense and float64."""
    # No copy of what is dense and float64 already.
    dense = X.toarray() if hasattr(X, "toarray") else X
    return np.asarray(dense, dtype=np.float64)


def read_numbers(X: Any, positions: Sequence[int]) -> np.ndarray:
    """Convert numeric columns of a mixed table to floats, missing values to NaN.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
        A table.
    positions : sequence of int
        The numeric columns.

    Returns
    -------
    ndarray of shape (n_rows, n_numeric)
        float64.

    Raises
    ------
    ValueError
        If a value is no real number or not finite.
    """
    numbers = np.empty((X.shape[0], len(positions)))
    plain = _plain_numeric(X, positions)
    if plain:
        # Those of numpy's dtypes all at once.
        block = X.iloc[:, plain].to_numpy(dtype=np.float64, na_value=np.nan)
        assert_all_finite(block, allow_nan=True, input_name="X")
        numbers[:, np.isin(positions, plain)] = block
    for i, position in enumerate(positions):
        if position not in plain:
            numbers[:, i] = _as_numbers(*column_of(X, position))
    return numbers


def _plain_numeric(X: Any, positions: Sequence[int]) -> list[int]:
    if not hasattr(X, "iloc"):
        return []
    kinds = [getattr(dtype, "kind", "O") for dtype in X.dtypes]
    return [position for position in positions if kinds[position] in "biuf"]


def _as_numbers(column: Any, name: object) -> np.ndarray:
    _refuse_dtype(column.dtype, name, "c")
    # Missing values stay out of the conversion: NA and None have no float.
    numbers = np.full(len(column), np.nan)
    present = ~_is_missing(column)
    try:
        if getattr(column.dtype, "kind", "O") in "mM":
            raise TypeError(f"its dtype is {column.dtype}.")
        values = np.asarray(column[present])
        # numpy would drop the imaginary part of its own complex numbers.
        if any(isinstance(value, _COMPLEX) for value in values if values.dtype == "O"):
            raise TypeError("it holds complex numbers.")
        numbers[present] = values.astype(np.float64)
    except OverflowError as error:
        raise ValueError(
            f"Column {name!r} holds a number beyond the range of 64-bit floats, about "
            "1.8e308. Rescale the column or leave it out."
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Column {name!r} was numeric in fit and must be numeric now: {error}"
        ) from error
    assert_all_finite(numbers, allow_nan=True, input_name="X")
    return numbers


def read_texts(X: Any, positions: Sequence[int]) -> list[list[str | None]]:
    """Convert columns of categories to strings, missing values to None.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
        A table.
    positions : sequence of int
        The categorical columns.

    Returns
    -------
    list of list of str or None
        The values of each column.

    Raises
    ------
    ValueError
        If a column holds dates or complex numbers now.
    """
    return [_as_texts(*column_of(X, position)) for position in positions]


def _as_texts(column: Any, name: object) -> list[str | None]:
    _refuse_dtype(column.dtype, name, "mMc")
    try:
        return [_text_of(value) for value in np.asarray(column, dtype=object)]
    except ValueError as error:
        # An integer of more digits than Python writes.
        raise ValueError(f"Column {name!r} cannot be read as text: {error}") from error


def _text_of(value: object) -> str | None:
    """Return the text that stands for a category; equal numbers have the same."""
    if not isinstance(value, str):
        if _is_missing_value(value):
            return None
        # 1.0 is 1, which missing values turn it into; 1e22 has no decimals either.
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            value = int(value)
        value = str(value)
    # Decimal("1.00") and "1.0" are 1 too, "1.50" is not 1.5: it may be a version.
    # The comparison of one character keeps most text from the regular expression.
    if value[-1:] == "0" and "." in value:
        match = _WHOLE_NUMBER.fullmatch(value)
        value = match[1] if match else value
    return _SYNONYMS.get(value, value)
