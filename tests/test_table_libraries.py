"""Tables of pandas' extension types and of polars are those of plain pandas."""

import datetime
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from sknas import NASMLPClassifier
from sknas._table.encoder import TableEncoder

N_ROWS = 120


@pytest.fixture(autouse=True)
def _reports_are_ignored():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*text columns? w", UserWarning)
        yield


def _columns():
    """Return lists of Python's own values, with missing ones in all of them."""
    generator = np.random.default_rng(0)
    start = datetime.datetime(2020, 1, 31, 6, 30)
    moments = [start + i * datetime.timedelta(hours=101) for i in range(N_ROWS)]
    columns = {
        "integer": generator.integers(-9, 9, N_ROWS).tolist(),
        "float": generator.normal(size=N_ROWS).tolist(),
        "flag": (generator.random(N_ROWS) > 0.5).tolist(),
        "decimal": [Decimal(f"{i / 4:.2f}") for i in range(N_ROWS)],
        "color": generator.choice(["red", "green", "blue"], N_ROWS).tolist(),
        "price": [f"$ {i},{100 + i}.50" for i in range(1, N_ROWS + 1)],
        "moment": moments,
        "day": [moment.date() for moment in moments],
        "clock": [moment.time() for moment in moments],
        "lasted": [moment - start for moment in moments],
        "written": [f"{moment:%d.%m.%Y}" for moment in moments],
        "code": [f"{i:03d}" for i in range(N_ROWS)],
    }
    for position, values in enumerate(columns.values()):
        values[position::19] = [None] * len(values[position::19])
    return columns


KINDS = ["numeric"] * 4 + ["categorical", "numeric", "date", "date", "date"]
KINDS += ["duration", "date", "categorical"]


def _plain():
    """Return a frame of numpy's dtypes, with objects for the rest."""
    dtypes = {"integer": float, "float": float, "code": "category"}
    dtypes |= {"moment": "datetime64[ns]", "lasted": "timedelta64[ns]"}
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=dtypes.get(name, object))
            for name, values in _columns().items()
        }
    )


def _nullable():
    dtypes = {"integer": "Int64", "float": "Float64", "flag": "boolean"}
    dtypes |= {"color": "string", "price": "string", "written": "string"}
    return _plain().astype(dtypes)


def _arrow():
    pa = pytest.importorskip("pyarrow")
    types = {
        "integer": pa.int64(),
        "float": pa.float64(),
        "flag": pa.bool_(),
        "decimal": pa.decimal128(9, 2),
        "color": pa.string(),
        "price": pa.large_string(),
        "moment": pa.timestamp("us"),
        "day": pa.date32(),
        "clock": pa.time64("us"),
        "lasted": pa.duration("us"),
        "written": pa.string(),
        "code": pa.dictionary(pa.int32(), pa.string()),
    }
    columns = _columns()
    arrays = {
        name: pa.array(columns[name], types[name])
        if name != "code"
        else pa.array(columns[name]).dictionary_encode()
        for name in columns
    }
    return pa.table(arrays).to_pandas(types_mapper=pd.ArrowDtype)


def _polars():
    pl = pytest.importorskip("polars")
    return pl.DataFrame(_columns()).with_columns(pl.col("code").cast(pl.Categorical))


@pytest.mark.parametrize("make", [_nullable, _arrow, _polars])
def test_every_library_is_encoded_like_plain_pandas(make):
    y = np.arange(N_ROWS) % 2
    plain, other = _plain(), make()
    encoder = TableEncoder().fit(plain, y)
    assert encoder.kinds_ == KINDS
    expected = encoder.transform(plain)
    fitted = TableEncoder().fit(other, y)
    assert fitted.kinds_ == KINDS
    assert fitted.feature_names_in_.tolist() == list(plain.columns)
    np.testing.assert_array_equal(fitted.transform(other), expected)
    # Fitted to one, and asked with the other, a row at a time too.
    np.testing.assert_array_equal(encoder.transform(other), expected)
    np.testing.assert_array_equal(fitted.transform(plain), expected)
    for row in (0, 5, 38):
        one = other[row : row + 1]
        np.testing.assert_array_equal(encoder.transform(one), expected[[row]])
    missing = encoder.get_feature_names_out().tolist()
    assert {f"{name}_missing" for name in plain.columns} <= set(missing)


