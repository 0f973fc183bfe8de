"""Single values of columns of objects: missing, numbers, text."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

import numpy as np

#: Types of real numbers, of dates and times of day, and of durations. numpy's durations
#: are integers to Python too.
NUMBERS = (bool, np.bool_, int, float, np.integer, np.floating)
DATES = (datetime.date, datetime.time, np.datetime64)
DURATIONS = (datetime.timedelta, np.timedelta64)

# A whole number that is written with decimals.
_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
# Python's own equalities: True is 1, and minus zero is zero.
_SYNONYMS = {"True": "1", "False": "0", "-0": "0"}


def is_missing(value: object) -> bool:
    """Recognize None, NaN of any type, NaT and ``pandas.NA``."""
    # NA is neither equal nor unequal to itself, and has no truth value.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def text_of(value: object) -> str | None:
    """Return the text that stands for a category; equal numbers have the same."""
    if not isinstance(value, str):
        if is_missing(value):
            return None
        if isinstance(value, bytes):
            value = value.decode("utf-8", "backslashreplace")
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
