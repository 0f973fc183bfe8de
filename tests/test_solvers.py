"""The solvers of `MLPClassifier`, beside scikit-learn's own."""

import dataclasses
import itertools
import math

import joblib
import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier

from sknas import Architecture
from sknas._budget import Budget
from sknas._engine.jobs import Plateau, TrainingData, TrainingJob, TrainingSettings
from sknas._engine.network import StackedMLP
from sknas._engine.trainer import Trainer
from sknas._engine.training import full_batch
from sknas._engine.training.sgd import StackedSGD
from sknas._engine.training.stack import train_stack
from sknas._tasks.outputs import SoftmaxOutput

CPU = torch.device("cpu")
WIDTHS = (4, 8, 6, 3)
ARCHITECTURE = Architecture((8, "tanh"), (6, "tanh"))
SETTINGS = TrainingSettings(
    max_iter=6,
    batch_size=40,
    learning_rate_init=0.01,
    learning_rate="constant",
    solver="sgd",
    alpha=0.5,
    label_smoothing=0.0,
    dropout=0.0,
    n_iter_no_change=None,
    auto_decay=0.3,
    shuffle=False,
)


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    return TrainingData(X[order], y[order], SoftmaxOutput(3))


def _initial_weights():
    # Adam enlarges the noise of gradients near 0; from here, there are none.
    generator = np.random.default_rng(4)
    return [
        (
            generator.normal(0, 0.5, (a, b)).astype(np.float32),
            generator.normal(0, 0.5, b).astype(np.float32),
        )
        for a, b in itertools.pairwise(WIDTHS)
    ]


def _fit_mlp(data, **parameters):
    """Fit scikit-learn's network from the same weights, by way of a warm start."""
    mlp = MLPClassifier(
        WIDTHS[1:-1],
        activation="tanh",
        warm_start=True,
        random_state=0,
        **{**parameters, "max_iter": 1},
    )
    X = data.X.astype(np.float64)
    mlp.fit(X, data.y)
    weights = _initial_weights()
    mlp.coefs_ = [coef.astype(np.float64) for coef, _ in weights]
    mlp.intercepts_ = [bias.astype(np.float64) for _, bias in weights]
    mlp.set_params(max_iter=parameters["max_iter"])
    if mlp.solver != "lbfgs":
        mlp.best_loss_, mlp._no_improvement_count = np.inf, 0
    return mlp.fit(X, data.y)


def _train(data, *jobs, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    first = TrainingJob(ARCHITECTURE, 1, _initial_weights())
    return train_stack(data, [first, *jobs], settings, 0, CPU)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "adam"},
        {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9},
        {"solver": "sgd"},
        {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False},
        # Two epochs in a row have to fail; the losses of both are without an L2 term.
        {"learning_rate": "adaptive", "tol": 0.1, "alpha": 0.0, "max_iter": 12},
    ],
    ids=["adam", "betas", "sgd", "momentum", "adaptive"],
)
def test_weights_are_those_of_scikit_learns_network(data, changes):
    own = {**dataclasses.asdict(SETTINGS), **changes}
    common = set(MLPClassifier().get_params()) & set(own) - {"n_iter_no_change"}
    given = {name: own[name] for name in common if own[name] is not None}
    mlp = _fit_mlp(data, n_iter_no_change=1, **{"tol": 0.0, **given})
    # Beside another network, whose rate has a course of its own.
    other = TrainingJob(ARCHITECTURE, 2, settings=(("learning_rate_init", 0.3),))
    result, _ = _train(data, other, **changes)
    assert result.n_iter == mlp.n_iter_ == own["max_iter"]
    for (coef, bias), expected_coef, expected_bias in zip(
        result.weights, mlp.coefs_, mlp.intercepts_, strict=True
    ):
        np.testing.assert_allclose(coef, expected_coef, atol=1e-4)
        np.testing.assert_allclose(bias, expected_bias, atol=1e-4)


def test_an_adaptive_rate_falls_on_a_plateau():
    plateau = Plateau()
    factors = []
    for loss in (3.0, 2.0, 1.95, 1.95, 1.8, 1.75, 1.74, 1.73, 1.72, 1.5, 1.45):
        plateau = plateau.after(loss, tol=0.1)
        factors.append(plateau.factor)
    np.testing.assert_allclose(
        factors, [1, 1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.008, 0.008, 0.008]
    )


