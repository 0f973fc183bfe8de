import math

import numpy as np
import pytest
import torch
from scipy import stats

from sknas import Architecture, NASMLPClassifier, NASMLPRegressor
from sknas._engine.jobs import TrainingData, TrainingJob
from sknas._engine.trainer import Trainer
from sknas._fit.settings import read_settings
from sknas._search.extrapolation import hopeless_below
from sknas._search.journal import FAILED, TRAINED, Trial
from sknas._sklearn import InvalidParameterError
from sknas._space import Candidate, Proposal
from sknas._tasks.outputs import SigmoidOutput

PROPOSAL = Proposal(Candidate(Architecture((8, "relu"))))
N_EPOCHS = 5


def _trial(curve, reward, **values):
    defaults = {
        "proposal": PROPOSAL,
        "round": 0,
        "status": TRAINED,
        "score": 0.5,
        "loss": 0.7,
        "predicted_score": math.nan,
        "n_parameters": 10,
        "max_iter": N_EPOCHS,
        "n_iter": len(curve),
        "cost": 0.2,
        "time": 0.1,
    }
    return Trial(**{**defaults, "curve": tuple(curve), "reward": reward, **values})


def _trials(n=12, noise=0.01, seed=0):
    """Make curves that jump at the end, where the learning rate falls."""
    rng = np.random.default_rng(seed)
    finals = rng.uniform(0.6, 0.9, n)
    rises = np.array([0.3, 0.4, 0.5, 0.6, 1.0])
    curves = finals[:, None] * rises + noise * rng.normal(size=(n, N_EPOCHS))
    return [_trial(c, float(c[-1] - 0.2)) for c in curves]


def _limits(trials, proposal=PROPOSAL, max_iter=N_EPOCHS, n_best=1):
    return hopeless_below(trials, proposal, max_iter, n_best)


@pytest.mark.parametrize("n_best", [1, 3])
def test_at_the_limit_the_prediction_interval_ends_at_the_best(n_best):
    trials = _trials()
    limits = _limits(trials, n_best=n_best)
    assert len(limits) == N_EPOCHS - 1
    assert limits[0] == -math.inf
    rewards = np.array([trial.reward for trial in trials])
    wanted = np.sort(rewards)[-n_best]
    for epoch, limit in list(enumerate(limits))[1:]:
        scores = np.array([trial.curve[epoch] for trial in trials])
        line = stats.linregress(scores, rewards)
        residuals = rewards - line.intercept - line.slope * scores
        n = len(scores)
        spread = math.sqrt(residuals @ residuals / (n - 2))
        spread *= math.sqrt(
            1 + 1 / n + (limit - scores.mean()) ** 2 / (n * scores.var())
        )
        end = line.intercept + line.slope * limit
        end += stats.t.ppf(0.975, n - 2) * spread
        assert end == pytest.approx(wanted, rel=1e-9)
        # The best itself is not hopeless.
        assert scores[rewards.argmax()] > limit


def test_fewer_of_the_best_stop_more():
    trials = _trials()
    of_one, of_three = (np.array(_limits(trials, n_best=n)[1:]) for n in (1, 3))
    assert (of_one > of_three).all()


@pytest.mark.parametrize("factor", [2.0**900, 2.0**-900])
def test_the_size_of_rewards_does_not_matter(factor):
    trials = _trials()
    scaled = [_trial(t.curve, factor * t.reward) for t in trials]
    np.testing.assert_allclose(_limits(scaled)[1:], _limits(trials)[1:], rtol=1e-9)


def test_curves_that_say_nothing_stop_nothing():
    rng = np.random.default_rng(0)
    curves = rng.random((12, N_EPOCHS))
    unrelated = [_trial(c, float(r)) for c, r in zip(curves, rng.random(12))]  # noqa: B905
    falling = [_trial(c, float(-c.sum())) for c in np.sort(curves, axis=0)]
    constant = [_trial([0.5] * N_EPOCHS, 0.1 * i) for i in range(12)]
    for trials in (unrelated, falling, constant):
        assert set(_limits(trials)) == {-math.inf}


