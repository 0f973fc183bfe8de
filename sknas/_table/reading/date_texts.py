"""Dates that are written as text."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: What dates may be, and must be alike within a column.
NAIVE = "dates without a time zone"
AWARE = "dates with a time zone"
CLOCK = "times of day"

#: Days of the proleptic Gregorian calendar before 1970-01-01, which is day 0.
EPOCH = datetime.date(1970, 1, 1).toordinal()
NANOSECONDS_PER_DAY = 86_400_000_000_000

_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    "|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_MONTH_NUMBERS = {name[:3]: n for n, name in enumerate(_MONTHS.split("|"), start=1)}
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,? +)?"
_TIME = (
    r"(?:(?:T|,? +)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"(?: ?(?P<half>[AP])\.?M\.?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[-+][0-9]{2}(?::?[0-9]{2})?))?)?"
)
# 2020-01-31 and 2020-01, then what may be day first or not: 31.1.2020 and 1/31/20. A
# number with dots and a short last part would be a version.
_DIGITS = re.compile(
    r"\s*(?:(?P<year>[12][0-9]{3})(?P<dash>[-/.])(?P<month>[0-9]{1,2})"
    r"(?:(?P=dash)(?P<day>[0-9]{1,2}))?"
    r"|(?P<first>[0-9]{1,2})(?P<separator>[-/.])(?P<other>[0-9]{1,2})(?P=separator)"
    rf"(?P<last>[12][0-9]{{3}}|(?<=/)[0-9]{{2}})){_TIME}\s*",
    re.IGNORECASE,
)
# 31 Jan 2020, 31-Jan-20 and January 31, 2020.
_WORDS = re.compile(
    rf"\s*{_WEEKDAY}(?:(?P<day>[0-9]{{1,2}})[- ](?P<name>{_MONTHS})\.?[-, ]+"
    r"(?P<year>[12][0-9]{3}|[0-9]{2})"
    rf"|(?P<name_>{_MONTHS})\.? (?P<day_>[0-9]{{1,2}}),? (?P<year_>[12][0-9]{{3}}))"
    rf"{_TIME}\s*",
    re.IGNORECASE,
)
_ZONE = re.compile(r"([-+])([0-9]{2}):?([0-9]{2})?")


class _Date(NamedTuple):
    """A text that is a date: days since 1970-01-01 (UTC), or None, for each order."""

    month_first: float | None
    day_first: float | None
    nature: str


@dataclass(frozen=True)
class DateFormat:
    """How the dates of a column of text are written.

    Parameters
    ----------
    day_first : bool or None
        Whether 1/2/2020 is in February; None if no date of the column is so written.
    nature : str
        NAIVE or AWARE; dates of the other nature cannot be read.
    """

    day_first: bool | None
    nature: str

    def parse(self, text: str) -> float | None:
        """Return days since 1970-01-01 (UTC), or None if the text is no date."""
        date = _read(text)
        return None if date is None else self.choose(date)

    def choose(self, date: _Date) -> float | None:
        """Return the days of a date, or None if it is not of this format."""
        if date.nature != self.nature:
            return None
        return date.day_first if self.day_first else date.month_first

    def __str__(self) -> str:
        if self.day_first is None:
            return "dates"
        return f"dates with the {'day' if self.day_first else 'month'} first"


def learn_dates(
    counts: Mapping[str, int],
) -> tuple[DateFormat, dict[str, float | None]]:
    """Read texts as dates, in the way in which most of them can be read.

    Parameters
    ----------
    counts : mapping of str to int
        Texts, and how many rows have each.

    Returns
    -------
    DateFormat
        How they are written.
    dict of str to float or None
        Days since 1970-01-01 (UTC), None for a text that is no date.
    """
    dates = {text: date for text in counts if (date := _read(text)) is not None}

    def n_rows(texts: Iterable[str]) -> int:
        return sum(counts[text] for text in texts)

    is_aware = {text: date.nature == AWARE for text, date in dates.items()}
    nature = (
        AWARE if 2 * n_rows(t for t in dates if is_aware[t]) > n_rows(dates) else NAIVE
    )
    day_first = None
    if any(date.month_first != date.day_first for date in dates.values()):
        n_day_first = n_rows(t for t, d in dates.items() if d.day_first is not None)
        n_month_first = n_rows(t for t, d in dates.items() if d.month_first is not None)
        day_first = n_day_first > n_month_first or (
            n_day_first == n_month_first and _is_usually_day_first(dates)
        )
    form = DateFormat(day_first, nature)
    return form, {
        text: form.choose(dates[text]) if text in dates else None for text in counts
    }


def _is_usually_day_first(texts: Iterable[str]) -> bool:
    """Decide where both the first and the second number may be the month."""
    matches = [match for text in texts if (match := _DIGITS.fullmatch(text))]
    matches = [match for match in matches if match["first"] is not None]
    # Where one number is always the same, it is the day: the first of each month.
    n_first = len({int(match["first"]) for match in matches})
    n_other = len({int(match["other"]) for match in matches})
    if (n_first == 1) != (n_other == 1):
        return n_first == 1
    # Dots are written where the day comes first; else as pandas does.
    n_dots = sum(1 for match in matches if match["separator"] == ".")
    return 2 * n_dots > len(matches)


def read_date(text: str) -> tuple[float, str] | None:
    """Read a date that needs no format: year or name of the month say which is what.

    Parameters
    ----------
    text : str
        Such as ``2020-01-31``.

    Returns
    -------
    tuple of float and str, or None
        Days since 1970-01-01 (UTC), and NAIVE or AWARE.
    """
    date = _read(text)
    if date is None or date.month_first is None or date.month_first != date.day_first:
        return None
    return date.month_first, date.nature


def _read(text: str) -> _Date | None:
    match = _DIGITS.fullmatch(text)
    if match is None:
        match = _WORDS.fullmatch(text)
        if match is None:
            return None
        name = match["name"] or match["name_"]
        month = _MONTH_NUMBERS[name[:3].lower()]
        days = day_first = _days(
            match["year"] or match["year_"], month, match["day"] or match["day_"]
        )
    elif match["year"] is not None:
        days = day_first = _days(match["year"], match["month"], match["day"] or "1")
    else:
        year, one, two = match["last"], match["first"], match["other"]
        days, day_first = _days(year, one, two), _days(year, two, one)
    nanoseconds = 0 if match["hour"] is None else _nanoseconds(match)
    if nanoseconds is None or (days is None and day_first is None):
        return None
    moment = other = None if days is None else add_up(days, nanoseconds)
    if day_first != days:
        other = None if day_first is None else add_up(day_first, nanoseconds)
    return _Date(moment, other, NAIVE if match["zone"] is None else AWARE)


def add_up(days: int, nanoseconds: int) -> float:
    """Return days as a float; the nanoseconds may be of another day."""
    more, rest = divmod(nanoseconds, NANOSECONDS_PER_DAY)
    # The same two roundings as where arrays are converted.
    return (days + more) + rest / NANOSECONDS_PER_DAY


def _days(year: str, month: str | int, day: str) -> int | None:
    number = int(year)
    if len(year) == 2:
        # As everywhere in Python: '68' is 2068, and '69' is 1969.
        number += 2000 if number < 69 else 1900
    try:
        return datetime.date(number, int(month), int(day)).toordinal() - EPOCH
    except ValueError:
        return None


def _nanoseconds(match: re.Match[str]) -> int | None:
    """Return the nanoseconds of a day in UTC, or None if the time is none."""
    hour, minute = int(match["hour"]), int(match["minute"])
    second = int(match["second"] or 0)
    if match["half"] is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (match["half"] in "pP")
    if hour > 23 or minute > 59 or second > 59:
        return None
    if (zone := _ZONE.fullmatch(match["zone"] or "")) is not None:
        offset = 60 * int(zone[2]) + int(zone[3] or 0)
        minute += offset if zone[1] == "-" else -offset
    fraction = int((match["fraction"] or "0").ljust(9, "0"))
    return ((60 * hour + minute) * 60 + second) * 10**9 + fraction