def test_a_training_ends_where_its_adaptive_rate_is_next_to_nothing(data):
    # No epoch is an improvement: from 1e-4 it takes three falls to 8e-7.
    changes = {"learning_rate": "adaptive", "tol": 1e9, "max_iter": 50}
    other = TrainingJob(ARCHITECTURE, 1, settings=(("learning_rate_init", 1e-3),))
    faster, slower = _train(data, other, learning_rate_init=1e-4, **changes)
    assert [faster.n_iter, slower.n_iter] == [7, 11]
    # With Adam, it is constant.
    (constant,) = _train(data, solver="adam", learning_rate_init=1e-4, **changes)
    assert constant.n_iter == 50


@pytest.mark.parametrize(
    ("solver", "expected"), [("sgd", [0.01, 0.005]), ("adam", [0.01, 0.01])]
)
def test_invscaling_divides_by_a_power_of_the_epoch(monkeypatch, solver, expected):
    network = StackedMLP([ARCHITECTURE], 4, 3, dropout=[0.0], device=CPU)
    changes = {"learning_rate": "invscaling", "power_t": 1.0, "solver": solver}
    settings = dataclasses.replace(SETTINGS, **changes).optimizer
    optimizer = StackedSGD(network, [settings])
    rates = []
    monkeypatch.setattr(optimizer.groups[0], "set_rate", rates.append)
    for optimizer.n_iter in (1, 2):
        optimizer.set_progress([0.0])
    np.testing.assert_allclose(rates, expected)


def test_a_selection_keeps_the_factors_of_its_rates():
    network = StackedMLP([ARCHITECTURE] * 3, 4, 3, dropout=[0.0] * 3, device=CPU)
    optimizer = StackedSGD(network, [SETTINGS.optimizer] * 3)
    optimizer.factors.copy_(torch.tensor([[1.0], [0.2], [0.04]]))
    kept = torch.tensor([0, 2])
    selected = network.select(kept)
    optimizer.select(selected, kept)
    optimizer.set_progress([0.0])
    selected.gradients.fill_(1.0)
    selected.parameters.zero_()
    optimizer.step(40)
    # With Nesterov's momentum, the first step is 1.9 times the rate.
    np.testing.assert_allclose(
        selected.parameters[:, 0].numpy(), [-0.019, -0.019 * 0.04], rtol=1e-6
    )


LBFGS = {"solver": "lbfgs", "max_iter": 60, "batch_size": "auto"}


