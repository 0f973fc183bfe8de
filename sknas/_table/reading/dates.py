"""Dates, times and durations as numbers."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sknas._table.reading.date_texts import (
    AWARE,
    CLOCK,
    EPOCH,
    NAIVE,
    NANOSECONDS_PER_DAY,
    DateFormat,
    add_up,
    read_date,
)
from sknas._table.reading.tables import Column
from sknas._table.reading.values import DURATIONS, is_missing

# Days that cyclic parts are computed from: those of years 1 to 9999.
_FIRST_DAY, _LAST_DAY = 1 - EPOCH, datetime.date.max.toordinal() - EPOCH
# A part is added if the dates extend over most of a period: within less, it says no
# more than the days do, of which it is a function.
_MIN_PERIODS = 0.8
# Sines and cosines that differ by less are the same: some minutes of a day, or the
# fractions of a year at which a month begins in leap years and in others.
_MIN_DIFFERENCE = 0.05


class _Cycle(NamedTuple):
    """What recurs: days in a period, and the share of it that has passed."""

    period: float
    phase: Callable[[np.ndarray], np.ndarray]


def _phase_of_year(days: np.ndarray) -> np.ndarray:
    whole = np.floor(np.clip(days, _FIRST_DAY, _LAST_DAY))
    years = whole.astype("datetime64[D]").astype("datetime64[Y]")
    begins = years.astype("datetime64[D]").astype(np.int64)
    ends = (years + 1).astype("datetime64[D]").astype(np.int64)
    phase: np.ndarray = (whole - begins) / (ends - begins)
    return phase


_CYCLES = {
    "time_of_day": _Cycle(1.0, lambda days: days - np.floor(days)),
    # 1970-01-01 was a Thursday.
    "day_of_week": _Cycle(7.0, lambda days: np.mod(np.floor(days) + 3, 7) / 7),
    "day_of_year": _Cycle(365.25, _phase_of_year),
}


def cyclic_parts_of(days: np.ndarray) -> tuple[str, ...]:
    """Tell which cyclic parts of dates vary.

    Parameters
    ----------
    days : ndarray of shape (n_rows,)
        Days since 1970-01-01, or NaN.

    Returns
    -------
    tuple of str
        Of 'time_of_day', 'day_of_week' and 'day_of_year'.
    """
    present = days[~np.isnan(days)]
    if not len(present):
        return ()
    extent = present.max() - present.min()
    return tuple(
        name
        for name, cycle in _CYCLES.items()
        if extent >= _MIN_PERIODS * cycle.period
        and np.ptp(_circle(cycle, present), axis=0).max() > _MIN_DIFFERENCE
    )


def encode_parts(days: np.ndarray, parts: Sequence[str]) -> np.ndarray:
    """Encode where in each period dates are.

    Parameters
    ----------
    days : ndarray of shape (n_rows,)
        Days since 1970-01-01, or NaN.
    parts : sequence of str
        Names of cyclic parts.

    Returns
    -------
    ndarray of shape (n_rows, 2 * n_parts)
        Sine and cosine of each part. NaN where the date is.
    """
    encoded = np.full((len(days), 2 * len(parts)), np.nan)
    present = ~np.isnan(days)
    for i, name in enumerate(parts):
        encoded[present, 2 * i : 2 * i + 2] = _circle(_CYCLES[name], days[present])
    return encoded


def names_of_parts(parts: Sequence[str]) -> list[str]:
    """Name the columns of `encode_parts`."""
    return [f"{part}_{function}" for part in parts for function in ("sin", "cos")]


def _circle(cycle: _Cycle, days: np.ndarray) -> np.ndarray:
    angles = 2 * np.pi * cycle.phase(days)
    return np.column_stack([np.sin(angles), np.cos(angles)])


# Reading.


def read_days(
    column: Column, form: DateFormat | None = None, nature: str | None = None
) -> tuple[np.ndarray, str | None]:
    """Convert a column of dates or times of day.

    Parameters
    ----------
    column : Column
        Of dates, of objects that are dates, or of text.
    form : DateFormat, optional
        How text is written; text that it cannot read is missing. Without it, text must
        be of forms that need none.
    nature : str, optional
        NAIVE, AWARE or CLOCK, which all values must be. Without it, they must be alike.

    Returns
    -------
    days : ndarray of shape (n_rows,)
        Days since 1970-01-01 in UTC, or shares of a day; NaN for missing values.
    nature : str or None
        That of the values, as given where none is present.

    Raises
    ------
    TypeError, ValueError
        If a value is no date, or of another nature.
    """
    values = column.times() if column.kind == "M" else column.objects()
    if values.dtype.kind == "M":
        days = days_of_array(values)
        natures = set() if np.isnan(days).all() else {_nature_of(column.is_aware)}
    else:
        days, natures = _days_of_objects(values, form)
    for other in sorted(natures):
        if nature is not None and other != nature:
            raise ValueError(
                f"{nature} and {other} cannot be compared. Give all of them a time "
                "zone, or none of them."
                if CLOCK not in (nature, other)
                else f"{nature} and {other} cannot be compared."
            )
        nature = other
    return days, nature


def _nature_of(is_aware: bool) -> str:
    return AWARE if is_aware else NAIVE


def _days_of_objects(
    values: np.ndarray, form: DateFormat | None
) -> tuple[np.ndarray, set[str]]:
    """Convert single dates; return the natures of those that are not text too."""
    days, natures = np.full(len(values), np.nan), set()
    parsed: dict[str, float | None] = {}
    if form is not None:
        texts = {value for value in values if isinstance(value, str)}
        parsed = {text: form.parse(text) for text in texts}
    for row, value in enumerate(values):
        if is_missing(value):
            continue
        if form is not None and isinstance(value, str):
            days[row] = parsed[value]  # NaN for None
        else:
            days[row], nature = _days_of_value(value)
            natures.add(nature)
    return days, natures


def days_of_array(values: np.ndarray) -> np.ndarray:
    """Convert dates (since 1970-01-01) or durations of any of numpy's units to days."""
    is_nat = np.isnat(values)
    # Whole days and the rest apart: the result does not depend on the unit.
    dtype = f"{values.dtype.name.partition('[')[0]}[D]"
    whole = values.astype(dtype)
    rest = np.where(is_nat, np.timedelta64(0, "ns"), values - whole)
    fractions = rest.astype("timedelta64[ns]").astype(np.int64) / NANOSECONDS_PER_DAY
    days: np.ndarray = whole.astype(np.int64) + fractions
    days[is_nat] = np.nan
    return days


