import datetime
import warnings

import numpy as np
import pandas as pd
import pytest

from sknas._table.encoder import TableEncoder
from sknas._table.reading.texts import NumberFormat, read_text

N_ROWS = 300


@pytest.fixture(autouse=True)
def _reports_are_ignored():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*text columns? w", UserWarning)
        yield


def _numbers():
    return np.random.default_rng(0).integers(1000, 10**6, N_ROWS) / 4


def _objects(texts):
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return values


def _with_gaps(texts, gap):
    texts = _objects(texts)
    texts[7::20] = gap
    return texts


PLAIN = [f"{x:.2f}" for x in _numbers()]
NUMERIC_TEXT = {
    "clean": PLAIN,
    "spaces": [f"  {text} " for text in PLAIN],
    "exponents": [f"{x:.6e}" for x in _numbers()],
    "dollars": [f"${x:,.2f}" for x in _numbers()],
    "euros": [f"{x:.2f} €" for x in _numbers()],
    "commas": [f"{x:,.2f}" for x in _numbers()],
    "apostrophes": [f"{x:,.2f}".replace(",", "'") for x in _numbers()],
    "thin spaces": [f"{x:,.2f}".replace(",", "\u202f") for x in _numbers()],
    "decimal commas": [f"{x:.2f}".replace(".", ",") for x in _numbers()],
    "both, the other way": [
        f"{x:,.2f}".translate(str.maketrans(",.", ".,")) for x in _numbers()
    ],
    "percent": [f"{x:.2f} %" for x in _numbers()],
    "dollars and floats": [f"${x:,.2f}" if x > 1e5 else x for x in _numbers()],
    "bytes": [text.encode() for text in PLAIN],
    "question mark": _with_gaps(PLAIN, "?"),
    "empty": _with_gaps(PLAIN, ""),
    "blank": _with_gaps(PLAIN, "  "),
    "N/A": _with_gaps(PLAIN, "N/A"),
    "null": _with_gaps(PLAIN, "Null"),
    "dashes": _with_gaps(PLAIN, "--"),
    "missing": _with_gaps(PLAIN, None),
    "floats and text": _with_gaps(_numbers(), "unknown"),
}


@pytest.mark.parametrize("name", NUMERIC_TEXT)
def test_numbers_as_text_are_numbers(name):
    text = NUMERIC_TEXT[name]
    reading = read_text(_objects(text))
    gaps = [i for i, value in enumerate(text) if value in ("?", None, "unknown")]
    gaps += [i for i, value in enumerate(text) if value in ("", "  ", "N/A", "Null")]
    gaps += [i for i, value in enumerate(text) if value == "--"]
    assert np.flatnonzero(np.isnan(reading.values)).tolist() == sorted(gaps)
    assert len(gaps) in (0, 15)
    assert reading.n_lost == (15 if name == "floats and text" else 0)
    present = ~np.isnan(reading.values)
    np.testing.assert_allclose(reading.values[present], _numbers()[present], 1e-6)
    # The encoder makes of it what it makes of the numbers.
    expected = np.where(present, reading.values, np.nan)[:, None]
    for table in (pd.DataFrame({"a": _objects(text)}), _objects(text)[:, None]):
        encoder = TableEncoder().fit(table)
        assert encoder.kinds_ == ["numeric"]
        np.testing.assert_array_equal(
            encoder.transform(table), TableEncoder().fit(expected).transform(expected)
        )


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1,234.5", 1234.5, None),
        ("1.234,5", None, 1234.5),
        ("1,02", None, 1.02),
        ("0,123", None, 0.123),
        ("1,234", 1234.0, 1.234),
        ("12,345,678", 12345678.0, None),
        ("1,2345", None, 1.2345),
        ("-.5e3", -500.0, None),
        ("-$ 7", -7.0, -7.0),
        ("$-7", -7.0, -7.0),
        ("\u22127.5", -7.5, None),
        ("12 %", 12.0, 12.0),
        ("10 000", 10000.0, 10000.0),
        ("007", None, None),
        ("0", 0.0, 0.0),
        ("0.5", 0.5, None),
        ("5 kg", None, None),
        ("1_000", None, None),
        ("inf", None, None),
        ("-Infinity", None, None),
        ("1e999", None, None),
        ("nan", None, None),
        ("", None, None),
        ("1.2.3", None, None),
        ("12:30", None, None),
        ("٣", None, None),
    ],
)
def test_single_texts(text, point, comma):
    assert NumberFormat(".").parse(text) == point
    assert NumberFormat(",").parse(text) == comma


def test_a_decimal_comma_needs_evidence():
    # Points may be decimal in all of these, commas in all of those.
    thousands = [f"{i},{100 + i}" for i in range(1, 60)]
    assert read_text(_objects(thousands)).values[0] == 1101
    fractions = [*thousands, "0,5"]
    assert read_text(_objects(fractions)).values[0] == 1.101


