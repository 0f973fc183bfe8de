"""The solvers of `MLPClassifier`, beside scikit-learn's own."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier

from sknas import Architecture
from sknas._engine.jobs import Plateau, TrainingData, TrainingJob, TrainingSettings
from sknas._engine.network import StackedMLP
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
