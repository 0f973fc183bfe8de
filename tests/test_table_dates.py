import datetime
import pickle
import warnings
from datetime import UTC, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from sknas._table.encoder import TableEncoder
from sknas._table.reading.dates import cyclic_parts_of, days_of_array, encode_parts

N_ROWS = 300
DAYS = pd.date_range("2019-01-15 06:30", periods=N_ROWS, freq="31h")
DAY_0 = (DAYS[0] - pd.Timestamp(1970, 1, 1)) / pd.Timedelta("1D")


@pytest.fixture(autouse=True)
def _reports_are_ignored():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*text columns? w", UserWarning)
        yield


def _numbers(table):
    """Return the numbers that are read, before they are scaled."""
    encoder = TableEncoder().fit(table)
    assert set(encoder.kinds_) == {"date"}
    numbers, _ = encoder.reader_.read(table)
    return numbers


def _frame(column):
    return pd.DataFrame({"when": column})


@pytest.mark.parametrize(
    "column",
    [
        DAYS,
        DAYS.as_unit("s"),
        DAYS.as_unit("ns"),
        DAYS.tz_localize("UTC"),
        DAYS.tz_localize("UTC").tz_convert("Asia/Kolkata"),
        pd.Series(DAYS).astype(object),
        pd.Series(DAYS.to_pydatetime(), dtype=object),
        pd.Series(DAYS.tz_localize("UTC").tz_convert("Asia/Kolkata"), dtype=object),
        pd.Series(list(DAYS.to_numpy()), dtype=object),
        DAYS.strftime("%Y-%m-%d %H:%M:%S"),
        DAYS.strftime("%Y-%m-%dT%H:%MZ"),
    ],
    ids=[
        "datetime64",
        "seconds",
        "nanoseconds",
        "UTC",
        "zone",
        "Timestamp",
        "datetime",
        "zoned objects",
        "numpy.datetime64",
        "text",
        "text with a zone",
    ],
)
def test_dates_become_days_and_the_cyclic_parts_that_vary(column):
    numbers = _numbers(_frame(column))
    days = DAY_0 + np.arange(N_ROWS) * 31 / 24
    np.testing.assert_allclose(numbers[:, 0], days, rtol=0, atol=1e-9)
    # The day of the year varies and the time, of which each is a point on a circle.
    assert numbers.shape == (N_ROWS, 1 + 2 * 3)
    np.testing.assert_array_equal(
        numbers[:, 1:],
        encode_parts(numbers[:, 0], ["time_of_day", "day_of_week", "day_of_year"]),
    )
    np.testing.assert_allclose(np.hypot(*numbers[:, 1:3].T), 1)


def test_dates_of_all_libraries_and_units_are_exactly_equal():
    moments = DAYS + pd.Timedelta("123456us")
    expected = _numbers(_frame(moments))
    for unit in ("us", "ns"):
        np.testing.assert_array_equal(_numbers(_frame(moments.as_unit(unit))), expected)
    text = moments.strftime("%Y-%m-%d %H:%M:%S.%f")
    objects = pd.Series(moments.to_pydatetime(), dtype=object)
    for column in (text, objects):
        np.testing.assert_array_equal(_numbers(_frame(column)), expected)
    array = moments.to_numpy()[:, None]
    np.testing.assert_array_equal(_numbers(array), expected)


