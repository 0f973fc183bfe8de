import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn

from sknas import NASMLPClassifier
from sknas._table.encoder import TableEncoder


def _frame(n_rows=400):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": generator.normal(size=n_rows),
            "color": generator.choice(["red", "blue"], n_rows),
            "when": pd.date_range("2020-01-01", periods=n_rows, freq="D"),
            "city": pd.Categorical([f"city {i % 80}" for i in range(n_rows)]),
            "flag": generator.random(n_rows) > 0.5,
        }
    )
    frame.loc[::9, ["age", "color", "when"]] = None
    return frame


PARTS = [
    f"when_day_of_{part}_{function}"
    for part in ("week", "year")
    for function in ("sin", "cos")
]


@pytest.mark.parametrize(("n_classes", "classes"), [(2, [1]), (3, [0, 1, 2])])
def test_every_encoded_column_has_a_name(n_classes, classes):
    frame = _frame()
    encoder = TableEncoder().fit(frame, np.arange(len(frame)) % n_classes)
    names = encoder.get_feature_names_out().tolist()
    numbers = ["age", "when", "flag", *PARTS]
    ramps = [f"age_ramp{i}" for i in range(8)] + [f"when_ramp{i}" for i in range(8)]
    assert names[: len(numbers) + len(ramps)] == [*numbers, *ramps]
    texts = ["color_blue", "color_red", "color_missing"]
    begin = names.index("age_missing")
    assert names[begin : begin + 5] == ["age_missing", "when_missing", *texts]
    targets = [f"city_target_{i}" for i in classes]
    assert names[-1 - len(targets) :] == ["city_infrequent", *targets]
    assert len(names) == len(set(names)) == encoder.n_features_out_
    assert sum(name.startswith("city_city ") for name in names) == 63


def test_names_say_what_is_in_the_columns():
    frame = _frame()
    encoder = TableEncoder("scale").fit(frame)
    encoded = pd.DataFrame(
        encoder.transform(frame), columns=encoder.get_feature_names_out()
    )
    np.testing.assert_array_equal(encoded["color_red"] == 1, frame["color"] == "red")
    np.testing.assert_array_equal(encoded["age_missing"] == 1, frame["age"].isna())
    np.testing.assert_array_equal(
        encoded["city_city 79"] == 1, frame["city"] == "city 79"
    )
    kept = [name for name in encoded if name.startswith("city_city ")]
    np.testing.assert_array_equal(
        encoded["city_infrequent"] == 1, encoded[kept].sum(axis=1) == 0
    )


def test_names_follow_the_view():
    encoder = TableEncoder().fit(_frame())
    names = encoder.get_feature_names_out()[encoder.views_["scale"]]
    encoder.restrict("scale")
    np.testing.assert_array_equal(encoder.get_feature_names_out(), names)
    assert not any("_ramp" in name for name in names)


def test_arrays_have_names_by_position():
    X = np.array([[1.0, "a"], [2.0, "b"], [None, None]], dtype=object)
    encoder = TableEncoder().fit(X)
    expected = ["x0", "x0_missing", "x1_a", "x1_b", "x1_missing"]
    assert encoder.get_feature_names_out().tolist() == expected
    given = encoder.get_feature_names_out(["u", "v"]).tolist()
    assert given == ["u", "u_missing", "v_a", "v_b", "v_missing"]
    with pytest.raises(ValueError, match="input_features should have length equal"):
        encoder.get_feature_names_out(["u"])


def test_equal_names_are_told_apart():
    X = pd.DataFrame({"a": ["missing", None], "a_missing": [1.0, 2.0]})
    names = TableEncoder().fit(X).get_feature_names_out().tolist()
    assert names == ["a_missing", "a_missing_2", "a_missing_3"]


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_gives_frames_with_these_names(container):
    library = pytest.importorskip(container)
    frame = _frame()
    y = np.arange(len(frame)) % 2
    plain = TableEncoder().fit(frame, y)
    encoder = TableEncoder().set_output(transform=container)
    fitted = encoder.fit_transform(frame, y)
    encoded = encoder.transform(frame[5:9])
    for result in (fitted, encoded):
        assert isinstance(result, library.DataFrame)
        assert list(result.columns) == plain.get_feature_names_out().tolist()
    np.testing.assert_array_equal(encoded.to_numpy(), plain.transform(frame[5:9]))
    if container == "pandas":
        assert encoded.index.tolist() == [5, 6, 7, 8]


def test_a_classifier_predicts_whatever_transformers_return(fast):
    frame = _frame()
    y = np.arange(len(frame)) % 2
    classifier = NASMLPClassifier(**fast).fit(frame, y)
    expected = classifier.predict_proba(frame)
    with sklearn.config_context(transform_output="pandas"):
        np.testing.assert_array_equal(classifier.predict_proba(frame), expected)
        other = NASMLPClassifier(**fast).fit(frame, y)
        np.testing.assert_array_equal(other.predict_proba(frame), expected)
    assert len(classifier.encoder_.get_feature_names_out()) == len(classifier.coefs_[0])


def test_the_encoder_of_a_plain_frame_knows_its_names(fast, binary_table):
    X, y = binary_table
    frame = pd.DataFrame(X, columns=list("abcdef"))
    classifier = NASMLPClassifier(**fast).fit(frame, y)
    assert classifier.encoder_.get_feature_names_out().tolist() == list("abcdef")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.encoder_.transform(frame)


def test_a_nullable_frame_of_numbers_is_encoded_alone():
    frame = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")})
    expected = TableEncoder().fit_transform(frame.astype(float).to_numpy())
    encoder = TableEncoder().set_output(transform="pandas")
    encoded = encoder.fit_transform(frame)
    np.testing.assert_array_equal(encoded, expected)
    assert encoded.columns.tolist() == ["a", "a_missing"]


def test_other_columns_are_refused():
    encoder = TableEncoder().fit(_frame())
    with pytest.raises(ValueError, match="must be in the same order"):
        encoder.transform(_frame()[["color", "age", "when", "city", "flag"]])
    with pytest.raises(ValueError, match="seen at fit time, yet now missing"):
        encoder.transform(_frame()[["color"]])