def _days_of_value(value: object) -> tuple[float, str]:
    """Return days since 1970-01-01 in UTC, and what kind of date the value is."""
    if isinstance(value, str):
        date = read_date(value)
        if date is None:
            raise ValueError(f"{value!r} is no date.")
        return date
    if isinstance(value, np.datetime64):
        return float(days_of_array(np.array([value]))[0]), NAIVE
    if hasattr(value, "to_timestamp"):
        value = value.to_timestamp()  # a period of pandas, which begins then
    days = value.toordinal() - EPOCH if isinstance(value, datetime.date) else 0
    if not isinstance(value, (datetime.datetime, datetime.time)):
        if not isinstance(value, datetime.date):
            raise TypeError(f"{value!r} is no date.")
        return float(days), NAIVE
    seconds = (60 * value.hour + value.minute) * 60 + value.second
    # Objects of pandas know nanoseconds.
    nanoseconds = 1000 * value.microsecond + getattr(value, "nanosecond", 0)
    nanoseconds += seconds * 10**9
    offset = value.utcoffset()
    if offset is not None:
        nanoseconds -= 1000 * (offset // datetime.timedelta(microseconds=1))
    if isinstance(value, datetime.time):
        return nanoseconds % NANOSECONDS_PER_DAY / NANOSECONDS_PER_DAY, CLOCK
    return add_up(days, nanoseconds), _nature_of(offset is not None)


def read_durations(column: Column) -> np.ndarray:
    """Convert a column of durations to days, missing values to NaN.

    Raises
    ------
    TypeError
        If a value is no duration.
    """
    if column.kind == "m":
        return days_of_array(column.times())
    days = np.full(len(column), np.nan)
    for row, value in enumerate(column.objects()):
        if is_missing(value):
            continue
        if not isinstance(value, DURATIONS):
            raise TypeError(f"{value!r} is no duration.")
        # Objects of pandas know nanoseconds, which their values as numpy's keep.
        value = getattr(value, "to_timedelta64", lambda v=value: np.timedelta64(v))()
        days[row] = days_of_array(np.array([value]))[0]
    return days