def test_phases_are_those_of_the_calendar():
    dates = np.array(
        ["2024-01-01", "2024-07-01T06:00", "2024-12-31T18:00", "1969-12-29"],
        dtype="datetime64[m]",
    )
    days = days_of_array(dates)
    parts = encode_parts(days, ["time_of_day", "day_of_week", "day_of_year"])
    angles = np.arctan2(parts[:, ::2], parts[:, 1::2]) / (2 * np.pi) % 1
    np.testing.assert_allclose(
        angles,
        [
            [0, 0, 0],  # a Monday
            [0.25, 0, 182 / 366],
            [0.75, 1 / 7, 365 / 366],
            [0, 0, 362 / 365],
        ],
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("dates", "parts"),
    [
        (pd.date_range("2020-01-01", periods=30, freq="D"), ["day_of_week"]),
        (pd.date_range("2020-01-01", periods=5, freq="D"), []),
        (pd.date_range("2020-01-01", periods=90, freq="7D"), ["day_of_year"]),
        (pd.date_range("2020-01-01", periods=9, freq="YS"), ["day_of_week"]),
        (pd.date_range("2020-01-01", periods=40, freq="h"), ["time_of_day"]),
        (pd.date_range("2020-01-01", periods=10, freq="h"), []),
        (pd.DatetimeIndex(["2020-01-01"] * 9), []),
        (pd.DatetimeIndex([None] * 9), []),
    ],
    ids=["days", "a week", "weekly", "yearly", "hours", "morning", "constant", "NaT"],
)
def test_only_parts_that_vary_and_recur_are_added(dates, parts):
    assert list(cyclic_parts_of(days_of_array(dates.to_numpy()))) == parts
    encoded = TableEncoder().fit(_frame(dates)).transform(_frame(dates))
    assert np.isfinite(encoded).all()


def test_missing_dates_have_one_indicator_and_lie_in_the_middle():
    frame = _frame(pd.Series(DAYS).where(np.arange(N_ROWS) % 7 > 0))
    encoder = TableEncoder("scale").fit(frame)
    encoded = encoder.transform(frame)
    assert encoded.shape == (N_ROWS, 7 + 1)
    assert (encoded[::7, :7] == 0).all()
    np.testing.assert_array_equal(encoded[:, 7], np.arange(N_ROWS) % 7 == 0)
    for missing in (None, np.nan, pd.NaT):
        row = encoder.transform(_frame([missing]))
        np.testing.assert_array_equal(row, encoded[[0]])


def test_a_row_is_encoded_like_the_table():
    frame = pd.DataFrame({"when": DAYS, "text": DAYS.strftime("%d.%m.%Y"), "x": 1.0})
    encoder = TableEncoder().fit(frame)
    encoded = encoder.transform(frame)
    restored = pickle.loads(pickle.dumps(encoder))
    for row in (0, 17, N_ROWS - 1):
        for table in (frame.iloc[[row]], frame.iloc[[row]].astype(object)):
            np.testing.assert_array_equal(restored.transform(table), encoded[[row]])


def test_dates_beyond_nanoseconds_are_dates():
    objects = [datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31, 12), None]
    objects += [datetime.date(2020, 1, day) for day in range(1, 29)]
    column = pd.Series(objects, dtype=object)
    days = _numbers(_frame(column))[:, 0]
    assert days[:2].tolist() == [-719162.0, 2932896.5]
    assert np.isfinite(
        TableEncoder().fit(_frame(column)).transform(_frame(column))
    ).all()


def test_times_and_periods_and_durations():
    times = pd.Series([datetime.time(hour, 30) for hour in range(24)], dtype=object)
    numbers = _numbers(_frame(times))
    np.testing.assert_allclose(numbers[:, 0], (np.arange(24) + 0.5) / 24)
    assert numbers.shape == (24, 3)
    periods = pd.period_range("2020-01", periods=30, freq="M")
    starts = _numbers(_frame(periods.to_timestamp()))
    np.testing.assert_array_equal(_numbers(_frame(periods)), starts)
    hours = np.arange(24)
    for durations in (
        pd.to_timedelta(hours, unit="h"),
        pd.Series([timedelta(hours=int(h)) for h in hours], dtype=object),
        pd.Series([np.timedelta64(int(h), "h") for h in hours], dtype=object),
    ):
        frame = _frame(durations)
        encoder = TableEncoder().fit(frame)
        assert encoder.kinds_ == ["duration"]
        numbers, _ = encoder.reader_.read(frame)
        np.testing.assert_allclose(numbers, hours[:, None] / 24, rtol=1e-15)


