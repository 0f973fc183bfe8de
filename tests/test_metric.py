import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from sknas._tasks.metric import ValidationMetric, apply_temperature

Y = np.array([0, 1, 1, 0, 1, 0])
P = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9], [0.4, 0.6]])
LABELS = np.array(["no", "yes"])


def _metric(scoring=None, classes=LABELS, y=Y, X=None):
    X = np.arange(len(y))[:, None] if X is None else X
    return ValidationMetric(scoring, classes, X, y)


def _generator():
    return np.random.default_rng(0)


def test_without_scorer_the_reward_is_accuracy_and_log_probability():
    metric = _metric()
    assert metric.score(P) == pytest.approx(4 / 6)
    # Halves in every row: no temperature changes them.
    expected = 0.9 + 0.5 * math.log(0.5)
    assert metric.reward(np.full((6, 2), 0.5), 0.9) == pytest.approx(expected)
    # Over- or under-confidence is not punished, mistakes are.
    sharp = P**3 / (P**3).sum(axis=1, keepdims=True)
    assert metric.reward(sharp, 0.9) == pytest.approx(metric.reward(P, 0.9), abs=1e-4)
    assert metric.reward(P[::-1], 0.9) < metric.reward(P, 0.9)


def test_with_a_scorer_the_reward_is_the_score():
    metric = _metric("balanced_accuracy")
    assert metric.score(P) == pytest.approx(4 / 6)
    assert metric.reward(P, 0.9) == 0.9


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


def _guesses(generator, y, *confidences):
    """Predictions that are right with given probabilities, and say so."""
    for confidence in confidences:
        is_right = generator.random(len(y)) < confidence
        p = np.where(is_right == (y == 1), confidence, 1 - confidence)
        yield np.column_stack([1 - p, p])


def test_the_best_is_chosen():
    generator = np.random.default_rng(1)
    y = generator.integers(2, size=400)
    candidates = list(_guesses(generator, y, 0.6, 0.9, 0.7))
    for incumbent in (None, 0, 1, 2):
        assert _metric(y=y).best(candidates, incumbent) == 1


@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_log_loss"])
def test_an_incumbent_is_not_beaten_by_luck(scoring):
    generator = np.random.default_rng(1)
    y = generator.integers(2, size=400)
    (better,) = _guesses(generator, y, 0.9)
    # Another one gets twenty other rows wrong, and right nineteen of its mistakes.
    is_right = better.argmax(axis=1) == y
    changed = [*np.flatnonzero(is_right)[:20], *np.flatnonzero(~is_right)[:19]]
    worse = better.copy()
    worse[changed] = worse[changed, ::-1]
    metric = _metric(scoring, y=y)
    assert metric.best([worse, better], None) == 1
    assert metric.best([worse, better], 0) == 0


def test_the_temperature_is_found():
    generator = np.random.default_rng(0)
    y = generator.integers(2, size=4000)
    (calibrated,) = _guesses(generator, y, 0.8)
    metric = _metric(y=y)
    assert metric.temperature(calibrated) == pytest.approx(1, abs=0.1)
    sharp = apply_temperature(calibrated, 1 / 3)
    assert sharp.max() == pytest.approx(64 / 65)
    assert metric.temperature(sharp) == pytest.approx(3, rel=0.1)


def test_the_bound_is_hoeffdings():
    metric = _metric(y=np.tile([0, 1], 500))
    # sqrt(log(20) / 2000) for one candidate measured once.
    assert metric.lower_bound(0.9, n_candidates=1, n_splits=1) == pytest.approx(
        0.8613, rel=1e-4
    )
    assert metric.lower_bound(0.9, n_candidates=50, n_splits=1) < 0.845
    assert metric.lower_bound(0.9, n_candidates=1, n_splits=5) < 0.81
    assert metric.lower_bound(0.01, n_candidates=1, n_splits=1) == 0
    assert math.isnan(_metric("f1_macro").lower_bound(0.9, n_candidates=1, n_splits=1))


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "precision_macro"])
def test_a_rare_class_does_not_get_lost_in_the_noise(scoring):
    # A resample of the rows without regard to classes would often miss the last one.
    y = np.array([0] * 12 + [1] * 12 + [2])
    p = np.full((25, 3), 0.1) + 0.7 * np.eye(3)[y]
    worse = np.full((25, 3), 0.2) + 0.4 * np.eye(3)[y]
    metric = _metric(scoring, np.arange(3), y)
    assert metric.best([p, worse], None) == 0
    assert metric.best([worse, p], 1) == 1


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_of_equals_the_incumbent_stays(scoring):
    assert _metric(scoring).best([P, P.copy()], 1) == 1
    assert _metric(scoring).best([P], None) == 0


def test_a_certain_mistake_has_a_finite_merit():
    wrong = np.eye(2)[1 - Y]
    assert _metric().best([wrong, P], 0) == 1


def test_a_candidate_without_a_value_is_not_chosen():
    def scorer(estimator, X, _):
        return math.nan if estimator.predict_proba(X)[0, 0] == 1 else 0.5

    undefined = np.zeros_like(P)
    undefined[:, 0] = 1
    metric = _metric(scorer)
    assert metric.best([undefined, P, undefined], 0) == 1
