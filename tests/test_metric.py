import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from sknas._budget import Budget
from sknas._fit.evidence import choose
from sknas._tasks.classification import ClassificationMetric

Y = np.array([0, 1, 1, 0, 1, 0])
P = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9], [0.4, 0.6]])
LABELS = np.array(["no", "yes"])


def _metric(scoring=None, classes=LABELS, y=Y, X=None):
    X = np.arange(len(y))[:, None] if X is None else X
    return ClassificationMetric(scoring, classes, y, X)


def _best(metric, candidates, incumbent):
    merits = [metric.merit(p, metric.score(p)) for p in candidates]
    return choose(
        merits, lambda a, b: metric.noise(candidates[a], candidates[b]), incumbent
    )


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
        assert _best(_metric(y=y), candidates, incumbent) == 1


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
    assert _best(metric, [worse, better], None) == 1
    assert _best(metric, [worse, better], 0) == 0


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "precision_macro"])
def test_a_rare_class_does_not_get_lost_in_the_noise(scoring):
    # A resample of the rows without regard to classes would often miss the last one.
    y = np.array([0] * 12 + [1] * 12 + [2])
    p = np.full((25, 3), 0.1) + 0.7 * np.eye(3)[y]
    worse = np.full((25, 3), 0.2) + 0.4 * np.eye(3)[y]
    metric = _metric(scoring, np.arange(3), y)
    assert _best(metric, [p, worse], None) == 0
    assert _best(metric, [worse, p], 1) == 1


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_of_equals_the_incumbent_stays(scoring):
    assert _best(_metric(scoring), [P, P.copy()], 1) == 1
    assert _best(_metric(scoring), [P], None) == 0


def test_a_certain_mistake_has_a_finite_merit():
    wrong = np.eye(2)[1 - Y]
    assert _best(_metric(), [wrong, P], 0) == 1


# A scorer's own mistakes.


def test_a_callable_that_fails_shows_its_own_error_and_line_first():
    def scoring(*_):
        return {}["missing"]

    with pytest.raises(KeyError, match="missing") as caught:
        _metric(scoring).check()
    assert caught.traceback[-1].name == "scoring"
    assert caught.value.__cause__ is None
    (note,) = caught.value.__notes__
    assert "signature scorer(estimator, X, y)" in note
    assert "before any training" in note


def test_a_metric_in_place_of_a_scorer_is_explained():
    with pytest.raises((ValueError, TypeError)) as caught:
        _metric(roc_auc_score).check()
    assert "make_scorer" in caught.value.__notes__[0]


def test_a_score_for_two_classes_is_refused_though_a_guess_names_but_one():
    # The third class has no validation row; networks predict it all the same.
    with pytest.raises(ValueError, match=r"'f1' cannot be .* 3 classes, of which 2"):
        _metric("f1", np.arange(3)).check()


# A class without validation rows.

NAMES = ["roc_auc_ovr", "roc_auc_ovo", "neg_log_loss", "balanced_accuracy", "f1_macro"]


@pytest.mark.parametrize("n_present", [2, 3])
@pytest.mark.parametrize("scoring", [*NAMES, "top_k_accuracy", "accuracy", None])
def test_named_scorers_work_where_a_class_has_no_row(scoring, n_present):
    y = np.arange(60) % n_present
    generator = np.random.default_rng(0)
    good = generator.dirichlet(np.ones(n_present + 1), 60) / 2
    good[np.arange(60), y] += 0.5
    metric = _metric(scoring, np.array(list("abcd"))[: n_present + 1], y)
    metric.check()
    guess = np.full_like(good, 1 / (n_present + 1))
    assert math.isfinite(metric.score(guess))
    if scoring != "top_k_accuracy" or n_present > 2:
        assert metric.score(good) > metric.score(guess)
    # A class without rows is renormalised away from probabilities only.
    other = good.copy()
    other[:, -1] = 0.9
    assert metric.score(other / other.sum(axis=1, keepdims=True)) <= metric.score(good)


