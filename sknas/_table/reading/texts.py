"""Text that is mostly numbers or dates, read as such."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import TypeAlias

import numpy as np

from sknas._table.reading.date_texts import DateFormat, learn_dates
from sknas._table.reading.values import DURATIONS, NUMBERS, is_missing, text_of

#: What a value of a column of text amounts to: a text, a number, or nothing.
Entry: TypeAlias = str | float | None

# A column of no more different texts may as well hold codes.
MAX_CODES = 20
# One in so many of the present values may be no number, or no date.
_PARTS = 20
# Values that are looked at first, and the share of them that must not be lost: more is
# next to impossible where 95 % of all values can be read.
_SAMPLE = 500
_MAX_LOST_OF_SAMPLE = 0.15
# Texts that the report of a column quotes.
_MAX_QUOTED = 3

#: Texts that stand for a missing value, in small letters and without outer spaces.
GAPS = frozenset(
    {"", "?", "-", "--", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"}
)

# 1,234.5 or -.5e3 or 1'234 or $ 7 or 7 € or 12 %, and 1.234,5 where commas are decimal.
# A leading zero marks a code, such as a postcode, and so no part of a number.
_SIGN, _CURRENCY = "[-+\u2212]?", "[$€£¥₹]?"
_THIN = "\u00a0\u2009\u202f"  # spaces that divide thousands in print
_PATTERNS = {
    decimal: re.compile(
        rf"\s*(?:{_SIGN}\s*{_CURRENCY}|{_CURRENCY}\s*{_SIGN})\s*"
        rf"(?:[1-9][0-9]{{0,2}}(?P<group>[{group}'\u2019 {_THIN}])[0-9]{{3}}"
        rf"(?:(?P=group)[0-9]{{3}})*|(?!0[0-9])[0-9]+|(?=[{decimal}][0-9]))"
        rf"(?:[{decimal}][0-9]*)?(?:[eE][-+]?[0-9]+)?\s*[%$€£¥₹]?\s*"
    )
    for decimal, group in (".,", ",.")
}
# What becomes of the characters of a number before Python reads it.
_WITHOUT = dict.fromkeys(f"$€£¥₹%'\u2019 \t\n{_THIN}")
_WRITTEN = {
    ".": str.maketrans({**_WITHOUT, ",": None, "\u2212": "-"}),
    ",": str.maketrans({**_WITHOUT, ".": None, ",": ".", "\u2212": "-"}),
}
_CODE = re.compile(r"\s*0[0-9]+\s*")


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column of text are written.

    Parameters
    ----------
    decimal : {'.', ','}
        The other one divides thousands.
    """

    decimal: str

    def parse(self, entry: Entry) -> float | None:
        """Return the number that something is, or None."""
        if not isinstance(entry, str):
            return entry
        if not _PATTERNS[self.decimal].fullmatch(entry):
            return None
        number = float(entry.translate(_WRITTEN[self.decimal]).strip())
        # Beyond the range of floats.
        return number if math.isfinite(number) else None

    def read(self, values: np.ndarray) -> np.ndarray:
        """Return numbers, NaN for what is none.

        Parameters
        ----------
        values : ndarray of shape (n_rows,), object
            Text, numbers and missing values.
        """
        entries = [_entry_of(value) for value in values]
        parsed = {entry: self.parse(entry) for entry in set(entries)}
        # NaN for None.
        return np.array([parsed[entry] for entry in entries], dtype=np.float64)

    def __str__(self) -> str:
        return "numbers" + " with decimal commas" * (self.decimal == ",")


_Parsed: TypeAlias = dict[Entry, float | None]
_Learner: TypeAlias = Callable[
    [Counter[Entry]], tuple[NumberFormat | DateFormat, _Parsed]
]


@dataclass(frozen=True)
class Reading:
    """What was made of a column of text.

    Attributes
    ----------
    format : NumberFormat or DateFormat
        How it is read.
    values : ndarray of shape (n_rows,)
        Numbers, or dates in days, and NaN.
    n_lost : int
        Values, gaps aside, that cannot be read, and so are missing.
    lost : tuple of str
        Some of them.
    """

    format: NumberFormat | DateFormat
    values: np.ndarray
    n_lost: int
    lost: tuple[str, ...]


