import dataclasses

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from sknas import Architecture
from sknas._budget import Budget
from sknas._engine.evaluator import Evaluator, Request
from sknas._engine.jobs import TrainingData, TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._space import Candidate
from sknas._tasks.outputs import SoftmaxOutput

A, B = Architecture((8, "relu"), "dropout"), Architecture((8, "tanh"), (4, "elu"))
SETTINGS = TrainingSettings(
    max_iter=3,
    batch_size=16,
    learning_rate_init=0.01,
    learning_rate="constant",
    solver="adam",
    alpha="auto",
    label_smoothing=0.0,
    dropout=0.2,
    n_iter_no_change=None,
    auto_decay=0.3,
)


def _folds(n_folds=2):
    X, y = make_blobs(90, n_features=4, centers=3, random_state=0)
    X, y = X.astype(np.float32), y.astype(np.int64)
    order = np.random.default_rng(0).permutation(90)
    parts = [order[20 * fold : 20 * fold + 20] for fold in range(n_folds)]
    return [
        TrainingData(X[rows], y[rows], SoftmaxOutput(3), X[part], y[part])
        for part in parts
        for rows in [np.setdiff1d(order, part)]
    ]


def _evaluator(n_folds=2, n_copies=1, settings=SETTINGS):
    trainer = Trainer(
        _folds(n_folds), settings, seed=0, device=torch.device("cpu"), n_jobs=1
    )
    return Evaluator(trainer, n_copies)


def _evaluate(evaluator, *requests, **options):
    return dict(evaluator.evaluate(requests, **options))


def test_every_candidate_has_a_network_for_each_fold_and_copy():
    evaluations = _evaluate(
        _evaluator(2, 3), Request(Candidate(A), 1), Request(Candidate(B), 2)
    )
    assert sorted(evaluations) == [0, 1]
    for position, architecture in enumerate((A, B)):
        evaluation = evaluations[position]
        assert evaluation.architecture == architecture
        assert len(evaluation.networks) == len(evaluation.weights) == 6
        assert {network.n_rows for network in evaluation.networks} == {70}
        assert evaluation.predictions.shape == (40, 3)
        np.testing.assert_allclose(evaluation.predictions.sum(axis=1), 1)
        assert not evaluation.failed


def test_copies_differ_and_their_probabilities_are_averaged():
    (evaluation,) = _evaluate(_evaluator(2, 2), Request(Candidate(A), 1)).values()
    first, second, third, fourth = evaluation.networks
    assert (first.weights[0][0] != second.weights[0][0]).any()
    given = [network.validation_predictions for network in evaluation.networks]
    expected = [(given[0] + given[1]) / 2, (given[2] + given[3]) / 2]
    np.testing.assert_allclose(evaluation.predictions, np.concatenate(expected))
    losses = [n.validation_loss for n in (first, second, third, fourth)]
    assert evaluation.loss == pytest.approx(np.mean(losses))


def test_the_seed_alone_decides_the_networks():
    alone = _evaluate(_evaluator(), Request(Candidate(A), 1))[0]
    among = _evaluate(_evaluator(), Request(Candidate(B), 5), Request(Candidate(A), 1))[
        1
    ]
    other = _evaluate(_evaluator(), Request(Candidate(A), 2))[0]
    np.testing.assert_array_equal(alone.predictions, among.predictions)
    assert (alone.predictions != other.predictions).any()


def test_each_fold_is_validated_on_its_own_rows():
    (evaluation,) = _evaluate(_evaluator(2), Request(Candidate(A), 1)).values()
    for fold in range(2):
        network = evaluation.networks[fold]
        np.testing.assert_array_equal(
            evaluation.predictions[20 * fold : 20 * fold + 20],
            network.validation_predictions,
        )


def test_networks_inherit_what_is_given_to_each():
    source = _evaluate(_evaluator(), Request(Candidate(A), 1))[0]
    settings = dataclasses.replace(
        SETTINGS, max_iter=1, learning_rate_init=1e-12, dropout=0.0
    )
    candidate = Request(Candidate(A), 2, inherited=source.weights)
    evaluation = _evaluate(_evaluator(settings=settings), candidate)[0]
    for before, after in zip(source.weights, evaluation.weights, strict=True):
        np.testing.assert_allclose(before[0][0], after[0][0], atol=1e-6)