def _objective(data, weights, alpha):
    """Compute MLPClassifier's loss with its L2 term, with 64 bits."""
    hidden = data.X.astype(np.float64)
    for coef, bias in weights[:-1]:
        hidden = np.tanh(hidden @ coef + bias)
    log_p = log_softmax(hidden @ weights[-1][0] + weights[-1][1], axis=1)
    squares = sum((coef.astype(np.float64) ** 2).sum() for coef, _ in weights)
    loss = -log_p[np.arange(len(data.y)), data.y].mean()
    return loss, loss + 0.5 * alpha * squares / len(data.y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("chunk", [2048, 64])
def test_lbfgs_falls_as_low_as_that_of_scikit_learn(data, chunk, monkeypatch):
    monkeypatch.setattr(full_batch, "_CHUNK", chunk)
    mlp = _fit_mlp(data, solver="lbfgs", max_iter=60, alpha=0.5)
    (result,) = _train(data, **LBFGS)
    loss, objective = _objective(data, result.weights, 0.5)
    assert objective < 1.02 * mlp.loss_
    assert result.loss_curve[-1] == pytest.approx(loss, rel=1e-4)
    assert result.n_iter == result.best_iter == len(result.loss_curve) <= 60
    # Learning rates and the order of rows have no meaning.
    (same,) = _train(data, learning_rate_init=9.0, shuffle=True, **LBFGS)
    assert same.loss_curve == result.loss_curve


def test_lbfgs_ends_by_its_tolerance_or_its_number_of_evaluations(data):
    (result,) = _train(data, **LBFGS, tol=0.05)
    (longer,) = _train(data, **LBFGS, tol=1e-3)
    assert result.n_iter < longer.n_iter < 60
    # An iteration takes an evaluation or a few.
    assert _train(data, **LBFGS, max_fun=3)[0].n_iter <= 3


def test_lbfgs_weighs_rows(data):
    weights = np.where(np.arange(len(data.X)) % 2, 4.0, 0.0)
    weighted = dataclasses.replace(data, sample_weight=weights)
    odd = dataclasses.replace(data, X=data.X[1::2], y=data.y[1::2])
    (result,) = _train(weighted, **{**LBFGS, "max_iter": 5}, alpha=0.0)
    (expected,) = _train(odd, **{**LBFGS, "max_iter": 5}, alpha=0.0)
    np.testing.assert_allclose(result.loss_curve, expected.loss_curve, rtol=1e-3)


def _validated(data):
    return dataclasses.replace(data, X_validation=data.X[:30], y_validation=data.y[:30])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_lbfgs_validates_at_its_end_wherever_it_is_trained(data, n_jobs):
    folds = [_validated(data), data]
    changes = {**LBFGS, "max_iter": 5, "dropout": 0.5, "alpha": 0.0}
    settings = dataclasses.replace(SETTINGS, **changes)
    dropped = Architecture((8, "relu"), "dropout")
    jobs = [TrainingJob(dropped, 1), TrainingJob(dropped, 2, epochs=2)]
    jobs += [TrainingJob(ARCHITECTURE, 3, settings=(("solver", "adam"),), epochs=3)]
    jobs += [TrainingJob(ARCHITECTURE, 4, fold=1)]
    trainer = Trainer(folds, settings, seed=0, device=CPU, n_jobs=n_jobs)
    # Threads share all that processes do not.
    with joblib.parallel_config("threading"):
        results = dict(trainer.train(jobs))
    assert [results[i].n_iter for i in range(4)] == [5, 2, 3, 5]
    assert [len(results[i].validation_scores) for i in range(4)] == [1, 1, 3, 0]
    p = results[0].validation_predictions
    assert p.shape == (30, 3)
    loss = -np.log(p[np.arange(30), data.y[:30]]).mean()
    assert results[0].validation_loss == pytest.approx(loss, rel=1e-4)
    assert results[0].validation_scores == [
        pytest.approx((p.argmax(axis=1) == data.y[:30]).mean())
    ]
    # The loss is one function, without dropout: iterations only lower it.
    assert results[0].loss_curve == sorted(results[0].loss_curve, reverse=True)
    # What is trained together equals what is trained alone.
    both = train_stack(folds[0], jobs[:2], settings, 0, CPU)
    assert [r.loss_curve for r in both] == [results[i].loss_curve for i in range(2)]


def test_lbfgs_keeps_to_its_budget_and_can_be_cancelled(data):
    settings = dataclasses.replace(SETTINGS, **LBFGS)
    jobs = [TrainingJob(ARCHITECTURE, seed) for seed in range(2)]
    over, never = Budget(-1.0), lambda: False
    given = _validated(data), jobs, settings, 0, CPU
    results = train_stack(*given, over, never)
    assert [result.n_iter for result in results] == [1, 1]
    assert all(result.validation_predictions is not None for result in results)
    assert train_stack(*given, over, never, must_finish=False) == []
    # Asked before each evaluation, and after each child.
    calls = []

    def is_cancelled():
        calls.append(1)
        return len(calls) > 3

    assert train_stack(*given, Budget(), is_cancelled) == []
    assert len(calls) <= 5


def test_lbfgs_keeps_the_best_where_the_loss_becomes_infinite(data, monkeypatch):
    original, values = full_batch._Minimization._loss_and_gradient, []

    def evaluate(self):
        loss, gradient = original(self)
        values.append(loss if len(values) < 4 else math.inf)
        return values[-1], gradient

    monkeypatch.setattr(full_batch._Minimization, "_loss_and_gradient", evaluate)
    (result,) = _train(data, **LBFGS, alpha=0.0)
    assert not result.failed
    assert len(values) == 5
    assert result.loss_curve[-1] == min(values)
    loss, _ = _objective(data, result.weights, 0.0)
    assert loss == pytest.approx(min(values), rel=1e-5)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_lbfgs_fails_where_a_loss_is_not_finite(data, where):
    given, weights = _validated(data), _initial_weights()
    if where == "training":
        weights[1][0][0] = np.nan
    else:
        gaps = np.full_like(given.X_validation, np.nan)
        given = dataclasses.replace(given, X_validation=gaps)
    settings = dataclasses.replace(SETTINGS, **{**LBFGS, "max_iter": 2})
    job = TrainingJob(ARCHITECTURE, 1, weights)
    (result,) = train_stack(given, [job], settings, 0, CPU)
    assert result.error == "a loss that is NaN or infinite"
    assert result.weights == []
    assert result.validation_predictions is None
    assert math.isnan(result.validation_loss)
