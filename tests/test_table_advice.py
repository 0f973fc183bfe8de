import warnings

import numpy as np
import pandas as pd
import pytest

from sknas._table.encoder import TableEncoder

N_ROWS = 300


def _messages(table):
    """Fit an encoder; return the lines about single columns of all its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = TableEncoder().fit(table)
    assert len(caught) <= 1
    lines = str(caught[0].message).splitlines()[1:] if caught else []
    return lines, encoder


def _follow(line, frame):
    """Run the line that a message says to write; return what becomes of the table."""
    namespace = {"X": frame.copy(), "pd": pd}
    exec(line.partition("Write ")[2], namespace)  # noqa: S102
    return namespace["X"]


def _numbers():
    return np.random.default_rng(0).integers(1000, 10**6, N_ROWS) / 4


def _with_gaps(texts, gaps):
    texts = np.array(texts, dtype=object)
    texts[7::20] = gaps
    return texts


NUMERIC_TEXT = {
    "clean": [f"{x:.2f}" for x in _numbers()],
    "negative": [f"{-x:.2f}" for x in _numbers()],
    "exponents": [f"{x:.6e}" for x in _numbers()],
    "fractions": [f"{x:.8f}".lstrip("0") for x in _numbers() / 1e6],
    "question mark": _with_gaps([f"{x:.2f}" for x in _numbers()], "?"),
    "empty": _with_gaps([f"{x:.2f}" for x in _numbers()], ""),
    "N/A": _with_gaps([f"{x:.2f}" for x in _numbers()], "N/A"),
    "missing": _with_gaps([f"{x:.2f}" for x in _numbers()], None),
    "floats and text": _with_gaps(_numbers(), "unknown"),
    "dollars": [f"${x:,.2f}" for x in _numbers()],
    "commas": [f"{x:,.0f}" for x in _numbers()],
    "dollars and floats": [f"${x:,.2f}" if x > 1e5 else x for x in _numbers()],
    "percent": [f"{x:.2f} %" for x in _numbers()],
}


@pytest.mark.parametrize("name", NUMERIC_TEXT)
def test_numbers_as_text_are_told_with_the_line_that_mends_it(name):
    frame = pd.DataFrame({"a": NUMERIC_TEXT[name], "b": np.arange(N_ROWS)})
    (message,), encoder = _messages(frame)
    assert encoder.kinds_ == ["categorical", "numeric"]
    assert message.startswith("- 'a': ")
    mended = _follow(message, frame)
    lines, encoder = _messages(mended)
    assert lines == []
    assert encoder.kinds_ == ["numeric", "numeric"]
    # No number is lost, but for the gaps.
    n_gaps = len(range(7, N_ROWS, 20))
    assert mended["a"].isna().sum() in (0, n_gaps)
    expected = -_numbers() if name == "negative" else _numbers()
    expected = expected / 1e6 if name == "fractions" else expected
    present = mended["a"].notna()
    np.testing.assert_allclose(mended["a"][present], expected[present], 0.01)


DAYS = pd.date_range("2019-01-15", periods=N_ROWS, freq="3D")


@pytest.mark.parametrize(
    "written",
    [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M",
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d %b %Y",
        "%B %d, %Y",
    ],
)
def test_dates_as_text_are_told_with_the_line_that_makes_days_of_them(written):
    frame = pd.DataFrame({"when": DAYS.strftime(written)})
    (message,), _ = _messages(frame)
    assert message.startswith("- 'when': 300 different dates as text. Write X['when']")
    mended = _follow(message, frame)
    lines, encoder = _messages(mended)
    assert (lines, encoder.kinds_) == ([], ["numeric"])
    np.testing.assert_array_equal(np.diff(mended["when"]), 3)


@pytest.mark.parametrize("zone", ["Z", "+01:00", "-0530"])
def test_dates_with_a_time_zone_are_told_too(zone):
    frame = pd.DataFrame({"when": DAYS.strftime("%Y-%m-%dT12:00:00") + zone})
    (message,), _ = _messages(frame)
    mended = _follow(message, frame)
    np.testing.assert_allclose(np.diff(mended["when"]), 3)


def test_dates_with_gaps_are_told_too():
    frame = pd.DataFrame({"when": _with_gaps(DAYS.strftime("%Y-%m-%d"), "unknown")})
    (message,), _ = _messages(frame)
    assert "285 different dates as text with gaps ('unknown')" in message
    mended = _follow(message, frame)
    assert mended["when"].isna().sum() == 15
    assert _messages(mended)[0] == []


def test_an_identifier_is_told_with_the_line_that_leaves_it_out():
    frame = pd.DataFrame({"id": [f"user-{i}" for i in range(N_ROWS)], "x": _numbers()})
    (message,), _ = _messages(frame)
    assert "differs in nearly every row (300 different ones in 300 rows)" in message
    assert _follow(message, frame).columns.tolist() == ["x"]


def test_all_columns_are_told_in_one_warning():
    frame = pd.DataFrame(
        {
            "price": NUMERIC_TEXT["dollars"],
            "text": np.random.default_rng(0).choice(["a", "b"], N_ROWS),
            "when": DAYS.strftime("%Y-%m-%d"),
            "id": [f"user-{i}" for i in range(N_ROWS)],
        }
    )
    lines, _ = _messages(frame)
    assert [line.split(":")[0] for line in lines] == ["- 'price'", "- 'when'", "- 'id'"]
    wide = pd.DataFrame({f"x{i}": NUMERIC_TEXT["clean"] for i in range(30)})
    lines, _ = _messages(wide)
    assert len(lines) == 11
    assert lines[-1] == "- and 20 more such columns."


def test_columns_of_an_array_are_told_by_their_position():
    array = np.array([[str(x), "u"] for x in _numbers()], dtype=object)
    with pytest.warns(UserWarning, match=r"after X = pd\.DataFrame\(X\)") as caught:
        TableEncoder().fit(array)
    mended = _follow(str(caught[0].message), pd.DataFrame(array))
    assert _messages(mended)[0] == []


def _choose(texts):
    return np.random.default_rng(0).choice(texts, N_ROWS)


@pytest.mark.parametrize(
    "column",
    [
        _choose([f"word {i}" for i in range(80)]),
        _choose([f"{i}" for i in range(20)]),
        _choose(["2020-01-01", "2020-02-01", "2020-03-01"]),
        # Postcodes, and codes of which a few have letters.
        _choose([f"{i:05d}" for i in range(60)]),
        _choose([f"{i}.{i % 7}" for i in range(60)] + [f"V{i}" for i in range(6)]),
        _choose([f"A{i}" for i in range(60)]),
        _choose([f"10.0.{i}.1" for i in range(60)]),
        _choose([f"1.2.{i}" for i in range(60)]),
        _choose([f"{i}:{i:02d}" for i in range(24)]),
        _choose([f"{i}-{i + 9}" for i in range(60)]),
        pd.Categorical([f"{x}" for x in _numbers()]),
        pd.Categorical(DAYS.strftime("%Y-%m-%d")),
        pd.Categorical([f"user {i}" for i in range(N_ROWS)]),
        pd.Categorical(np.arange(N_ROWS)),
    ],
    ids=range(14),
)
def test_categories_raise_no_alarm(column):
    assert _messages(pd.DataFrame({"a": column}))[0] == []


def test_few_rows_raise_no_alarm():
    frame = pd.DataFrame({"name": [f"person {i}" for i in range(60)]})
    assert _messages(frame)[0] == []