def test_a_failure_of_one_network_is_one_of_the_candidate():
    evaluator = _evaluator(2)
    evaluator.trainer.folds[1].X[:] = np.nan
    (evaluation,) = _evaluate(evaluator, Request(Candidate(A), 1)).values()
    assert evaluation.failed
    assert evaluation.predictions is None
    assert np.isnan(evaluation.loss)
    assert len(evaluation.weights) == 1


def test_when_time_is_over_the_rest_is_left_out():
    settings = dataclasses.replace(SETTINGS, max_iter=10**6)
    deep = [Architecture(*[(8, "relu")] * depth) for depth in range(1, 7)]
    candidates = [Request(Candidate(architecture), 0) for architecture in deep]
    evaluations = _evaluate(_evaluator(1, 1, settings), *candidates, budget=Budget(0.3))
    assert evaluations
    for evaluation in evaluations.values():
        assert 1 <= evaluation.n_iter < 10**6
        assert evaluation.predictions.shape == (20, 3)


def test_figures_are_those_of_all_networks():
    (evaluation,) = _evaluate(_evaluator(2, 2), Request(Candidate(B), 1)).values()
    networks = evaluation.networks
    assert evaluation.n_iter == evaluation.best_iter == 3
    assert evaluation.time == pytest.approx(sum(network.time for network in networks))
    expected = np.mean([network.loss_curve for network in networks], axis=0)
    np.testing.assert_allclose(evaluation.loss_curve, expected)
    expected = np.mean([network.validation_scores for network in networks], axis=0)
    np.testing.assert_allclose(evaluation.validation_scores, expected)


class _Unfinished:
    """Trains in the order of the jobs until an interrupt or the end of its time."""

    def __init__(self, trainer, n_trained, ending):
        self.folds, self._trainer = trainer.folds, trainer
        self._n_trained, self._ending = n_trained, ending

    def train(self, jobs, budget):
        results = dict(self._trainer.train(jobs, budget))
        yield from sorted(results.items())[: self._n_trained]
        if self._ending is not None:
            raise self._ending


@pytest.mark.parametrize("ending", [None, KeyboardInterrupt])
@pytest.mark.parametrize(
    # Two folds of two copies: both folds have a network from the third one on.
    ("n_trained", "positions"),
    [(4, [0]), (6, [0]), (7, [0, 1])],
)
def test_what_there_is_for_every_fold_is_an_evaluation(ending, n_trained, positions):
    evaluator = _evaluator(2, 2)
    requests = [Request(Candidate(A), 1), Request(Candidate(B), 2)]
    whole = _evaluate(evaluator, *requests)
    evaluator.trainer = _Unfinished(evaluator.trainer, n_trained, ending)
    found = {}
    try:
        for position, evaluation in evaluator.evaluate(requests):
            found[position] = evaluation  # noqa: PERF403 (an interrupt keeps those)
    except KeyboardInterrupt:
        found |= evaluator.partial()
    assert sorted(found) == positions
    assert found[0].is_complete
    np.testing.assert_array_equal(found[0].predictions, whole[0].predictions)
    if n_trained == 7:
        assert not found[1].is_complete
        assert len(found[1].networks) == 3
        assert found[1].predictions.shape == (40, 3)


def test_a_request_may_have_settings_and_epochs_of_its_own():
    candidate = Candidate(A, (("learning_rate_init", 0.1), ("batch_size", 8)))
    evaluation = _evaluate(_evaluator(), Request(candidate, 1))[0]
    assert evaluation.candidate == candidate
    changed = dataclasses.replace(SETTINGS, learning_rate_init=0.1, batch_size=8)
    plain = _evaluate(_evaluator(settings=changed), Request(Candidate(A), 1))[0]
    np.testing.assert_array_equal(evaluation.predictions, plain.predictions)
    short = _evaluate(_evaluator(), Request(Candidate(A), 1, epochs=2))[0]
    assert short.n_iter == 2
    assert short.loss_curve != evaluation.loss_curve[:2]