def read_text(values: np.ndarray) -> Reading | None:
    """Read a column of text as numbers or dates, if that is what it holds.

    It does if at least 95 % of its values can be read, gaps such as ``?`` aside, and
    more than 20 different ones: fewer may as well be codes. So are numbers if one of
    them has a leading zero.

    Parameters
    ----------
    values : ndarray of shape (n_rows,), object
        Text, numbers and missing values.

    Returns
    -------
    Reading or None
        None for a column of categories.
    """
    learners: list[_Learner] = [_learn_numbers, _learn_dates]
    if len(values) > _SAMPLE:
        rows = np.random.default_rng(0).choice(len(values), _SAMPLE, replace=False)
        counts = _count([_entry_of(value) for value in values[rows]])
        max_lost = _MAX_LOST_OF_SAMPLE * counts.total()
        learners = [
            learn for learn in learners if _n_lost(learn(counts)[1], counts) <= max_lost
        ]
    if not learners:
        return None
    entries = [_entry_of(value) for value in values]
    counts = _count(entries)
    if len(counts) <= MAX_CODES:
        return None
    for learn in learners:
        form, parsed = learn(counts)
        n_lost = _n_lost(parsed, counts)
        if _is_enough(form, parsed, n_lost, counts):
            # NaN for gaps, which are not among the parsed; None becomes NaN too.
            found = list(map(parsed.get, entries, repeat(None)))
            lost = sorted(str(entry) for entry in counts if parsed.get(entry) is None)
            read = np.array(found, dtype=np.float64)
            return Reading(form, read, n_lost, tuple(lost[:_MAX_QUOTED]))
    return None


def _count(entries: list[Entry]) -> Counter[Entry]:
    """Count the rows of each value; gaps count neither for nor against."""
    return Counter({e: n for e, n in Counter(entries).items() if not is_gap(e)})


def _is_enough(
    form: NumberFormat | DateFormat,
    parsed: Mapping[Entry, float | None],
    n_lost: int,
    counts: Counter[Entry],
) -> bool:
    """Tell whether a column of these values is to be read as these numbers or dates."""
    # In whole numbers, as 0.05 is no float.
    if _PARTS * n_lost > counts.total():
        return False
    if sum(value is not None for value in parsed.values()) <= MAX_CODES:
        return False
    return not (isinstance(form, NumberFormat) and any(map(_is_code, counts)))


def _entry_of(value: object) -> Entry:
    # Text first: most values are.
    if isinstance(value, str):
        return value
    if is_missing(value):
        return None
    # Durations of numpy are integers too.
    if not isinstance(value, DURATIONS) and isinstance(value, NUMBERS):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        return number if math.isfinite(number) else str(number)
    return text_of(value)


def is_gap(entry: object) -> bool:
    """Tell None, and words such as ``?`` that stand for a missing value."""
    return entry is None or (isinstance(entry, str) and entry.strip().lower() in GAPS)


def _learn_numbers(counts: Counter[Entry]) -> tuple[NumberFormat, _Parsed]:
    """Read numbers with decimal points, or commas if more can be read with these."""
    point, comma = NumberFormat("."), NumberFormat(",")
    parsed = {entry: point.parse(entry) for entry in counts}
    if None not in parsed.values():
        return point, parsed
    with_commas = {entry: comma.parse(entry) for entry in counts}
    if _n_lost(with_commas, counts) < _n_lost(parsed, counts):
        return comma, with_commas
    return point, parsed


def _learn_dates(counts: Counter[Entry]) -> tuple[DateFormat, _Parsed]:
    form, dates = learn_dates({e: n for e, n in counts.items() if isinstance(e, str)})
    parsed: _Parsed = {**dates}  # type: ignore[dict-item]
    return form, parsed


def _n_lost(parsed: Mapping[Entry, float | None], counts: Counter[Entry]) -> int:
    """Return how many rows have a value that cannot be read."""
    return sum(n for entry, n in counts.items() if parsed.get(entry) is None)


def _is_code(entry: Entry) -> bool:
    return isinstance(entry, str) and _CODE.fullmatch(entry) is not None
