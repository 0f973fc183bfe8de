"""Tables of numpy, pandas and polars, and one kind of column for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

# numpy's kind of each of polars' dtypes that say what a column holds.
_POLARS_KINDS = {"Boolean": "b", "Date": "M", "Datetime": "M", "Duration": "m"}
_POLARS_KINDS |= {"String": "U"}


def is_polars(X: Any) -> bool:
    """Tell DataFrames of polars, which need not be installed."""
    return type(X).__module__.startswith("polars.") and hasattr(X, "to_series")


def is_frame(X: Any) -> bool:
    """Tell DataFrames, whose columns have names and dtypes of their own."""
    return (hasattr(X, "iloc") and hasattr(X, "dtypes")) or is_polars(X)


def is_mixed_table(X: Any) -> bool:
    """Tell tables that need a look at each column from plain numeric ones."""
    if is_polars(X):
        return True
    if is_frame(X):
        if getattr(X, "ndim", 2) != 2:
            return False
        return not all(_is_plain_numeric(dtype) for dtype in X.dtypes)
    return isinstance(X, np.ndarray) and X.dtype.kind in "OUSMm"


def _is_plain_numeric(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "biufc"


def as_numpy(values: Any) -> Any:
    """Return an array of another library, such as a tensor of torch, as one of numpy.

    Parameters
    ----------
    values : object
        A table, targets or weights.

    Returns
    -------
    object
        An ndarray if ``values`` is a tensor or follows the array API standard; all else
        as it is, DataFrames and sparse matrices among it.
    """
    if isinstance(values, (np.ndarray, np.generic)):
        return values
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        # A tensor, which may have a gradient, be on a GPU, or be of a type that numpy
        # does not have.
        values = values.detach().cpu()
        if "bfloat16" in str(getattr(values, "dtype", "")):
            values = values.float()
        return values.numpy()
    if hasattr(values, "__array_namespace__"):
        # CuPy copies nothing from a GPU unasked.
        return values.get() if hasattr(values, "get") else np.asarray(values)
    return values


def as_float64(X: Any) -> np.ndarray:
    """Make a table without categories, or some of its rows, dense and float64."""
    # No copy of what is dense and float64 already.
    dense = X.toarray() if hasattr(X, "toarray") else X
    return np.asarray(dense, dtype=np.float64)


def column_of(X: Any, position: int) -> Column:
    """Return a column of a table.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
        A table.
    position : int
        Of the column.
    """
    if hasattr(X, "iloc"):
        name = X.columns[position]
        # An integer of numpy would call itself np.int64(0).
        name = name.item() if isinstance(name, np.integer) else name
        return _PandasColumn(X.iloc[:, position], name)
    if is_polars(X):
        return _PolarsColumn(X.to_series(position), X.columns[position])
    return Column(X[:, position], position)


class Column:
    """A column of a table; as it stands, one of an array.

    Parameters
    ----------
    values : ndarray or Series of shape (n_rows,)
        As the table's library has it. Nothing is written to it.
    name : object
        Its name in a frame, else its position, for messages.

    Attributes
    ----------
    kind : str
        numpy's letter: one of 'biuf' for numbers, 'c' for complex ones, 'M' for dates,
        'm' for durations, anything else for what is read as objects.
    is_category : bool
        Whether the dtype says that the values are categories.
    is_aware : bool
        Whether the dtype is one of dates with a time zone.
    """

    is_category = False
    is_aware = False

    def __init__(self, values: Any, name: object) -> None:
        self._values = values
        self.name = name
        self.dtype = values.dtype
        self.kind = getattr(self.dtype, "kind", "O")

    def __len__(self) -> int:
        return len(self._values)

    def floats(self) -> np.ndarray:
        """Return the values of a column of numbers, missing ones as NaN."""
        return np.asarray(self._values, dtype=np.float64)

    def times(self) -> np.ndarray:
        """Return dates as UTC, or durations, missing ones as NaT.

        A library may have no other form for its dates than objects.
        """
        return np.asarray(self._values)

    def objects(self) -> np.ndarray:
        """Return the values as they are, one by one."""
        return np.asarray(self._values, dtype=object)


class _PandasColumn(Column):
    def __init__(self, values: Any, name: object) -> None:
        super().__init__(values, name)
        if self.kind == "O":
            dtype = str(self.dtype)
            # 'dictionary' is pyarrow's word.
            self.is_category = dtype == "category" or dtype.startswith("dictionary")
        elif self.kind == "M":
            arrow = getattr(self.dtype, "pyarrow_dtype", self.dtype)
            self.is_aware = getattr(arrow, "tz", None) is not None

    def floats(self) -> np.ndarray:
        numbers: np.ndarray
        numbers = self._values.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers

    def times(self) -> np.ndarray:
        if self.is_aware:
            # The dates in UTC, without their zone, in numpy's form.
            times: np.ndarray = self._values.dt.tz_convert(None).to_numpy()
        else:
            times = self._values.to_numpy()
        return times


class _PolarsColumn(Column):
    def __init__(self, values: Any, name: object) -> None:
        super().__init__(values, name)
        dtype = str(self.dtype).partition("(")[0]
        is_number = dtype.startswith(("Int", "UInt", "Float"))
        self.kind = "f" if is_number else _POLARS_KINDS.get(dtype, "O")
        self.is_category = dtype in ("Categorical", "Enum")
        self.is_aware = getattr(self.dtype, "time_zone", None) is not None

    def floats(self) -> np.ndarray:
        numbers: np.ndarray = self._values.cast(float).to_numpy()
        return numbers

    def times(self) -> np.ndarray:
        times: np.ndarray = self._values.to_numpy()
        return times

    def objects(self) -> np.ndarray:
        # Of nested values, numpy would make more than one dimension.
        values = self._values.to_list()
        return np.fromiter(values, dtype=object, count=len(values))