@pytest.mark.parametrize(("n_words", "kind"), [(15, "numeric"), (16, "categorical")])
def test_ninety_five_percent_of_the_present_values_are_enough(n_words, kind):
    # Gaps count neither for nor against.
    text = [*PLAIN[n_words:], *["word"] * n_words, *["?"] * 50]
    encoder = TableEncoder().fit(pd.DataFrame({"a": text}))
    assert encoder.kinds_ == [kind]


def test_the_share_is_one_of_rows_in_tables_of_any_size():
    # Few different words, but in many rows; more rows than the sample has.
    text = np.random.default_rng(0).permutation([*PLAIN * 10, *["word"] * 157])
    reading = read_text(_objects(text))
    assert (reading.n_lost, reading.lost) == (157, ("word",))
    more = np.random.default_rng(0).permutation([*PLAIN * 10, *["word"] * 158])
    assert read_text(_objects(more)) is None


@pytest.mark.parametrize(
    "text",
    [
        [*[f"{i}" for i in range(10, 300)], "007"],
        [f"{i}" for i in range(20)] * 5,
        [*[f"{i}" for i in range(20)] * 50, "word"],
        ["?", "NA"] * 50,
        ["inf"] * 50,
        [None] * 50,
        [f"{i} kg" for i in range(50)],
        [],
    ],
    ids=["codes", "few", "few and a word", "gaps", "inf", "missing", "units", "none"],
)
def test_other_text_is_left_alone(text):
    assert read_text(_objects(text)) is None


def test_an_all_missing_column_of_text_is_one_category():
    for column in ([None] * 30, ["?"] * 30):
        frame = pd.DataFrame({"a": pd.Series(column, dtype="string")})
        encoder = TableEncoder().fit(frame)
        assert encoder.kinds_ == ["categorical"]
        np.testing.assert_array_equal(encoder.transform(frame), np.ones((30, 1)))


def test_the_dtype_category_prevents_it():
    frame = pd.DataFrame({"a": PLAIN}).astype("category")
    assert TableEncoder().fit(frame).kinds_ == ["categorical"]


def test_what_does_not_parse_is_missing_when_predicting():
    frame = pd.DataFrame({"a": PLAIN, "b": np.arange(300.0)})
    frame.loc[3, "a"] = "?"
    encoder = TableEncoder("scale").fit(frame)
    assert encoder.n_features_out_ == 3
    odd = pd.DataFrame({"a": ["word", "NA", "inf", None], "b": 1.0})
    missing = pd.DataFrame({"a": [np.nan] * 4, "b": 1.0})
    np.testing.assert_array_equal(encoder.transform(odd), encoder.transform(missing))
    assert (encoder.transform(odd)[:, 2] == 1).all()
    # Numbers that are no text any more are as good, one row too.
    numbers = frame.assign(a=pd.to_numeric(frame["a"], errors="coerce"))
    expected = encoder.transform(frame)
    np.testing.assert_array_equal(encoder.transform(numbers), expected)
    for table in (frame, numbers, frame.astype(object)):
        np.testing.assert_array_equal(encoder.transform(table.iloc[[3]]), expected[[3]])
    with pytest.raises(ValueError, match="contains infinity"):
        encoder.transform(numbers.assign(a=np.inf))


def test_dates_are_refused_where_there_were_numbers_as_text():
    frame = pd.DataFrame({"a": PLAIN})
    encoder = TableEncoder().fit(frame)
    dates = pd.DataFrame({"a": pd.date_range("2020", periods=3)})
    for table in (dates, dates.astype(object)):
        with pytest.raises(ValueError, match="Column 'a' was numeric in fit and must"):
            encoder.transform(table)


def test_numbers_too_long_for_python_are_unreadable():
    values = _objects([*range(30), 10**5000, "x"])
    assert read_text(values) is None
    values = _objects([*range(60), 10**5000, "x"])
    assert read_text(values).lost == ("inf", "x")


def test_anything_may_stand_among_text():
    odd = [np.timedelta64(1, "D"), datetime.date(2020, 1, 1), b"?", pd.NaT, 1 + 0j, ()]
    reading = read_text(_objects([*PLAIN, *odd]))
    assert np.flatnonzero(np.isnan(reading.values)).tolist() == list(range(300, 306))
    assert reading.n_lost == 4
    frame = pd.DataFrame({"a": _objects(["word", *odd[:3]])})
    assert TableEncoder().fit(frame).n_features_out_ == 4


def test_read_only_arrays_are_read_and_nothing_is_written():
    array = _objects(PLAIN)[:, None].copy()
    array.setflags(write=False)
    before = array.copy()
    TableEncoder().fit(array).transform(array)
    np.testing.assert_array_equal(array, before)
