"""What every column of a table is, learned in fit, and how it is read then."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite

from sknas._table.reading.columns import (
    CATEGORICAL,
    DATE,
    DURATION,
    NUMERIC,
    TEXT,
    kind_of,
    read_formatted,
    read_numbers,
    read_texts,
)
from sknas._table.reading.date_texts import DateFormat
from sknas._table.reading.dates import (
    cyclic_parts_of,
    encode_parts,
    names_of_parts,
    read_days,
    read_durations,
)
from sknas._table.reading.tables import Column, column_of, is_mixed_table
from sknas._table.reading.texts import NumberFormat, Reading, read_text

#: The texts of each column of categories.
Texts = list[list[str | None]]


class TableReader:
    """Read numbers, dates and categories from tables of the same columns.

    Numbers come in the order of the table, dates as days since 1970-01-01 among them;
    after all of them come sines and cosines of the parts of dates that vary.

    Attributes
    ----------
    kinds_ : list of str
        'numeric', 'categorical', 'date' or 'duration' for each column.
    formats_ : dict of int to NumberFormat or DateFormat
        How the numbers or dates of columns of text are written, by position.
    parts_ : dict of int to tuple of str
        The cyclic parts of each column of dates, by position.
    readings_ : dict of int to Reading
        What became of columns of text in ``fit``; for whom wants to report it, who
        then drops it.
    """

    def fit(self, X: Any) -> tuple[Any, Texts | None]:
        """Find out what the columns are, and read them.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A table.

        Returns
        -------
        numbers : ndarray or sparse matrix of shape (n_rows, n_numbers), or None
            As `read` returns them.
        texts : list of list of str or None, or None
            As `read` returns them.

        Raises
        ------
        TypeError, ValueError
            If a column holds what can be none of this.
        """
        self.formats_: dict[int, NumberFormat | DateFormat] = {}
        self.parts_: dict[int, tuple[str, ...]] = {}
        self.readings_: dict[int, Reading] = {}
        self._natures: dict[int, str | None] = {}
        self.is_plain = not is_mixed_table(X)
        if self.is_plain:
            self._set_kinds([NUMERIC] * X.shape[1])
            return self._read_plain(X), None
        columns = [column_of(X, position) for position in range(X.shape[1])]
        self._set_kinds([self._learn_kind(i, c) for i, c in enumerate(columns)])
        return self._read_columns(X, is_fit=True)

    def read(self, X: Any) -> tuple[Any, Texts | None]:
        """Read another table.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A table with the columns of ``fit``.

        Returns
        -------
        numbers : ndarray or sparse matrix of shape (n_rows, n_numbers), or None
            float64 and NaN; a plain table, sparse or not, as it is. None where all
            columns are categorical.
        texts : list of list of str or None, or None
            The values of each column of categories, None where there is none.

        Raises
        ------
        ValueError
            If a column holds something else than in ``fit``.
        """
        if self.is_plain and not is_mixed_table(X):
            return self._read_plain(X), None
        return self._read_columns(X, is_fit=False)

    def number_names(self, names: list[str]) -> list[str]:
        """Name the columns of the numbers after those of the table."""
        whole = [names[position] for position in self._number_positions]
        return whole + [
            f"{names[position]}_{part}"
            for position, parts in self.parts_.items()
            for part in names_of_parts(parts)
        ]

    @property
    def text_positions(self) -> list[int]:
        """Positions of the columns of categories."""
        return [i for i, kind in enumerate(self.kinds_) if kind == CATEGORICAL]

    @property
    def n_whole(self) -> int:
        """Number of columns of numbers, without cyclic parts."""
        return len(self._number_positions)

    @property
    def date_columns(self) -> list[int]:
        """Columns of the numbers that come from dates, all of their parts included."""
        n_parts = sum(2 * len(parts) for parts in self.parts_.values())
        whole = [
            column
            for column, position in enumerate(self._number_positions)
            if self.kinds_[position] == DATE
        ]
        return [*whole, *range(self.n_whole, self.n_whole + n_parts)]

    def _set_kinds(self, kinds: list[str]) -> None:
        self.kinds_ = kinds
        self._number_positions = [i for i, k in enumerate(kinds) if k != CATEGORICAL]

    def _learn_kind(self, position: int, column: Column) -> str:
        kind = kind_of(column)
        if kind != TEXT:
            return kind
        reading = read_text(column.objects())
        if reading is None:
            return CATEGORICAL
        self.formats_[position] = reading.format
        self.readings_[position] = reading
        return NUMERIC if isinstance(reading.format, NumberFormat) else DATE

    def _read_plain(self, X: Any) -> Any:
        # Arrays and sparse matrices are converted a chunk of rows at a time.
        if hasattr(X, "iloc"):
            return X.to_numpy(dtype=np.float64, na_value=np.nan)
        return X

    def _read_columns(
        self, X: Any, *, is_fit: bool
    ) -> tuple[np.ndarray | None, Texts | None]:
        # Where text is expected, a sparse matrix is as good as its dense form.
        X = X.toarray() if hasattr(X, "toarray") else X
        texts = [read_texts(column_of(X, i)) for i in self.text_positions]
        if not self._number_positions:
            return None, texts
        numbers = np.empty((X.shape[0], self.n_whole))
        # Those of numpy's dtypes all at once.
        plain = self._plain_positions(X)
        if plain:
            block = X.iloc[:, plain].to_numpy(dtype=np.float64, na_value=np.nan)
            assert_all_finite(block, allow_nan=True, input_name="X")
            numbers[:, np.isin(self._number_positions, plain)] = block
        parts = []
        for i, position in enumerate(self._number_positions):
            if position not in plain:
                numbers[:, i] = self._read_number(X, position, is_fit=is_fit)
            if self.kinds_[position] == DATE:
                if is_fit:
                    self.parts_[position] = cyclic_parts_of(numbers[:, i])
                parts.append(encode_parts(numbers[:, i], self.parts_[position]))
        return np.hstack([numbers, *parts]) if parts else numbers, texts or None

    def _plain_positions(self, X: Any) -> list[int]:
        if not hasattr(X, "iloc"):
            return []
        kinds = [getattr(dtype, "kind", "O") for dtype in X.dtypes]
        return [
            position
            for position in self._number_positions
            if kinds[position] in "biuf" and self.kinds_[position] == NUMERIC
        ]

    def _read_number(self, X: Any, position: int, *, is_fit: bool) -> np.ndarray:
        if is_fit and position in self.readings_:
            return self.readings_[position].values
        column, kind = column_of(X, position), self.kinds_[position]
        if kind == NUMERIC:
            form = self.formats_.get(position)
            if isinstance(form, NumberFormat) and column.kind not in "biufcmM":
                return read_formatted(column, form)
            return read_numbers(column)
        try:
            if column.kind in "biuf" and np.isnan(column.floats()).all():
                # All values are missing, for which libraries have a dtype of numbers.
                return np.full(len(column), np.nan)
            if kind == DURATION:
                return read_durations(column)
            return self._read_dates(column, position, is_fit=is_fit)
        except (TypeError, ValueError) as error:
            rule = "" if is_fit else f" held {kind}s in fit and must hold them now"
            raise ValueError(f"Column {column.name!r}{rule}: {error}") from error

    def _read_dates(self, column: Column, position: int, *, is_fit: bool) -> np.ndarray:
        form = self.formats_.get(position)
        if isinstance(form, DateFormat):
            # What the format cannot read is missing, whatever it is.
            return read_days(column, form, form.nature)[0]
        days, nature = read_days(column, nature=self._natures.get(position))
        if is_fit:
            self._natures[position] = nature
        return days