# Text.


@pytest.mark.parametrize(
    "written",
    [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d-%m-%Y",
        "%d/%m/%y",
        "%d %b %Y",
        "%d-%B-%Y",
        "%B %d, %Y",
        "%a, %d %b %Y",
    ],
)
@pytest.mark.parametrize("time", ["", " %H:%M", "T%H:%M:%S", ", %I:%M %p"])
def test_dates_in_the_usual_forms_are_read(written, time):
    text = DAYS.strftime(written + time)
    days = _numbers(_frame(text))[:, 0]
    moments = DAYS if time else DAYS.normalize()
    np.testing.assert_allclose(days, days_of_array(moments.to_numpy()), rtol=1e-12)


def test_months_begin_on_their_first_day():
    months = pd.date_range("2015-01-01", periods=60, freq="MS")
    days = _numbers(_frame(months.strftime("%Y-%m")))[:, 0]
    np.testing.assert_array_equal(days, days_of_array(months.to_numpy()))


@pytest.mark.parametrize("zone", ["Z", "+00:00", "+05:30", "-0530", " UTC", "+01"])
def test_dates_with_a_time_zone_become_utc(zone):
    days = _numbers(_frame(DAYS.strftime("%Y-%m-%dT%H:%M:%S") + zone))[:, 0]
    hours = {"+05:30": 5.5, "-0530": -5.5, "+01": 1}.get(zone, 0)
    np.testing.assert_allclose(days, DAY_0 - hours / 24 + np.arange(N_ROWS) * 31 / 24)


@pytest.mark.parametrize(
    ("texts", "second"),
    [
        # Only one reading is possible for all; else more rows decide.
        ([f"{day}/1/2020" for day in range(1, 29)], 1),
        ([f"1/{day}/2020" for day in range(1, 29)], 1),
        # Both are: what is always the same is the day.
        ([f"1/{m}/{y}" for y in (2019, 2020) for m in range(1, 13)], 31),
        ([f"{m}/1/{y}" for y in (2019, 2020) for m in range(1, 13)], 31),
        ([f"{m}.{d}.2020" for d in range(1, 13) for m in range(1, 13)], 1),
        ([f"{d}/{m}/2020" for d in range(1, 13) for m in range(1, 13)], 1),
    ],
    ids=["days first", "months first", "firsts", "firsts too", "dots", "slashes"],
)
def test_each_column_decides_whether_the_day_is_first(texts, second):
    days = _numbers(_frame(texts))[:, 0]
    assert days[1] - days[0] == second


def test_impossible_dates_are_missing():
    text = [*DAYS.strftime("%Y-%m-%d %H:%M"), "2020-02-30", "2020-13-01"]
    text += ["2020-01-01 24:00", "2020-01-01 10:61", "2020-01-01 10:00Z", "soon"]
    days = _numbers(_frame(text))[:, 0]
    assert np.flatnonzero(np.isnan(days)).tolist() == list(range(300, 306))
    encoder = TableEncoder().fit(_frame(text))
    _, nan = encoder.transform(_frame([text[0], "soon"]))
    np.testing.assert_array_equal(nan, encoder.transform(_frame([None]))[0])


def test_text_of_both_kinds_stays_text():
    text = [*DAYS[:200].strftime("%Y-%m-%d"), *DAYS[200:].strftime("%Y-%m-%d %H:%MZ")]
    assert TableEncoder().fit(_frame(text)).kinds_ == ["categorical"]


def test_dates_among_text_are_read_as_their_text():
    objects = pd.Series([*DAYS[:-1], "unknown"], dtype=object)
    days = _numbers(_frame(objects))[:, 0]
    np.testing.assert_array_equal(days[:-1], _numbers(_frame(DAYS))[:-1, 0])
    assert np.isnan(days[-1])
    few = pd.Series([*DAYS[:3], "unknown"], dtype=object)
    assert TableEncoder().fit(_frame(few)).kinds_ == ["categorical"]


