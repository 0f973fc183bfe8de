import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from sknas._metric import ValidationMetric

Y = np.array([0, 1, 1, 0, 1, 0])
P = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9], [0.4, 0.6]])
LABELS = np.array(["no", "yes"])


def _metric(scoring=None, classes=LABELS, y=Y, X=None):
    X = np.arange(len(y))[:, None] if X is None else X
    return ValidationMetric(scoring, classes, X, y)


def _generator():
    return np.random.default_rng(0)


def test_without_scorer_the_score_is_accuracy_and_the_reward_comes_from_the_loss():
    metric = _metric()
    assert metric.score(P) == pytest.approx(4 / 6)
    assert metric.reward(0.9, math.log(4)) == pytest.approx(0.25)
    assert metric.reward(0.1, 0.0) == 1.0


def test_with_a_scorer_the_reward_is_the_score():
    metric = _metric("balanced_accuracy")
    assert metric.score(P) == pytest.approx(4 / 6)
    assert metric.reward(0.9, 0.1) == 0.9


def test_scorers_get_labels_predictions_and_probabilities():
    classes = np.array([10, 20])
    assert _metric("roc_auc", classes).score(P) == pytest.approx(
        roc_auc_score(Y, P[:, 1])
    )
    assert _metric("neg_log_loss", classes).score(P) == pytest.approx(-log_loss(Y, P))
    assert _metric("accuracy", classes).score(P) == pytest.approx(4 / 6)


def test_a_callable_scorer_sees_the_rows_as_they_were_given():
    X = np.array([["a"], ["b"], ["c"], ["d"], ["e"], ["f"]], dtype=object)
    seen = []

    def scoring(estimator, X, y):
        seen.append((X[:, 0].tolist(), y.tolist(), estimator.classes_.tolist()))
        return float((estimator.predict(X) == y).mean())

    metric = _metric(scoring, X=X)
    assert metric.score(P) == pytest.approx(4 / 6)
    assert metric.score(P, np.array([5, 0])) == pytest.approx(1 / 2)
    assert seen[0] == (list("abcdef"), [LABELS[y] for y in Y], ["no", "yes"])
    assert seen[1] == (["f", "a"], ["no", "no"], ["no", "yes"])


def test_a_score_of_some_rows_counts_those_alone():
    metric = _metric()
    assert metric.score(P, np.array([0, 1, 3, 4])) == 1.0
    assert metric.score(P, np.array([2, 2, 2, 0])) == 0.25


@pytest.mark.parametrize(
    "scoring", ["precision", "f1_macro", "roc_auc", "neg_log_loss", "balanced_accuracy"]
)
def test_the_check_of_a_scorer_is_silent(scoring):
    _metric(scoring, np.array([0, 1])).check()


def test_a_scorer_that_does_not_fit_the_target_is_refused():
    with pytest.raises(
        ValueError, match=r"scoring='f1' cannot be computed .*2 classes"
    ):
        _metric("f1").check()
    three = np.array([0, 1, 2, 0, 1, 2])
    with pytest.raises(ValueError, match=r"scoring='roc_auc' cannot be .*3 classes"):
        _metric("roc_auc", np.arange(3), three).check()


def test_a_scorer_without_a_value_is_refused():
    with pytest.raises(ValueError, match=r"is nan on the 6 validation rows"):
        _metric(lambda *_: math.nan).check()


def test_the_best_is_found_and_what_equals_it_within_the_noise():
    generator = np.random.default_rng(1)
    y = generator.integers(2, size=400)

    def guess(confidence):
        p = np.where(y == 1, confidence, 1 - confidence)
        p = np.clip(p + generator.normal(scale=0.01, size=400), 0.01, 0.99)
        return np.column_stack([1 - p, p])

    metric = _metric(y=y)
    good, same, bad = guess(0.9), guess(0.9), guess(0.6)
    equals = metric.equals_of_best([bad, good, same], _generator())
    assert set(equals) <= {1, 2}
    assert equals


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "precision_macro"])
def test_a_rare_class_does_not_get_lost_in_the_noise(scoring):
    # A resample of the rows without regard to classes would often miss the last one.
    y = np.array([0] * 12 + [1] * 12 + [2])
    p = np.full((25, 3), 0.1) + 0.7 * np.eye(3)[y]
    worse = np.full((25, 3), 0.2) + 0.4 * np.eye(3)[y]
    metric = _metric(scoring, np.arange(3), y)
    assert metric.equals_of_best([p, worse], _generator())[0] == 0


def test_equal_candidates_all_equal_the_best():
    for scoring in (None, "accuracy"):
        assert _metric(scoring).equals_of_best([P, P.copy()], _generator()) == [0, 1]
        assert _metric(scoring).equals_of_best([P], _generator()) == [0]


def test_a_certain_mistake_has_a_finite_merit():
    wrong = np.eye(2)[1 - Y]
    assert _metric().equals_of_best([wrong, P], _generator()) == [1]


def test_a_candidate_without_a_value_is_not_chosen():
    def scorer(estimator, X, _):
        return math.nan if estimator.predict_proba(X)[0, 0] == 1 else 0.5

    undefined = np.zeros_like(P)
    undefined[:, 0] = 1
    metric = _metric(scorer)
    assert metric.equals_of_best([undefined, P, undefined], _generator()) == [1]
