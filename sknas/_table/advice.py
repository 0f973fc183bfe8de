"""What a user should be told of the text columns of a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sknas._table.categories import CategoryEncoder
from sknas._table.reading.table_reader import TableReader
from sknas._table.reading.tables import column_of, is_frame, is_polars
from sknas._table.reading.texts import MAX_CODES, Reading
from sknas._warnings import warn

# Different texts that are looked at for a unit, and the share of them that must have
# the same one.
_SAMPLE = 500
_MOST = 0.9
# Different texts, and their share of the rows, from which they tell rows apart.
_MIN_IDENTIFIERS = 100
_NEARLY_EVERY_ROW = 0.95
# Columns that a warning names.
_MAX_NAMED = 10

# 5 kg or 1,5km/h
_WITH_UNIT = re.compile(r"\s*[-+]?[0-9][0-9.,]*(\s*(?:°|[^\W\d_])[^\d\s]{0,9})\s*")


@dataclass(frozen=True)
class _Remedies:
    """What to write, in the words of the table's library."""

    keep: str
    drop: str
    strip: str


_PANDAS = _Remedies(
    "X[name] = X[name].astype('category')",
    "X = X.drop(columns={name!r})",
    "X[{name!r}] = X[{name!r}].str.removesuffix({unit!r})",
)
_POLARS = _Remedies(
    "X = X.with_columns(pl.col(name).cast(pl.Categorical))",
    "X = X.drop({name!r})",
    "X = X.with_columns(pl.col({name!r}).str.strip_suffix({unit!r}))",
)


def warn_of_text(
    X: Any, reader: TableReader, categories: CategoryEncoder | None
) -> None:
    """Warn once of all text columns that were read as numbers or dates, and of others.

    The others are those that hold numbers with units, or identifiers.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
        The table.
    reader : TableReader
        Has just read it; forgets how text was read.
    categories : CategoryEncoder or None
        Has just learned its categories.
    """
    readings, reader.readings_ = reader.readings_, {}
    read = [
        f"- {column_of(X, position).name!r}: {_describe(reading)}"
        for position, reading in readings.items()
    ]
    odd = [] if categories is None else _odd_columns(X, reader, categories)
    keep = (_POLARS if is_polars(X) else _PANDAS).keep
    if not is_frame(X):
        keep = f"X = pd.DataFrame(X), then {keep}"
    message = []
    if read:
        message.append(
            f"{_count(read)} read as numbers or dates. To keep the text as categories, "
            f"write {keep} before fit."
        )
        message += _shorten(read)
    if odd:
        message.append(
            f"{_count(odd)} encoded as categories, but may be something else. The "
            "dtype 'category' ends this warning."
        )
        message += _shorten(odd)
    if message:
        warn("\n".join(message))


def _count(lines: Sequence[str]) -> str:
    one = len(lines) == 1
    return "A text column was" if one else f"{len(lines)} text columns were"


def _shorten(lines: list[str]) -> list[str]:
    if len(lines) <= _MAX_NAMED:
        return lines
    n_others = len(lines) - _MAX_NAMED
    return [*lines[:_MAX_NAMED], f"- and {n_others} more such columns."]


def _describe(reading: Reading) -> str:
    if not reading.n_lost:
        return str(reading.format)
    quoted = ", ".join(map(repr, reading.lost))
    values = "1 value is" if reading.n_lost == 1 else f"{reading.n_lost} values are"
    return f"{reading.format}; {values} missing that cannot be read, such as {quoted}"


def _odd_columns(X: Any, reader: TableReader, categories: CategoryEncoder) -> list[str]:
    """Return a line for each column of text that is hardly one of categories."""
    lines, remedies = [], _POLARS if is_polars(X) else _PANDAS
    for position, codes in zip(reader.text_positions, categories.codes_, strict=True):
        texts = [text for text in codes if text is not None]
        if len(texts) <= MAX_CODES:
            continue
        column = column_of(X, position)
        if not column.is_category:
            finding = _examine(texts, X.shape[0], column.name, remedies)
            lines += [] if finding is None else [f"- {column.name!r}: {finding}"]
    return lines


def _examine(
    texts: list[str], n_rows: int, name: object, remedies: _Remedies
) -> str | None:
    unit = _common_unit(texts)
    if unit is not None:
        remedy = remedies.strip.format(name=name, unit=unit)
        return f"numbers with the unit {unit.strip()!r}. Write {remedy}"
    if len(texts) >= max(_MIN_IDENTIFIERS, _NEARLY_EVERY_ROW * n_rows):
        return (
            f"a text that differs in nearly every row ({len(texts)} different ones in "
            f"{n_rows} rows), such as an identifier or free text. Write "
            f"{remedies.drop.format(name=name)}"
        )
    return None


def _common_unit(texts: list[str]) -> str | None:
    # The texts are sorted: equal steps see all of the alphabet.
    sample = texts[:: max(len(texts) // _SAMPLE, 1)]
    matches = [match for text in sample if (match := _WITH_UNIT.fullmatch(text))]
    units = Counter(match[1] for match in matches)
    unit, count = max(units.items(), key=lambda item: item[1], default=("", 0))
    return unit if count >= _MOST * len(sample) else None
