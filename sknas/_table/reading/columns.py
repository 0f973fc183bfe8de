"""What a column is, and how its values are read."""

from __future__ import annotations

import numpy as np
from sklearn.utils import assert_all_finite

from sknas._table.reading.tables import Column
from sknas._table.reading.texts import NumberFormat, is_gap
from sknas._table.reading.values import DATES, DURATIONS, NUMBERS, is_missing, text_of

NUMERIC = "numeric"
CATEGORICAL = "categorical"
DATE = "date"
DURATION = "duration"
#: Text that may be something else than categories.
TEXT = "text"

_TEXT_DTYPES = ("string", "str")
_COMPLEX = (complex, np.complexfloating)


def kind_of(column: Column) -> str:
    """Decide what a column holds.

    Parameters
    ----------
    column : Column
        Of a table in ``fit``.

    Returns
    -------
    str
        NUMERIC, CATEGORICAL (which the dtype says), TEXT, DATE or DURATION.

    Raises
    ------
    TypeError, ValueError
        If it holds anything else, such as complex numbers, or things that cannot be
        compared.
    """
    if column.kind == "c":
        # numpy would drop the imaginary parts with no more than a warning.
        raise _complex_numbers(column.name, f"has dtype {column.dtype}")
    if column.kind in "biuf":
        return NUMERIC
    if column.is_category:
        return CATEGORICAL
    if column.kind in "USMm":
        return {"M": DATE, "m": DURATION}.get(column.kind, TEXT)
    if str(column.dtype) in _TEXT_DTYPES:
        return TEXT
    # Anything among text becomes text; without a present value, an all-missing column
    # counts as numeric.
    values: dict[str, object] = {}
    for value in _one_of_each_type(column.objects()):
        values.setdefault(_kind_of_value(value, column.name), value)
    if len(values) > 1 and TEXT not in values:
        examples = " and ".join(map(repr, values.values()))
        raise ValueError(
            f"Column {column.name!r} holds {examples}, which cannot be compared. Make "
            "all of its values numbers, dates, durations or text, or leave it out."
        )
    return TEXT if TEXT in values else next(iter(values), NUMERIC)


def _one_of_each_type(values: np.ndarray) -> list[object]:
    """Return a present value of each type, and all values of unusual types."""
    # Numbers and text of one type are of one kind. Other objects may differ: some
    # arrays are a number, others are not.
    found = {}
    for value in values:
        usual = isinstance(value, (str, bytes, *NUMBERS, *DATES, *DURATIONS))
        key = type(value) if usual else (type(value), id(value))
        if key not in found and not is_missing(value):
            found[key] = value
    return list(found.values())


def _kind_of_value(value: object, name: object) -> str:
    if isinstance(value, (str, bytes)):
        return TEXT
    # Durations come first: see NUMBERS.
    if isinstance(value, DURATIONS):
        return DURATION
    if isinstance(value, DATES) or hasattr(value, "to_timestamp"):
        return DATE
    if isinstance(value, NUMBERS):
        return NUMERIC
    if isinstance(value, _COMPLEX):
        raise _complex_numbers(name, f"holds {value!r}")
    try:
        float(value)  # type: ignore[arg-type]  # Decimal, Fraction, 0-d arrays
    except OverflowError:
        return NUMERIC  # Refused, with the name of the column, when it is read.
    except TypeError:
        raise TypeError(
            f"Column {name!r} holds {value!r} of type {type(value).__name__}: the "
            "argument must be a string or a real number. Turn the column into numbers, "
            "dates or text, or leave it out."
        ) from None
    return NUMERIC


def _complex_numbers(name: object, what: str) -> ValueError:
    return ValueError(
        f"Complex data not supported: column {name!r} {what}. Give its real and its "
        "imaginary part as two columns, or leave it out."
    )


def read_numbers(column: Column) -> np.ndarray:
    """Convert a column of numbers to floats, missing values to NaN.

    Parameters
    ----------
    column : Column
        Numeric in ``fit``.

    Returns
    -------
    ndarray of shape (n_rows,)
        float64.

    Raises
    ------
    ValueError
        If a value is no real number or not finite.
    """
    if column.kind == "c":
        raise _complex_numbers(column.name, f"has dtype {column.dtype}")
    numbers = column.floats() if column.kind in "biuf" else _numbers_of(column)
    assert_all_finite(numbers, allow_nan=True, input_name="X")
    return numbers


def _numbers_of(column: Column) -> np.ndarray:
    """Convert numbers that are objects."""
    values = column.objects()
    # Missing values stay out of the conversion: NA and None have no float, and neither
    # have the words that stand for them, such as "n/a".
    present = ~missing_of(values)
    present &= ~np.fromiter(map(is_gap, values), dtype=bool, count=len(values))
    numbers = np.full(len(values), np.nan)
    try:
        if column.kind in "mM":
            raise TypeError(f"its dtype is {column.dtype}.")
        # numpy would drop the imaginary part of its own complex numbers.
        if any(isinstance(value, _COMPLEX) for value in values):
            raise TypeError("it holds complex numbers.")
        numbers[present] = values[present].astype(np.float64)
    except OverflowError as error:
        raise ValueError(
            f"Column {column.name!r} holds a number beyond the range of 64-bit floats, "
            "about 1.8e308. Rescale the column or leave it out."
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Column {column.name!r} was numeric in fit and must be numeric now: "
            f"{error}. pandas.to_numeric(X[{column.name!r}], errors='coerce') makes "
            "what is no number a missing value."
        ) from error
    return numbers


def read_formatted(column: Column, form: NumberFormat) -> np.ndarray:
    """Convert a column of text that was read as numbers in ``fit``.

    Parameters
    ----------
    column : Column
        Of text, or of objects.
    form : NumberFormat
        How its numbers are written.

    Returns
    -------
    ndarray of shape (n_rows,)
        NaN for what is no number.

    Raises
    ------
    ValueError
        If it holds dates or durations now.
    """
    values = column.objects()
    for value in values:
        if isinstance(value, (*DATES, *DURATIONS)) and not is_missing(value):
            raise ValueError(
                f"Column {column.name!r} was numeric in fit and must be numeric now: "
                f"it holds {value!r}."
            )
    return form.read(values)


def missing_of(values: np.ndarray) -> np.ndarray:
    """Find the missing values of an array of objects."""
    return np.fromiter(map(is_missing, values), dtype=bool, count=len(values))


def read_texts(column: Column) -> list[str | None]:
    """Convert a column of categories to strings, missing values to None.

    Parameters
    ----------
    column : Column
        Categorical in ``fit``.

    Returns
    -------
    list of str or None
        The values.

    Raises
    ------
    ValueError
        If it holds dates or complex numbers now.
    """
    if column.kind == "c":
        raise _complex_numbers(column.name, f"has dtype {column.dtype}")
    if column.kind in "mM":
        raise ValueError(
            f"Column {column.name!r} has dtype {column.dtype}, but was categorical or "
            "text in fit and must be so now."
        )
    try:
        return [text_of(value) for value in column.objects()]
    except ValueError as error:
        # An integer of more digits than Python writes.
        raise ValueError(
            f"Column {column.name!r} cannot be read as text: {error}"
        ) from error
