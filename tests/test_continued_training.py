"""Trainings that go on where others have ended."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from sknas import Architecture
from sknas._engine.jobs import TrainingData, TrainingJob, TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._engine.training.stack import train_stack
from sknas._tasks.outputs import SoftmaxOutput

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(
    max_iter=5,
    batch_size=32,
    learning_rate_init=0.01,
    learning_rate="constant",
    solver="adam",
    alpha=0.1,
    label_smoothing=0.0,
    dropout=0.0,
    n_iter_no_change=None,
    auto_decay=0.3,
    # Parts and whole see the rows in one order.
    shuffle=False,
    keeps_state=True,
)
JOBS = [
    TrainingJob(Architecture((16, "relu"), (8, "tanh")), 1),
    TrainingJob(Architecture((24, "sigmoid"), (8, "relu")), 2),
]


@pytest.fixture(scope="module")
def data():
    X, y = make_blobs(n_samples=120, centers=3, cluster_std=3.0, random_state=0)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    y = y.astype(np.int64)
    return TrainingData(X[:80], y[:80], SoftmaxOutput(3), X[80:], y[80:])


def _train(data, settings, jobs=JOBS):
    return train_stack(data, jobs, settings, 0, CPU)


def _continued(job, result):
    return dataclasses.replace(job, inherited=result.weights, state=result.state)


def _assert_close(pairs, others):
    for pair, other in zip(pairs, others, strict=True):
        np.testing.assert_allclose(pair[0], other[0], atol=1e-6)
        np.testing.assert_allclose(pair[1], other[1], atol=1e-6)


@pytest.mark.parametrize(
    ("solver", "learning_rate"),
    [
        *[("adam", "constant"), ("adamw", "constant"), ("sgd", "constant")],
        *[("sgd", "invscaling"), ("sgd", "adaptive")],
    ],
)
def test_parts_of_a_training_equal_the_whole(data, solver, learning_rate):
    # So much no epoch lowers the loss by: an adaptive rate falls after the third.
    settings = dataclasses.replace(
        SETTINGS, solver=solver, learning_rate=learning_rate, tol=0.5
    )
    whole = _train(data, settings)
    first = _train(data, dataclasses.replace(settings, max_iter=2))
    # A state travels between processes, and is kept beside estimators.
    jobs = pickle.loads(pickle.dumps(list(map(_continued, JOBS, first))))
    second = _train(data, dataclasses.replace(settings, max_iter=3), jobs)
    # Without its moments, a training would take another way.
    fresh = [dataclasses.replace(job, state=None) for job in jobs]
    others = _train(data, dataclasses.replace(settings, max_iter=3), fresh)
    for before, after, other, expected in zip(
        first, second, others, whole, strict=True
    ):
        np.testing.assert_allclose(
            [*before.loss_curve, *after.loss_curve], expected.loss_curve, atol=1e-6
        )
        _assert_close(after.weights, expected.weights)
        assert (after.state.n_steps, after.state.n_iter) == (15, 5)
        assert after.state.plateau == expected.state.plateau
        for moment, of_whole in zip(
            after.state.moments, expected.state.moments, strict=True
        ):
            _assert_close(moment, of_whole)
            assert max(np.abs(weights).max() for weights, _ in moment) > 0
        assert abs(other.loss_curve[-1] - expected.loss_curve[-1]) > 1e-4


def test_the_state_is_that_of_the_epoch_whose_weights_are_kept(data):
    # Patience runs out for one child before the other, which goes on alone.
    settings = dataclasses.replace(
        SETTINGS, learning_rate_init=0.1, max_iter=60, n_iter_no_change=2
    )
    slower = dataclasses.replace(JOBS[1], settings=(("learning_rate_init", 0.03),))
    jobs = [JOBS[0], slower]
    stopped = _train(data, settings, jobs)
    assert len({result.n_iter for result in stopped}) == 2
    for job, result in zip(jobs, stopped, strict=True):
        assert result.best_iter < result.n_iter
        assert result.state.n_iter == result.best_iter
        assert result.state.n_steps == 3 * result.best_iter
        settings = dataclasses.replace(
            settings, max_iter=result.best_iter, n_iter_no_change=None
        )
        (ended,) = _train(data, settings, [job])
        for moment, of_ended in zip(
            result.state.moments, ended.state.moments, strict=True
        ):
            _assert_close(moment, of_ended)


def test_children_of_different_numbers_of_steps_share_no_stack(data):
    first = _train(data, SETTINGS)
    jobs = [*JOBS, *map(_continued, JOBS, first)]
    trainer = Trainer([data], SETTINGS, seed=0, device=CPU, n_jobs=1)
    results = dict(trainer.train(jobs))
    assert [results[i].state.n_steps for i in range(4)] == [15, 15, 30, 30]
    alone = _train(data, SETTINGS, jobs[2:])
    for position, result in enumerate(alone, start=2):
        _assert_close(results[position].weights, result.weights)


def test_a_state_that_nobody_asked_for_is_not_kept(data):
    settings = dataclasses.replace(SETTINGS, keeps_state=False)
    assert [result.state for result in _train(data, settings)] == [None, None]
