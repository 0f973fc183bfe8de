"""The choice and the bound, on simulated validation rows."""

import numpy as np
import pytest

from sknas._fit.evidence import choose, margin, score_bound
from sknas._tasks.classification import ClassificationMetric


def _networks(generator, n_rows, n_candidates, accuracy=0.85, shared=0.7):
    """Which rows each of some equally good networks gets right, correlated."""
    common = generator.random(n_rows) < accuracy
    own = generator.random((n_candidates, n_rows)) < accuracy
    is_common = generator.random((n_candidates, n_rows)) < shared
    return np.where(is_common, common, own)


def _choose(is_right, incumbent):
    """Choose as a fit does, from predictions of two classes."""
    y = np.zeros(is_right.shape[1], dtype=int)
    predictions = [np.where(row[:, None], [0.9, 0.1], [0.1, 0.9]) for row in is_right]
    metric = ClassificationMetric("accuracy", np.array([0, 1]), y)
    merits = [metric.merit(p, metric.score(p)) for p in predictions]
    return choose(
        merits, lambda a, b: metric.noise(predictions[a], predictions[b]), incumbent
    )


@pytest.mark.parametrize("n_candidates", [2, 6, 12])
@pytest.mark.parametrize("n_rows", [600, 3000])
def test_an_equal_seldom_replaces_the_incumbent(n_candidates, n_rows):
    generator = np.random.default_rng(0)
    replaced, naive = [], []
    for _ in range(300):
        is_right = _networks(generator, n_rows, n_candidates)
        replaced.append(_choose(is_right, 0) != 0)
        naive.append(is_right.mean(axis=1).argmax() != 0)
    # One in ten is what is documented; the error of 300 runs is 0.017.
    assert np.mean(replaced) < 0.1 + 3 * 0.017
    assert np.mean(naive) > 0.4


def test_a_better_one_replaces_the_incumbent():
    generator = np.random.default_rng(0)
    chosen = []
    for _ in range(100):
        is_right = _networks(generator, 3000, 6)
        is_right[3] |= generator.random(3000) < 0.3
        chosen.append(_choose(is_right, 0))
    assert np.mean(np.array(chosen) == 3) > 0.95


def test_without_an_incumbent_the_best_is_chosen():
    merits = [0.5, 0.7, 0.6]

    def unknown(*_):
        raise AssertionError("the noise was asked for")

    assert choose(merits, unknown) == 1
    assert choose(merits, unknown, incumbent=1) == 1
    assert choose(merits, lambda *_: 1.0, incumbent=0) == 0
    assert choose(merits, lambda *_: 0.01, incumbent=0) == 1
    # Of equals the incumbent stays, without a look at the noise.
    assert choose([0.5, 0.5], unknown, incumbent=1) == 1


def test_more_rivals_need_a_wider_margin():
    margins = [margin(n) for n in (1, 2, 5, 20)]
    assert margins == sorted(margins)
    assert margins[0] == pytest.approx(1.2816, abs=1e-4)
    assert margins[2] == pytest.approx(2.0537, abs=1e-4)


# The bound.


def test_the_bound_of_one_candidate_is_clopper_and_pearsons():
    # 90 of 100, one-sided 95 %: scipy's binomtest says the same.
    assert score_bound([0.9], [100], 1) == pytest.approx(0.83630, abs=1e-4)
    assert score_bound([0.9], [100], 1000) < 0.76
    assert score_bound([0.0], [100], 1) == 0.0
    # More candidates than a float can count.
    assert 0 <= score_bound([0.99], [1000], 10**400) < 0.1


def test_folds_share_the_level():
    one, two = score_bound([0.9], [200], 1), score_bound([0.9, 0.9], [100, 100], 1)
    assert two < one
    unequal = score_bound([1.0, 0.5], [300, 100], 1)
    assert unequal == pytest.approx(
        0.75 * score_bound([1.0], [300], 2) + 0.25 * score_bound([0.5], [100], 2)
    )


_N_FEATURES = 31


def _random(votes, generator):
    """Try random combinations, keep the best."""
    tried = generator.choice([-1, 1], size=(_N_FEATURES, _N_FEATURES))
    return tried[((tried @ votes) > 0).mean(axis=1).argmax()]


def _climb(votes, generator):
    """Change one sign after the other, and keep what scores better."""
    signs = generator.choice([-1, 1], size=_N_FEATURES)
    best = ((signs @ votes) > 0).mean()
    for position in generator.permutation(_N_FEATURES):
        signs[position] *= -1
        score = ((signs @ votes) > 0).mean()
        if score < best:
            signs[position] *= -1
        best = max(score, best)
    return signs


def _greedy(votes, generator):
    """Score each feature alone, then propose their combination."""
    del generator
    return np.sign(votes.sum(axis=1))


@pytest.mark.parametrize("strategy", [_random, _climb, _greedy])
def test_no_strategy_breaks_the_bound(strategy):
    """Candidates are majority votes of features that mean nothing: each is right in
    half of the rows in truth, whatever it scores.
    """
    n_rows, n_broken, n_broken_by_tried = 150, 0, 0
    for seed in range(1000):
        generator = np.random.default_rng(seed)
        votes = generator.choice([-1, 1], size=(_N_FEATURES, n_rows))
        score = float(((strategy(votes, generator) @ votes) > 0).mean())
        n_broken += score_bound([score], [n_rows], 2**_N_FEATURES) > 0.5
        # A union over the candidates tried, as if they had been fixed beforehand.
        n_broken_by_tried += score_bound([score], [n_rows], _N_FEATURES + 1) > 0.5
    assert n_broken < 50
    # The simulation has teeth: what adapts breaks the bound over what was tried.
    if strategy is _greedy:
        assert n_broken_by_tried > 200
