"""Text columns that look like something other than categories, and what to write."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sknas._table.columns import column_of
from sknas._warnings import warn

# A column of no more different texts may as well hold codes.
_MAX_CODES = 20
# Different texts that are looked at first.
_SAMPLE = 500
# Share of the different texts that must read as numbers or dates, and the number of
# others, such as '?' and 'N/A', that still count as gaps.
_MOST = 0.9
_MAX_GAPS = 5
# Different texts, and their share of the rows, from which they tell rows apart.
_MIN_IDENTIFIERS = 100
_NEARLY_EVERY_ROW = 0.95
# Columns that a warning names.
_MAX_NAMED = 10

# 1,234.5 or -.5e3 or $ 7 or 12 %; a leading zero marks a code, such as a postcode.
_NUMBER = re.compile(
    r"\s*[$€£¥]?\s*[-+]?(?!0[0-9])"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+|(?=\.[0-9]))"
    r"(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?\s*%?\s*"
)
_SYMBOL = re.compile(r"[$€£¥,%]")
# 2020-01-31, 31.1.2020, 1/31/20, 31 Jan 2020 or January 31, 2020, with a time or not;
# no number with dots and a short last part, which would be a version.
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY, _MONTH_NUMBER, _YEAR = r"[0-3]?[0-9]", r"[01]?[0-9]", r"[12][0-9]{3}"
_DATE = re.compile(
    rf"\s*(?:{_YEAR}[-/.]{_MONTH_NUMBER}[-/.]{_DAY}"
    rf"|{_DAY}[-/.]{_DAY}[-/.]{_YEAR}"
    rf"|{_DAY}/{_DAY}/[0-9]{{2}}"
    rf"|{_DAY}[- ]{_MONTH}[-, ]+(?:{_YEAR}|[0-9]{{2}})"
    rf"|{_MONTH} {_DAY},? {_YEAR})(?:[T ]+[0-9]{{1,2}}:.*)?\s*",
    re.IGNORECASE,
)
# 31/12/2020 and 14:30+01:00 or 14:30Z
_ZONE = re.compile(r":.*(?:Z|[-+][0-9]{2}:?[0-9]{2})\s*$")
_DAY_FIRST = re.compile(r"\s*(?:1[3-9]|2[0-9]|3[01])[-/.]")


@dataclass(frozen=True)
class _Finding:
    """What a column holds, and the line that makes numbers of it."""

    what: str
    remedy: str


def warn_of_misread_columns(
    X: Any, positions: Sequence[int], categories: Sequence[Collection[str | None]]
) -> None:
    """Warn once of all text columns whose texts are numbers, dates or identifiers.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
        The table.
    positions : sequence of int
        Its columns of categories. Those of dtype 'category' are meant to be.
    categories : sequence of collections of str or None
        The different texts of each of them.
    """
    found = []  # a line for each column
    for position, texts in zip(positions, categories, strict=True):
        column, name = column_of(X, position)
        if len(texts) <= _MAX_CODES or str(column.dtype) == "category":
            continue
        present = [text for text in texts if text is not None]
        finding = _examine(present, X.shape[0], name)
        if finding is not None:
            found.append(f"- {name!r}: {finding.what}. Write {finding.remedy}")
    if not found:
        return
    if len(found) > _MAX_NAMED:
        n_others = len(found) - _MAX_NAMED
        found[_MAX_NAMED:] = [f"- and {n_others} more such columns."]
    frame = "" if hasattr(X, "iloc") else " after X = pd.DataFrame(X)"
    warn(
        f"{'A text column looks' if len(found) == 1 else 'Text columns look'} like "
        "something other than categories, which is how text is encoded. If so, "
        f"convert before fit{frame}; if not, the dtype 'category' ends this warning.\n"
        + "\n".join(found)
    )


def _examine(texts: list[str], n_rows: int, name: object) -> _Finding | None:
    """Tell what the different texts of one column look like."""
    # The texts are sorted: equal steps see all of the alphabet.
    step = max(len(texts) // _SAMPLE, 1)
    sample = texts[::step]
    for pattern, describe in ((_NUMBER, _numbers), (_DATE, _dates)):
        # The other texts are looked at only where the sample is of one kind.
        if _share_of_matches(pattern, sample) < _MOST:
            continue
        others = [text for text in texts if not pattern.fullmatch(text)]
        n_matches = len(texts) - len(others)
        if len(others) <= _MAX_GAPS and n_matches > _MAX_CODES:
            return describe(texts, others, name)
    if len(texts) >= max(_MIN_IDENTIFIERS, _NEARLY_EVERY_ROW * n_rows):
        return _Finding(
            f"a text that differs in nearly every row ({len(texts)} different ones in "
            f"{n_rows} rows), such as an identifier or free text",
            f"X = X.drop(columns={name!r})",
        )
    return None


def _share_of_matches(pattern: re.Pattern[str], texts: list[str]) -> float:
    return float(np.mean([pattern.fullmatch(text) is not None for text in texts]))


def _gaps(others: list[str]) -> str:
    return f" with gaps ({', '.join(map(repr, others))})" if others else ""


def _numbers(texts: list[str], others: list[str], name: object) -> _Finding:
    gaps = set(others)
    numbers = [text for text in texts if text not in gaps]
    symbols = sorted({s for text in numbers for s in _SYMBOL.findall(text)})
    column, written = f"X[{name!r}]", ""
    if symbols:
        # As text first: a column of objects may hold numbers too.
        column += f'.astype(str).str.replace(r"[{"".join(symbols)}]", "", regex=True)'
        written = f" written with {', '.join(map(repr, symbols))}"
    return _Finding(
        f"all of its {len(numbers)} different values read as numbers{written}"
        if not others
        else f"{len(numbers)} different numbers{written}{_gaps(others)}",
        f'X[{name!r}] = pd.to_numeric({column}, errors="coerce")',
    )


def _dates(texts: list[str], others: list[str], name: object) -> _Finding:
    has_day_first = any(_DAY_FIRST.match(text) for text in texts)
    has_zone = any(_ZONE.search(text) for text in texts)
    arguments = ', errors="coerce"' + ", dayfirst=True" * has_day_first
    arguments += ", utc=True" * has_zone
    dates = f"pd.to_datetime(X[{name!r}]{arguments})"
    # pandas subtracts times with a time zone from such times only.
    origin = 'pd.Timestamp("2000-01-01"' + ', tz="UTC"' * has_zone + ")"
    return _Finding(
        f"{len(texts) - len(others)} different dates as text{_gaps(others)}",
        f'X[{name!r}] = ({dates} - {origin}) / pd.Timedelta("1D")',
    )
