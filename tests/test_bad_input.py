"""Every row of the table of bad input in issue 2."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sknas import Architecture, NASMLPClassifier, ReinforceStrategy
from sknas._engine import trainer as _trainer
from sknas._sklearn import InvalidParameterError


@pytest.fixture
def _nothing_is_trained(monkeypatch):
    """Make it an error to train anything."""

    def train_stack(*_):
        pytest.fail("a child was trained")

    monkeypatch.setattr(_trainer, "train_stack", train_stack)


# Parameters.


class _HalfAStrategy:
    def setup(self, space, random_state):
        pass

    def tell(self, architectures, rewards):
        pass


INVALID = [
    ("layer_widths", 8),
    ("layer_widths", ()),
    ("layer_widths", (8, 0)),
    ("layer_widths", (8, 8)),
    ("layer_widths", (8.5,)),
    ("layer_widths", ("8",)),
    ("activations", "relu"),
    ("activations", ()),
    ("activations", ("relu", "softplus")),
    ("activations", ("relu", "relu")),
    ("activations", ("sigmoid", "logistic")),
    ("max_layers", 1),
    ("max_layers", 3.0),
    ("dropout", 1),
    ("dropout", -0.1),
    ("skip", "yes"),
    ("first_architecture", ((8, "relu"), "skip")),
    ("search_strategy", "annealing"),
    ("search_strategy", _HalfAStrategy()),
    ("n_rounds", 0),
    ("n_architectures", 0),
    ("search_epochs", 0),
    ("search_n_iter_no_change", 0),
    ("n_finalists", -1),
    ("n_ensemble", 0),
    ("n_splits", 0),
    ("n_splits", "many"),
    ("encoding", "none"),
    ("max_time", 0),
    ("epoch_fractions", ()),
    ("epoch_fractions", (0.5, 0)),
    ("epoch_fractions", (2.0,)),
    ("max_time", "1 h"),
    ("first_architecture", "best"),
    ("first_architecture", 3),
    ("first_architecture", ()),
    ("first_architecture", ("dropout", (8, "relu"))),
    ("first_architecture", ((8, "softplus"),)),
    ("first_architecture", Architecture((9, "relu"))),
    ("first_architecture", Architecture(*[(8, "relu")] * 99)),
    ("max_parameters", 0),
    ("max_parameters", 1000.0),
    ("objectives", "score"),
    ("objectives", ("n_parameters", "score")),
    ("objectives", ("score", "score")),
    ("objectives", ("score", "speed")),
    ("select", "worst"),
    ("weight_sharing", "yes"),
    ("solver", "newton"),
    ("alpha", -1),
    ("learning_rate", "linear"),
    ("learning_rate_init", 0),
    ("batch_size", 0),
    ("batch_size", "all"),
    ("label_smoothing", 1),
    ("class_weight", "auto"),
    ("max_iter", 0),
    ("validation_fraction", 0),
    ("validation_fraction", 1),
    ("n_iter_no_change", 0),
    ("refit", "no"),
    ("scoring", 3),
    ("device", 3),
    ("n_jobs", 1.5),
    ("random_state", "seed"),
    ("verbose", "loud"),
    ("warm_start", "yes"),
]


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize(
    ("name", "value"),
    INVALID,
    ids=[f"{name}-{position}" for position, (name, _) in enumerate(INVALID)],
)
def test_an_invalid_parameter_is_named_with_its_rule_and_value(
    name, value, fast, binary_table
):
    classifier = NASMLPClassifier(**{**fast, name: value})
    with pytest.raises(
        InvalidParameterError, match=rf"'{name}' parameter of .* must be .* Got"
    ) as info:
        classifier.fit(*binary_table)
    assert repr(value) in str(info.value) or str(value) in str(info.value)
    assert isinstance(info.value, ValueError)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_an_invalid_parameter_of_the_strategy_is_named(fast, binary_table):
    fast["search_strategy"] = ReinforceStrategy(entropy=-1)
    with pytest.raises(
        InvalidParameterError, match=r"'entropy' parameter of ReinforceStrategy .* -1"
    ):
        NASMLPClassifier(**fast).fit(*binary_table)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_splits_that_would_share_rows_are_refused(fast, binary_table):
    fast.update(n_splits=3, validation_fraction=0.5)
    with pytest.raises(
        ValueError, match=r"'n_splits' .* at most 1 / validation_fraction.*: 2 for .*=0"
    ):
        NASMLPClassifier(**fast).fit(*binary_table)


def test_every_parameter_is_tried():
    untried = set(NASMLPClassifier().get_params()) - {name for name, _ in INVALID}
    assert untried == set()


@pytest.mark.usefixtures("_nothing_is_trained")
def test_no_processes_is_not_a_number_of_processes(fast, binary_table):
    with pytest.raises(ValueError, match="n_jobs"):
        NASMLPClassifier(**fast, n_jobs=0).fit(*binary_table)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_dropout_outside_the_space_is_explained(fast, binary_table):
    classifier = NASMLPClassifier(
        **fast, dropout=0, first_architecture=[(8, "relu"), "dropout"]
    )
    with pytest.raises(ValueError, match="'dropout' only if dropout > 0"):
        classifier.fit(*binary_table)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_cuda_without_cuda_says_what_to_write_instead(fast, binary_table, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    classifier = NASMLPClassifier(**fast, device="cuda")
    with pytest.raises(ValueError, match=r"finds none here. Write device='auto'"):
        classifier.fit(*binary_table)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_an_unknown_scorer_is_refused_in_scikit_learns_words(fast, binary_table):
    with pytest.raises(ValueError, match="'nonsense' is not a valid scoring value"):
        NASMLPClassifier(**fast, scoring="nonsense").fit(*binary_table)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_a_scorer_that_does_not_fit_the_target_is_refused(fast, three_class_table):
    classifier = NASMLPClassifier(**fast, scoring="roc_auc")
    with pytest.raises(ValueError, match=r"scoring='roc_auc' cannot be computed"):
        classifier.fit(*three_class_table)


# Tables and targets.


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize(
    "make",
    [
        lambda X: X,
        lambda X: X.astype(np.float32),
        lambda X: X.tolist(),
        pd.DataFrame,
        sparse.csr_array,
        lambda X: X.astype(object),
        lambda X: pd.DataFrame(X).assign(text="a"),
    ],
    ids=["array", "float32", "list", "frame", "sparse", "object", "mixed"],
)
def test_infinity_in_x_is_refused(make, fast, binary_table):
    X, y = binary_table
    X = X.copy()
    X[3, 1] = np.inf
    table = make(X)
    if isinstance(table, pd.DataFrame):
        table.columns = table.columns.astype(str)
    with pytest.raises(ValueError, match="contains infinity"):
        NASMLPClassifier(**fast).fit(table, y)


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(np.arange(90) == 3, np.nan, 1.0), "Input y contains NaN"),
        (np.linspace(0, 1, 90), "Unknown label type: continuous"),
        (np.arange(180).reshape(90, 2), "y of .*.fit must have one label"),
        (np.zeros(89, dtype=int), "inconsistent numbers of samples"),
        (None, "requires y to be passed, but the target y is None"),
    ],
    ids=["NaN", "continuous", "two columns", "short", "None"],
)
def test_a_target_that_is_no_classification_is_refused(y, message, fast, binary_table):
    with pytest.raises(ValueError, match=message):
        NASMLPClassifier(**fast).fit(binary_table[0], y)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_a_missing_label_is_refused_as_scikit_learn_does(fast, binary_table):
    y = np.array(["a", None] * 45, dtype=object)
    with pytest.raises((TypeError, ValueError), match="None"):
        NASMLPClassifier(**fast).fit(binary_table[0], y)


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 3)), r"0 sample\(s\)"),
        (np.empty((5, 0)), r"0 feature\(s\)"),
        (np.empty((0, 3), dtype=object), r"0 sample\(s\)"),
        (np.empty((5, 0), dtype=object), r"0 feature\(s\)"),
        (pd.DataFrame({"a": pd.Series([], dtype="string")}), r"0 sample\(s\)"),
        (pd.DataFrame(index=range(5)), r"0 feature\(s\)|at least one array"),
        (np.arange(5.0), "Expected 2D array, got 1D array"),
        (np.array(["a", "b"]), "Expected 2D array, got 1D array"),
        (pd.Series([1.0, 2.0], name="a"), "Expected a 2-dimensional container"),
        (np.zeros((2, 2, 2)), "dim 3|3 dim"),
        (np.ones((2, 2), dtype=complex), "Complex data not supported"),
    ],
    ids=[
        "no rows",
        "no columns",
        "no rows of objects",
        "no columns of objects",
        "no rows in frame",
        "no columns in frame",
        "one dimension",
        "one dimension of text",
        "series",
        "three dimensions",
        "complex",
    ],
)
def test_what_is_no_table_is_refused(X, message, fast):
    with pytest.raises(ValueError, match=message):
        NASMLPClassifier(**fast).fit(X, np.zeros(X.shape[0], dtype=int))


@pytest.mark.usefixtures("_nothing_is_trained")
def test_dates_of_which_some_have_a_time_zone_are_refused(fast):
    dates = pd.Series(pd.date_range("2020", periods=8), dtype=object)
    dates[3] = dates[3].tz_localize("UTC")
    frame = pd.DataFrame({"x": range(8), "when": dates})
    with pytest.raises(ValueError, match="Column 'when': dates with a time zone and d"):
        NASMLPClassifier(**fast).fit(frame, [0, 1] * 4)
    with pytest.raises(ValueError, match="Column 1: dates with a time zone and dates"):
        NASMLPClassifier(**fast).fit(frame.to_numpy(dtype=object), [0, 1] * 4)


# Odd, but fitted.


def _fit_silently(classifier, X, y):
    """Fit and predict; a warning is an error."""
    classifier.fit(X, y)
    probabilities = classifier.predict_proba(X)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(classifier.predict(X)) <= set(y)
    return probabilities


@pytest.mark.parametrize("n_finalists", [0, 2])
def test_one_class_gives_one_column(n_finalists, fast, binary_table):
    X, _ = binary_table
    classifier = NASMLPClassifier(**{**fast, "n_finalists": n_finalists})
    probabilities = _fit_silently(classifier, X, np.array(["only"] * 90))
    np.testing.assert_array_equal(probabilities, np.ones((90, 1)))
    assert classifier.predict(X).tolist() == ["only"] * 90
    assert (classifier.n_outputs_, classifier.classes_.tolist()) == (1, ["only"])


def test_one_row_fits_with_a_warning(fast):
    X = np.array([[1.0, 2.0, np.nan]])
    classifier = NASMLPClassifier(**fast)
    with pytest.warns(UserWarning, match="X has one row"):
        classifier.fit(X, ["a"])
    assert classifier.predict(np.zeros((3, 3))).tolist() == ["a"] * 3
    with pytest.warns(UserWarning, match="X has one row"):
        NASMLPClassifier(**fast).fit(pd.DataFrame({"x": ["text"]}), [1])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_with_one_member_fits_with_a_warning(n_classes, fast, binary_table):
    X, _ = binary_table
    y = np.arange(90) % (n_classes - 1)
    y[0] = n_classes - 1
    classifier = NASMLPClassifier(**fast)
    with pytest.warns(UserWarning, match=r"cannot be stratified: 1 class\(es\)"):
        classifier.fit(X, y)
    assert classifier.predict_proba(X).shape == (90, n_classes)


def test_as_many_classes_as_rows_fit_with_a_warning(fast):
    X = np.arange(10.0).reshape(5, 2)
    classifier = NASMLPClassifier(**fast)
    with pytest.warns(UserWarning, match="cannot be stratified"):
        classifier.fit(X, list("abcde"))
    assert classifier.predict_proba(X).shape == (5, 5)


@pytest.mark.parametrize("n_rows", [4, 7])
def test_a_handful_of_rows_is_enough(n_rows, fast):
    X = np.arange(2.0 * n_rows).reshape(n_rows, 2)
    _fit_silently(NASMLPClassifier(**fast), X, np.arange(n_rows) % 2)


@pytest.mark.parametrize(
    "column",
    [
        np.full(90, 7.0),
        np.full(90, 0.0),
        np.full(90, np.nan),
        np.where(np.arange(90) < 2, 1e30, 0.0),
        np.where(np.arange(90) % 2, 1e30, -1e30),
        np.where(np.arange(90) % 3, np.nan, 1e30),
        np.full(90, 1e30),
        np.linspace(1e-320, 1e-300, 90),
    ],
    ids=[
        "constant",
        "zero",
        "all missing",
        "huge outliers",
        "huge",
        "huge or missing",
        "huge constant",
        "subnormal",
    ],
)
def test_a_degenerate_column_is_harmless(column, fast, binary_table):
    X, y = binary_table
    _fit_silently(NASMLPClassifier(**fast), np.column_stack([X, column]), y)
    _fit_silently(NASMLPClassifier(**fast), column[:, None], y)


@pytest.mark.parametrize("dtype", [object, "string", "category", "Int64", "boolean"])
def test_an_all_missing_column_of_any_dtype_is_harmless(dtype, fast, binary_table):
    X, y = binary_table
    frame = pd.DataFrame(X, columns=list("abcdef"))
    _fit_silently(
        NASMLPClassifier(**fast),
        frame.assign(empty=pd.Series([None] * 90, dtype=dtype)),
        y,
    )


def test_duplicate_columns_are_harmless(fast, binary_table):
    X, y = binary_table
    _fit_silently(NASMLPClassifier(**fast), np.hstack([X, X]), y)
    frame = pd.DataFrame({"a": X[:, 0], "b": ["x", "y"] * 45})
    twice = frame.assign(c=frame["a"], d=frame["b"])
    _fit_silently(NASMLPClassifier(**fast), twice, y)


def test_dates_are_numbers(fast):
    frame = pd.DataFrame({"x": range(90), "when": pd.date_range("2020", periods=90)})
    y = np.arange(90) % 2
    _fit_silently(NASMLPClassifier(**fast), frame, y)
    array = frame[["when"]].to_numpy()
    classifier = NASMLPClassifier(**fast)
    probabilities = _fit_silently(classifier, array, y)
    # Ordinal, sine and cosine of the day of the week.
    assert classifier.encoder_.n_features_out_ == 3
    np.testing.assert_allclose(classifier.predict_proba(array[[7]]), probabilities[[7]])


# Children that fail.


@pytest.mark.usefixtures("one_by_one")
def test_a_child_whose_loss_is_not_finite_is_recorded_as_failed(
    fast, three_class_table, monkeypatch
):
    X, y = three_class_table
    original, calls = _trainer.train_stack, []

    def train_stack(data, jobs, settings, *arguments):
        calls.append(jobs)
        if len(calls) == 2:
            data = replace(data, X=data.X * np.float32(np.nan))
        return original(data, jobs, settings, *arguments)

    monkeypatch.setattr(_trainer, "train_stack", train_stack)
    classifier = NASMLPClassifier(**fast).fit(X, y)
    results = classifier.search_results_
    assert results["status"].tolist() == ["trained", "failed", "trained", "trained"]
    assert np.isnan(results["score"]).tolist() == [False, True, False, False]
    # Told the worst reward there was in the first round, or that of a guess.
    guess = (y == np.bincount(y).argmax()).mean() + 0.5 * np.log(1 / 3)
    assert results["reward"][1] <= min(results["reward"][:2].min(), guess + 0.05)
    assert results["rank_score"][1] == 4
    assert classifier.best_index_ != 1


def test_if_every_child_fails_the_error_says_why(fast, three_class_table):
    classifier = NASMLPClassifier(**fast, learning_rate_init=1e30)
    with pytest.raises(
        ValueError,
        match=r"All 4 children .* NaN or infinite, decrease learning_rate_init",
    ):
        classifier.fit(*three_class_table)


def test_if_the_refit_fails_the_finalist_is_kept_with_a_warning(
    fast, three_class_table, monkeypatch
):
    X, y = three_class_table
    original = _trainer.train_stack

    def train_stack(data, *arguments):
        if data.X_validation is None:
            data = replace(data, X=data.X * np.float32(np.nan))
        return original(data, *arguments)

    monkeypatch.setattr(_trainer, "train_stack", train_stack)
    classifier = NASMLPClassifier(**fast)
    with pytest.warns(UserWarning, match=r"of the refit failed \(a loss"):
        classifier.fit(X, y)
    assert np.isfinite(classifier.predict_proba(X)).all()
    assert math.isfinite(classifier.loss_)


# At predict time.


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_an_unfitted_estimator_says_so(method, binary_table):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(NASMLPClassifier(), method)(binary_table[0])


def test_other_columns_are_refused_in_scikit_learns_words(fast, mixed_frame):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast).fit(X, y)
    with pytest.raises(ValueError, match="Feature names unseen at fit time"):
        classifier.predict(X.rename(columns={"text": "other"}))
    with pytest.raises(ValueError, match="must be in the same order"):
        classifier.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="seen at fit time, yet now missing"):
        classifier.predict(X.drop(columns="number"))
    with (
        pytest.warns(UserWarning, match="does not have valid feature names"),
        pytest.raises(ValueError, match="X has 3 features"),
    ):
        classifier.predict(X.to_numpy(dtype=object)[:, :3])


def test_another_number_of_columns_is_refused(fast, binary_table):
    X, y = binary_table
    classifier = NASMLPClassifier(**fast).fit(X, y)
    for table in (X[:, :3], sparse.csr_array(X[:, :3]), X[:, :3].tolist()):
        with pytest.raises(ValueError, match="X has 3 features, but NASMLPClassifier"):
            classifier.predict(table)


def test_a_numeric_column_turned_to_text_is_refused_by_name(fast, mixed_frame):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast).fit(X, y)
    with pytest.raises(ValueError, match="Column 'number' was numeric in fit"):
        classifier.predict(X.assign(number="seven"))
    plain = NASMLPClassifier(**fast).fit(X[["number", "count"]], y)
    with pytest.raises(ValueError, match="Column 'count' was numeric in fit"):
        plain.predict(X[["number", "count"]].assign(count="seven"))


def test_other_dtypes_with_the_same_values_predict_the_same(fast, mixed_frame):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast).fit(X, y)
    expected = classifier.predict_proba(X)
    changed = X.astype(
        {
            "count": "float64",
            "flag": "int64",
            "nullable_count": "float64",
            "category": object,
            "text": "category",
            "object": "string",
        }
    )
    np.testing.assert_array_equal(classifier.predict_proba(changed), expected)


def test_infinity_and_dates_are_refused_at_predict_time_too(fast, mixed_frame):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast).fit(X, y)
    with pytest.raises(ValueError, match="contains infinity"):
        classifier.predict(X.assign(number=np.inf))
    dates = pd.Series(pd.date_range("2020", periods=len(X)), index=X.index)
    with pytest.raises(ValueError, match="Column 'number' was numeric in fit"):
        classifier.predict(X.assign(number=dates))


def test_a_date_turned_to_a_number_is_refused_by_name(fast):
    frame = pd.DataFrame({"x": range(9), "when": pd.date_range("2020", periods=9)})
    y = np.arange(9) % 2
    for columns in (["when"], ["x", "when"]):
        classifier = NASMLPClassifier(**fast).fit(frame[columns], y)
        numbers = frame[columns].assign(when=1.0)
        with pytest.raises(ValueError, match="Column 'when' held dates in fit and mus"):
            classifier.predict(numbers)


def test_missing_values_that_fit_has_not_seen_are_silent(fast, mixed_frame):
    X, y = mixed_frame
    complete = X.dropna()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = NASMLPClassifier(**fast).fit(complete, y[complete.index])
        assert np.isfinite(classifier.predict_proba(X)).all()