def test_probabilities_are_renormalised_over_the_classes_with_rows():
    p = np.column_stack([P, np.ones(6)]) / 2
    with_two = _metric("neg_log_loss").score(P)
    metric = _metric("neg_log_loss", np.array(["no", "yes", "zero"]))
    assert metric.score(p) == pytest.approx(with_two)
    # Nothing left to normalise.
    assert math.isfinite(metric.score(np.eye(3)[[2] * 6]))


def test_what_no_row_can_tell_is_refused_clearly():
    with pytest.raises(ValueError, match=r"roc_auc.* of which 1 have validation rows"):
        _metric("roc_auc_ovr", y=np.zeros(6, dtype=int)).check()


# Comparisons.


def _three_candidates(n_rows):
    generator = np.random.default_rng(0)
    y = generator.integers(2, size=n_rows)
    return y, list(_guesses(generator, y, 0.8, 0.8, 0.7))


@pytest.mark.parametrize("scoring", ["accuracy", None])
def test_the_noise_of_accuracies_is_that_of_their_resamples(scoring):
    y, candidates = _three_candidates(500)
    candidates[1] = 0.5 * (candidates[0] + candidates[1])
    metric = _metric(scoring, y=y)
    generator = np.random.default_rng(0)
    resamples = []
    for _ in range(500):
        rows = generator.integers(500, size=500)
        resampled = _metric(scoring, y=y[rows])
        resamples.append([resampled.merit(p[rows], math.nan) for p in candidates])
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        differences = np.diff(np.array(resamples)[:, [one, other]], axis=1)
        # What seeds add is known.
        expected = math.sqrt(
            differences.var() + 2 * ClassificationMetric.seed_deviation**2
        )
        noise = metric.noise(candidates[one], candidates[other])
        assert noise == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("n_rows", [500, 8000])
def test_the_noise_of_other_scores_is_that_of_their_resamples(n_rows):
    # Accuracy in the guise of another scorer, of a part of the rows if they are many.
    y, candidates = _three_candidates(n_rows)
    expected = _metric("accuracy", y=y).noise(*candidates[1:])
    noise = _metric("recall_micro", y=y).noise(*candidates[1:])
    assert noise == pytest.approx(expected, rel=0.5)


def test_what_is_compared_of_many_rows_is_cheap():
    calls = []

    def scoring(estimator, X, y):
        calls.append(len(y))
        return float((estimator.predict(X) == y).mean())

    y, candidates = _three_candidates(40_000)
    _metric(scoring, y=y).noise(*candidates[:2])
    assert max(calls) <= 1001
    assert len(calls) <= 2 * 30


def test_named_scorers_do_not_look_at_the_table():
    class Untouchable:
        def __getitem__(self, key):
            raise AssertionError("the table was read")

    metric = _metric("roc_auc", X=Untouchable())
    assert metric.score(P, np.array([0, 1, 2])) == 1.0


def test_noise_is_measured_as_long_as_there_is_time():
    calls = []

    def scoring(estimator, X, y):
        calls.append(len(y))
        return float((estimator.predict(X) == y).mean())

    y, candidates = _three_candidates(500)
    metric = _metric(scoring, y=y)
    assert metric.noise(*candidates[:2], Budget(0.0)) == 0
    assert calls == []


def test_resamples_without_a_value_do_not_count():
    y, candidates = _three_candidates(500)
    values = itertools.cycle([0.1, 0.2, math.nan, 0.4])
    metric = _metric(lambda *_: next(values), y=y)
    assert math.isfinite(metric.noise(*candidates[:2]))
    assert _metric(lambda *_: math.nan, y=y).noise(*candidates[:2]) == 0


@pytest.mark.parametrize("scoring", [None, "roc_auc"])
def test_a_metric_of_some_rows_is_that_of_a_smaller_table(scoring):
    weights = np.array([1.0, 2, 1, 3, 1, 2])
    rows = np.array([4, 0, 2, 5])
    whole = ClassificationMetric(scoring, LABELS, Y, None, weights)
    part = whole.restrict(rows)
    alone = ClassificationMetric(scoring, LABELS, Y[rows], None, weights[rows])
    score = part.score(P[rows])
    assert score == alone.score(P[rows])
    assert part.reward(P[rows], score) == alone.reward(P[rows], score)
    assert part.guess_reward() == alone.guess_reward()