def test_time_zones_of_every_library_become_utc():
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    moments = pd.Series(pd.date_range("2020-01-01", periods=90, freq="55h", tz="UTC"))
    berlin = moments.dt.tz_convert("Europe/Berlin")
    arrow = berlin.astype(pd.ArrowDtype(pa.timestamp("us", tz="Europe/Berlin")))
    polars = pl.Series("when", moments.dt.tz_convert(None).to_numpy())
    polars = polars.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    encoder = TableEncoder().fit(pd.DataFrame({"when": moments}))
    expected = encoder.transform(pd.DataFrame({"when": moments}))
    for table in (
        pd.DataFrame({"when": berlin}),
        pd.DataFrame({"when": arrow}),
        pl.DataFrame({"when": polars}),
    ):
        np.testing.assert_array_equal(encoder.transform(table), expected)
        fitted = TableEncoder().fit(table)
        np.testing.assert_array_equal(fitted.transform(table), expected)
    naive = pl.DataFrame({"when": polars.dt.replace_time_zone(None)})
    with pytest.raises(ValueError, match="Column 'when' held dates in fit and must"):
        encoder.transform(naive)


@pytest.mark.parametrize("n_missing", [0, N_ROWS])
def test_columns_of_polars_without_missing_and_without_present_values(n_missing):
    pl = pytest.importorskip("polars")
    dtypes = (pl.Int8, pl.Float32, pl.Boolean, pl.String, pl.Date, pl.Duration, pl.Null)
    columns = {}
    for dtype in dtypes:
        name, values = str(dtype), [1] * N_ROWS
        if n_missing or dtype == pl.Null:
            columns[name] = pl.Series([None] * N_ROWS, dtype=dtype)
        else:
            columns[name] = pl.Series(values).cast(dtype)
    columns["Enum"] = pl.Series(["a"] * N_ROWS, dtype=pl.Enum(["a", "b"]))
    frame = pl.DataFrame(columns)
    encoder = TableEncoder().fit(frame)
    text, date, duration = "categorical", "date", "duration"
    expected = ["numeric"] * 3 + [text, date, duration, "numeric", text]
    assert encoder.kinds_ == expected
    assert np.isfinite(encoder.transform(frame)).all()


@pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}, {"a": 2}]])
def test_nested_columns_of_polars_are_refused_by_name(values):
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"Column 'odd' holds .* must be a string or"):
        TableEncoder().fit(pl.DataFrame({"odd": values}))


def test_infinity_in_polars_is_refused():
    pl = pytest.importorskip("polars")
    with pytest.raises(ValueError, match="X contains infinity"):
        TableEncoder().fit(pl.DataFrame({"x": [1.0, np.inf]}))


# The estimator.


def test_a_classifier_takes_polars(fast):
    pl = pytest.importorskip("polars")
    y = np.arange(N_ROWS) % 2
    labels = pl.Series(["no", "yes"]).gather(y)
    frame, plain = _polars(), _plain()
    classifier = NASMLPClassifier(**fast).fit(frame, labels)
    assert classifier.feature_names_in_.tolist() == frame.columns
    assert classifier.classes_.tolist() == ["no", "yes"]
    expected = NASMLPClassifier(**fast).fit(plain, y).predict_proba(plain)
    np.testing.assert_array_equal(classifier.predict_proba(frame), expected)
    np.testing.assert_array_equal(classifier.predict_proba(plain), expected)
    np.testing.assert_allclose(classifier.predict_proba(frame[3:4]), expected[[3]])
    with pytest.raises(ValueError, match="must be in the same order"):
        classifier.predict(frame[frame.columns[::-1]])
    with pytest.raises(ValueError, match=r"LazyFrame of polars. Give X.collect\(\)"):
        classifier.predict(frame.lazy())
    for empty in (frame[:0], frame.select()):
        with pytest.raises(ValueError, match=r"0 (sample|feature)\(s\)"):
            NASMLPClassifier(**fast).fit(empty, y[: len(empty)])


def test_a_scorer_sees_polars_and_a_series_is_no_table(fast):
    pl = pytest.importorskip("polars")
    frame = _polars()
    seen = set()

    def scoring(estimator, X, y):
        seen.add(type(X))
        return (estimator.predict(X) == y).mean()

    y = np.arange(N_ROWS) % 2
    NASMLPClassifier(**fast, scoring=scoring).fit(frame, y)
    assert seen == {pl.DataFrame}
    with pytest.raises(ValueError, match=r"2D array|2-dimensional"):
        NASMLPClassifier(**fast).fit(frame["integer"], y)


def test_numbers_of_polars_are_those_of_an_array(fast, binary_table):
    pl = pytest.importorskip("polars")
    X, y = binary_table
    frame = pl.DataFrame(X, schema=list("abcdef"))
    expected = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    classifier = NASMLPClassifier(**fast).fit(frame, y)
    np.testing.assert_array_equal(classifier.predict_proba(frame), expected)


def test_polars_is_not_imported(run_python):
    program = """
import sys
import numpy as np, pandas as pd
from sknas._table.encoder import TableEncoder
X = pd.DataFrame({"a": ["x", "y"], "b": pd.to_datetime(["2020-01-01", None])})
TableEncoder().fit_transform(X)
print("polars" in sys.modules)
"""
    assert run_python(program) == "False\n"