# What cannot be compared.


@pytest.mark.parametrize(
    "values",
    [
        [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=UTC)],
        [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=UTC)],
    ],
    ids=["datetimes", "date"],
)
def test_dates_with_and_without_a_time_zone_are_refused_together(values):
    column = pd.Series(values, dtype=object)
    with pytest.raises(
        ValueError,
        match=r"^Column 'when': dates with a time zone and dates without .*Give",
    ):
        TableEncoder().fit(_frame(column))


@pytest.mark.parametrize(
    "values",
    [
        [datetime.date(2020, 1, 1), 3.5],
        [datetime.date(2020, 1, 1), timedelta(1)],
        [timedelta(1), 1],
    ],
    ids=["date and number", "date and duration", "duration and number"],
)
def test_values_that_cannot_be_compared_are_refused(values):
    with pytest.raises(ValueError, match=r"Column 'when' holds .* cannot be compared"):
        TableEncoder().fit(_frame(pd.Series(values, dtype=object)))
    with pytest.raises(ValueError, match="times of day cannot be compared"):
        TableEncoder().fit(
            _frame(pd.Series([datetime.date.min, datetime.time.min], dtype=object))
        )


ZONE = timezone(timedelta(hours=1))
COLUMNS = {
    "numbers": pd.Series([1.0, 2.0]),
    "words": pd.Series(["a", "b"]),
    "dates": pd.Series(DAYS[:2]),
    "dates with a zone": pd.Series(DAYS[:2].tz_localize(ZONE)),
    "objects": pd.Series(DAYS[:2].to_pydatetime(), dtype=object),
    "times": pd.Series([datetime.time(1), datetime.time(2)], dtype=object),
    "durations": pd.to_timedelta(pd.Series([1, 2]), unit="D"),
    "categories": pd.Series(["a", "b"], dtype="category"),
}
PAIRS = [
    (one, other)
    for one in COLUMNS
    for other in COLUMNS
    if one != other
    and {one, other} not in ({"dates", "objects"}, {"words", "categories"})
    # A number or an object may be a category.
    and (one, other) not in {(a, b) for a in ("words", "categories") for b in COLUMNS}
]


@pytest.mark.parametrize(("fitted", "now"), PAIRS)
def test_a_column_that_holds_something_else_is_refused_by_name(fitted, now):
    encoder = TableEncoder().fit(_frame(COLUMNS[fitted]))
    with pytest.raises(ValueError, match=r"Column 'when' (held|was) .*in fit and must"):
        encoder.transform(_frame(COLUMNS[now]))


def test_iso_text_is_a_date_where_there_were_dates():
    encoder = TableEncoder().fit(_frame(DAYS))
    text = _frame(DAYS.strftime("%Y-%m-%d %H:%M"))
    np.testing.assert_array_equal(
        encoder.transform(text), encoder.transform(_frame(DAYS))
    )
    with pytest.raises(ValueError, match=r"held dates in fit .* '1/2/2020' is no date"):
        encoder.transform(_frame(["1/2/2020"]))


def test_passthrough_scales_dates_all_the_same():
    frame = pd.DataFrame({"x": np.arange(300.0) * 1e6, "when": DAYS})
    encoder = TableEncoder("passthrough").fit(frame)
    encoded = encoder.transform(frame)
    np.testing.assert_array_equal(encoded[:, 0], frame["x"])
    assert np.abs(encoded[:, 1:]).max() <= 3
    assert encoded[:, 1].std() > 0.3


def test_nothing_is_written_to():
    frame = pd.DataFrame({"when": DAYS, "text": DAYS.strftime("%d.%m.%Y")})
    before = frame.copy(deep=True)
    TableEncoder().fit(frame).transform(frame)
    pd.testing.assert_frame_equal(frame, before)
