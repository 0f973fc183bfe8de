import warnings

import numpy as np
import pandas as pd
import pytest

from sknas._table.encoder import TableEncoder

N_ROWS = 300


def _warning(table):
    """Fit an encoder; return the lines of its only warning, if any, and the encoder."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = TableEncoder().fit(table)
    assert len(caught) <= 1
    assert all(warning.category is UserWarning for warning in caught)
    return str(caught[0].message).splitlines() if caught else [], encoder


def _columns(table):
    """Return the lines about single columns, and the encoder."""
    lines, encoder = _warning(table)
    return [line for line in lines if line.startswith("- ")], encoder


def _follow(line, frame):
    """Run the line that a message says to write; return what becomes of the table."""
    namespace = {"X": frame.copy(), "pd": pd}
    exec(line.partition("Write ")[2], namespace)  # noqa: S102
    return namespace["X"]


def _numbers():
    return np.random.default_rng(0).integers(1000, 10**6, N_ROWS) / 4


DAYS = pd.date_range("2019-01-15", periods=N_ROWS, freq="3D")


def test_columns_read_as_numbers_or_dates_are_told_once_by_name():
    price = np.array([f"${x:,.2f}" for x in _numbers()], dtype=object)
    price[7::100] = "on request"
    frame = pd.DataFrame(
        {
            "price": price,
            "text": np.random.default_rng(0).choice(["a", "b"], N_ROWS),
            "when": DAYS.strftime("%Y-%m-%d"),
            "then": DAYS.strftime("%d/%m/%Y"),
            "weight": [f"{x:.2f}".replace(".", ",") for x in _numbers()],
            "id": [f"user-{i}" for i in range(N_ROWS)],
        }
    )
    lines, encoder = _warning(frame)
    told, names, odd, name = lines[0], lines[1:5], lines[5], lines[6:]
    assert told == (
        "4 text columns were read as numbers or dates. To keep the text as categories, "
        "write X[name] = X[name].astype('category') before fit."
    )
    lost = "3 values are missing that cannot be read, such as 'on request'"
    assert names == [
        f"- 'price': numbers; {lost}",
        "- 'when': dates",
        "- 'then': dates with the day first",
        "- 'weight': numbers with decimal commas",
    ]
    assert odd == (
        "A text column was encoded as categories, but may be something else. The dtype "
        "'category' ends this warning."
    )
    assert len(name) == 1
    assert name[0].startswith("- 'id': a text that differs in nearly every row (300 ")
    date, text = "date", "categorical"
    assert encoder.kinds_ == ["numeric", text, date, date, "numeric", text]


def test_the_remedy_prevents_the_reading():
    frame = pd.DataFrame({"a": [f"{x:.2f}" for x in _numbers()]})
    (line, _), encoder = _warning(frame)
    remedy = line.partition("write ")[2].removesuffix(" before fit.")
    namespace = {"X": frame.copy(), "name": "a"}
    exec(remedy, namespace)  # noqa: S102
    assert encoder.kinds_ == ["numeric"]
    lines, encoder = _warning(namespace["X"])
    assert (lines, encoder.kinds_) == ([], ["categorical"])


def test_an_identifier_is_told_with_the_line_that_leaves_it_out():
    frame = pd.DataFrame({"id": [f"user-{i}" for i in range(N_ROWS)], "x": _numbers()})
    (message,), _ = _columns(frame)
    assert "differs in nearly every row (300 different ones in 300 rows)" in message
    assert _follow(message, frame).columns.tolist() == ["x"]


@pytest.mark.parametrize("unit", ["kg", " km/h", "°C"])
def test_numbers_with_a_unit_are_told_with_the_line_that_takes_it_away(unit):
    frame = pd.DataFrame({"a": [f"{x:.2f}{unit}" for x in _numbers()]})
    (message,), encoder = _columns(frame)
    assert encoder.kinds_ == ["categorical"]
    assert message.startswith(f"- 'a': numbers with the unit {unit.strip()!r}. Write ")
    (message,), encoder = _columns(_follow(message, frame))
    assert (message, encoder.kinds_) == ("- 'a': numbers", ["numeric"])


def test_a_wide_table_names_no_more_than_ten_columns():
    text = [f"{x:.2f}" for x in _numbers()]
    lines, _ = _columns(pd.DataFrame({f"x{i}": text for i in range(30)}))
    assert len(lines) == 11
    assert lines[-1] == "- and 20 more such columns."


def test_columns_of_an_array_are_told_by_their_position():
    array = np.array([[str(x), "u"] for x in _numbers()], dtype=object)
    lines, _ = _warning(array)
    assert "write X = pd.DataFrame(X), then X[name] = X[name].astype(" in lines[0]
    assert lines[1:] == ["- 0: numbers"]


def test_columns_that_are_numbered_are_told_by_their_number():
    frame = pd.DataFrame([[str(x)] for x in _numbers()])
    assert _columns(frame)[0] == ["- 0: numbers"]


def test_a_fitted_encoder_does_not_keep_what_was_told():
    frame = pd.DataFrame({"a": [f"{x:.2f}" for x in _numbers()]})
    _, encoder = _warning(frame)
    assert encoder.reader_.readings_ == {}


def test_users_of_polars_are_told_what_polars_does():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {
            "price": [f"{x:.2f}" for x in _numbers()],
            "weight": [f"{x:.2f} kg" for x in _numbers()],
            "id": [f"user-{i}" for i in range(N_ROWS)],
        }
    )
    lines, encoder = _warning(frame)
    assert encoder.kinds_ == ["numeric", "categorical", "categorical"]
    namespace = {"X": frame, "pl": pl, "name": "price"}
    exec(lines[0].partition("write ")[2].removesuffix(" before fit."), namespace)  # noqa: S102
    for line in lines[3:]:
        exec(line.partition("Write ")[2], namespace)  # noqa: S102
    lines, encoder = _columns(namespace["X"])
    assert lines == ["- 'weight': numbers"]
    assert encoder.kinds_ == ["categorical", "numeric"]


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
        _choose([f"{i}a" for i in range(60)] + [f"{i}b" for i in range(60)]),
        _choose([f"10.0.{i}.1" for i in range(60)]),
        _choose([f"1.2.{i}" for i in range(60)]),
        _choose([f"{i}:{i:02d}" for i in range(24)]),
        _choose([f"{i}-{i + 9}" for i in range(60)]),
        pd.Categorical([f"{x}" for x in _numbers()]),
        pd.Categorical(DAYS.strftime("%Y-%m-%d")),
        pd.Categorical([f"user {i}" for i in range(N_ROWS)]),
        pd.Categorical(np.arange(N_ROWS)),
    ],
    ids=range(15),
)
def test_categories_raise_no_alarm(column):
    lines, encoder = _warning(pd.DataFrame({"a": column}))
    assert (lines, encoder.kinds_) == ([], ["categorical"])


def test_few_rows_raise_no_alarm():
    frame = pd.DataFrame({"name": [f"person {i}" for i in range(60)]})
    assert _warning(frame)[0] == []
