import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning

from sknas import NASMLPClassifier
from sknas._tasks.classification import Classification
from sknas._tasks.splits import SplitSettings

ESTIMATOR = NASMLPClassifier()


def _task(y, X=None):
    X = np.zeros((len(y), 1)) if X is None else X
    return Classification.from_target(ESTIMATOR, X, y)


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (pd.Series([3, 1, 3], dtype="Int64"), "i"),
        (pd.Series([3, 1, 3], dtype="UInt8"), "u"),
        (pd.Series([True, False, True], dtype="boolean"), "b"),
        (pd.Series(["b", "a", "b"], dtype="string"), "O"),
        (pd.Series(["b", "a", "b"]).astype("category"), "O"),
        (pd.array([3, 1, 3], dtype="Int64"), "i"),
        (pd.Categorical([3, 1, 3]), "i"),
        (pd.Index([3, 1, 3]), "i"),
        (np.array([3, 1, 3]), "i"),
        (np.array([3.0, 1.0, 3.0]), "f"),
        (["b", "a", "b"], "U"),
    ],
    ids=repr,
)
def test_labels_keep_their_kind(y, kind):
    task = _task(y)
    assert task.classes.dtype.kind == kind
    assert task.classes.tolist() == sorted(set(np.asarray(y).tolist()))
    assert task.y.tolist() == [1, 0, 1]
    assert task.y.dtype == np.int64
    assert task.n_rows == 3
    assert task.attributes() == {"classes_": task.classes, "sparse_output_": False}


def test_nullable_labels_are_predicted_as_they_were(fast, three_class_table):
    X, y = three_class_table
    labels = pd.Series(y + 10, dtype="Int64")
    classifier = NASMLPClassifier(**fast).fit(X, labels)
    assert classifier.classes_.tolist() == [10, 11, 12]
    assert classifier.classes_.dtype == np.int64
    assert classifier.predict(X).dtype == np.int64


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([1, 0, None, 1], dtype="Int64"),
        pd.Series([True, False, None, True], dtype="boolean"),
        pd.Series(["a", "b", None, "a"], dtype="string"),
        pd.Series(["a", "b", None, "a"], dtype=object),
        pd.Series(["a", "b", np.nan, "a"], dtype="category"),
        pd.Series([0.0, 1.0, np.nan, 1.0]),
        np.array(["a", "b", None, "a"], dtype=object),
        np.array(["a", "b", pd.NA, "a"], dtype=object),
        np.array([1, 0, pd.NA, 1], dtype=object),
        ["a", "b", None, "a"],
        [1.0, 0.0, float("nan"), 1.0],
        pd.DataFrame({"y": pd.array([1, 0, None, 1], dtype="Int64")}),
    ],
    ids=repr,
)
def test_missing_labels_are_refused_by_name_and_place(y):
    message = r"Input y contains NaN, None or pd.NA in 1 of 4 rows, .* position 2\."
    with pytest.raises(ValueError, match=message):
        _task(y)


def test_a_column_of_labels_is_taken_with_scikit_learns_warning():
    y = pd.DataFrame({"y": pd.array([1, 0, 1], dtype="Int64")})
    with pytest.warns(DataConversionWarning):
        task = _task(y)
    assert task.classes.tolist() == [0, 1]
    assert task.classes.dtype == np.int64


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([0.5, 1.5, 0.7], "Unknown label type: continuous"),
        ([0.0, np.inf, 1.0], "Input y contains infinity"),
        ([0, 1], "inconsistent numbers of samples"),
        ([[0, 1], [1, 0], [1, 1]], "1d array"),
    ],
    ids=repr,
)
def test_other_targets_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        _task(y, X=np.zeros((3, 1)))


def test_a_part_has_the_classes_of_all():
    task = _task(list("abcab"))
    part = task.subset(np.array([0, 3, 1]))
    assert part.y.tolist() == [0, 0, 1]
    assert part.classes.tolist() == ["a", "b", "c"]
    assert part.n_classes == 3
    assert part.output == task.output


def test_two_classes_have_one_sigmoid_unit_others_a_softmax():
    assert _task([0, 1]).output.name == "logistic"
    assert _task([0, 1, 2]).output.name == "softmax"
    assert _task([0, 0]).output.name == "softmax"


def test_a_split_is_stratified_by_class():
    task = _task(np.repeat([7, 8], [80, 20]))
    splits = task.split(SplitSettings(0.25, 2), 0)
    assert len(splits) == 2
    for _, validation in splits:
        assert np.bincount(task.y[validation]).tolist() == [20, 5]


def test_only_a_callable_gets_rows_as_the_user_gave_them():
    X = pd.DataFrame({"a": [1, 2, 3, 4], "b": list("wxyz")})
    seen = []

    def scoring(_, X, y):
        seen.append((X, y))
        return 1.0

    p = np.full((2, 2), 0.5)
    task = _task([0, 1, 1, 0], X)
    task.metric(scoring, X, np.array([3, 1])).score(p)
    pd.testing.assert_frame_equal(seen[0][0], X.iloc[[3, 1]])
    assert seen[0][1].tolist() == [0, 1]
    # An object that has no rows would do for a scorer with a name.
    assert task.metric("accuracy", None, np.array([3, 1])).score(p) == 0.5


def test_a_callable_scorer_gets_the_users_frame(fast, mixed_frame):
    X, y = mixed_frame
    columns = []

    def scoring(estimator, X, y):
        columns.append(X["category"].dtype)
        return float((estimator.predict(X) == y).mean())

    NASMLPClassifier(**fast, scoring=scoring).fit(X, y)
    assert set(columns) == {X["category"].dtype}