def test_only_whole_trainings_alike_say_something():
    trials = _trials()
    assert _limits(trials[:6]) == ()
    assert _limits(trials, n_best=13) == ()
    assert _limits(trials, Proposal(PROPOSAL.candidate, rows=0.5)) == ()
    assert _limits(trials, max_iter=7) == ()
    several = Proposal(PROPOSAL.candidate, folds=2)
    of_folds = [_trial(t.curve, t.reward, proposal=several) for t in trials]
    assert _limits(of_folds, several) == ()
    # These change nothing.
    others = [
        _trial((0.9, 0.1), -1.0, is_stopped=True),
        _trial((), -1.0, status=FAILED),
        _trial((0.1,) * 7, 2.0, max_iter=7),
    ]
    assert _limits(trials + others) == _limits(trials)
    # Patience ends a training with a reward that counts, and a curve for a while.
    short = _trial((0.1, 0.2, 0.3), 0.9)
    limits = _limits([*trials, short])
    assert limits[1] != _limits(trials)[1]


def _train(jobs, n_iter_no_change):
    values = NASMLPClassifier(
        max_iter=N_EPOCHS, n_iter_no_change=n_iter_no_change
    ).get_params(deep=False)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    data = TrainingData(X[:40], y[:40], SigmoidOutput(), X[40:], y[40:])
    settings = read_settings(values, "C", 0.3).training
    trainer = Trainer([data], settings, seed=0, device=torch.device("cpu"), n_jobs=1)
    results = dict(trainer.train(jobs))
    return [results[position] for position in range(len(jobs))]


@pytest.mark.parametrize("patience", [None, 3])
def test_a_child_is_stopped_after_the_epoch_of_a_hopeless_score(patience):
    network = PROPOSAL.candidate.architecture
    limits = [(), (-math.inf, 2.0), (0.0,) * 4]
    jobs = [TrainingJob(network, 7, hopeless_below=limit) for limit in limits]
    whole, stopped, good = _train(jobs, patience)
    assert [r.is_stopped for r in (whole, stopped, good)] == [False, True, False]
    assert (whole.n_iter, stopped.n_iter, good.n_iter) == (5, 2, 5)
    assert stopped.validation_scores == whole.validation_scores[:2]
    assert stopped.validation_predictions.shape == (40, 2)
    # What goes on is not touched by what was stopped beside it.
    np.testing.assert_array_equal(whole.weights[0][0], good.weights[0][0])
    if patience is None:
        assert stopped.best_iter == 2


def _fit(table, **parameters):
    settings = {
        "layer_widths": (2, 32),
        "search_strategy": "random",
        "n_rounds": 2,
        "n_architectures": 10,
        "search_epochs": 6,
        "n_finalists": 1,
        "n_splits": 1,
        "n_ensemble": 1,
        "encoding": "scale",
        "max_iter": 2,
        "epoch_fractions": (1.0,),
        "random_state": 0,
        "search_n_iter_no_change": "extrapolation",
    }
    return NASMLPClassifier(**{**settings, **parameters}).fit(*table)


def test_a_search_stops_children_from_the_second_round_on(three_class_table):
    results = _fit(three_class_table).search_results_
    patient = _fit(three_class_table, search_n_iter_no_change=3).search_results_
    # Random search proposes the same, whatever came of it.
    assert results["architecture"].tolist() == patient["architecture"].tolist()
    first = results["round"] == 0
    np.testing.assert_array_equal(results["n_iter"][first], patient["n_iter"][first])
    assert (results["n_iter"] <= patient["n_iter"]).all()
    assert results["n_iter"][~first].sum() < 0.9 * patient["n_iter"][~first].sum()
    assert results["reward"].argmax() == patient["reward"].argmax()


def test_another_text_is_refused(three_class_table):
    X, y = three_class_table
    for cls in (NASMLPClassifier, NASMLPRegressor):
        estimator = cls(search_n_iter_no_change="extrapolate")
        with pytest.raises(InvalidParameterError, match="search_n_iter_no_change"):
            estimator.fit(X, y)
