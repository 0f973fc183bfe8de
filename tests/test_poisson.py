"""Counts: the Poisson deviance as a loss."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance, r2_score
from sklearn.neural_network import MLPRegressor

from sknas import NASMLPClassifier, NASMLPRegressor
from sknas._tasks.outputs import PoissonOutput
from sknas._tasks.regression import Regression
from sknas._tasks.target import MeanScaler

GENERATOR = np.random.default_rng(0)
N_ROWS = 40


def _logits(n_children):
    return torch.from_numpy(GENERATOR.normal(size=(n_children, 2, N_ROWS)))


@pytest.fixture
def fast(fast):
    """Without a search."""
    return {**fast, "n_rounds": 1, "n_architectures": 1}


@pytest.fixture(scope="module")
def counts():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 6))
    return X, generator.poisson(np.exp(np.abs(X[:, 0]) - X[:, 1] / 2))


def test_the_gradient_is_that_of_half_the_deviance():
    output = PoissonOutput(2)
    targets = output.targets(GENERATOR.poisson(1.5, (N_ROWS, 2)))[None].double()
    logits = _logits(3)
    logits.requires_grad_()
    loss = torch.zeros_like(logits)
    with torch.no_grad():
        gradient = output.add_loss(logits, targets, loss)
    for child, means in zip(loss, logits.exp(), strict=True):
        expected = mean_poisson_deviance(
            targets[0].ravel(), means.detach().numpy().ravel()
        )
        assert child.sum(0).mean().item() == pytest.approx(expected / 2)
    (logits.exp() - targets * logits).mean(dim=1).sum().backward()
    np.testing.assert_allclose(gradient, logits.grad)


@pytest.mark.parametrize("weights", [None, GENERATOR.uniform(0.1, 3, N_ROWS)])
def test_what_validation_rows_tell(weights):
    output = PoissonOutput(2)
    y = GENERATOR.poisson(2, (N_ROWS, 2)) / 2
    predictions = output.predictions(_logits(1))
    means = output.as_rows(predictions[0])
    shares = None if weights is None else torch.from_numpy(weights / weights.sum())
    measured = (predictions, torch.from_numpy(y), shares)
    deviances = [
        mean_poisson_deviance(y[:, i], means[:, i], sample_weight=weights)
        for i in range(2)
    ]
    loss = output.validation_loss(*measured).item()
    assert loss == pytest.approx(np.mean(deviances) / 2)
    expected = r2_score(y, means, sample_weight=weights)
    assert output.validation_score(*measured).item() == pytest.approx(expected)


def test_no_logit_overflows():
    output = PoissonOutput(1)
    logits = torch.tensor([[[-1e30, 1e30]]])
    loss = torch.zeros_like(logits)
    assert output.add_loss(logits, torch.ones(1, 1, 2), loss).isfinite().all()
    assert loss.isfinite().all()
    assert (output.as_rows(output.predictions(logits)[0]) > 0).all()


def test_merits_are_deviances_relative_to_a_constant():
    y = GENERATOR.poisson(2, N_ROWS)
    weights = GENERATOR.uniform(0.1, 3, N_ROWS)
    task = Regression.from_target(None, y, y, weights, "poisson")
    for scoring in (None, "neg_mean_poisson_deviance", "d2_absolute_error_score"):
        task.metric(scoring, None, np.arange(N_ROWS)).check()
    metric = task.metric(None, None, np.arange(N_ROWS))
    predictions = GENERATOR.uniform(0.5, 2, (N_ROWS, 1))
    numbers = task.scaler.inverse_transform(predictions)
    score = metric.score(predictions)
    assert score == pytest.approx(r2_score(y, numbers, sample_weight=weights))
    of_guess = mean_poisson_deviance(
        y, np.full(N_ROWS, np.average(y, weights=weights)), sample_weight=weights
    )
    expected = 1 - mean_poisson_deviance(y, numbers, sample_weight=weights) / of_guess
    assert metric.merit(predictions, score) == pytest.approx(expected, rel=1e-5)
    assert metric.guess_reward() == pytest.approx(0, abs=1e-5)
    rows = np.arange(N_ROWS // 2)
    some = metric.restrict(rows), task.metric(None, None, rows)
    rewards = [each.reward(predictions[rows], score) for each in some]
    assert rewards[0] == rewards[1] != metric.reward(predictions, score)


@pytest.mark.parametrize("factor", [1e-300, 1.0, 1e307])
def test_targets_are_divided_by_their_mean(factor):
    y = factor * GENERATOR.poisson([1, 4], (N_ROWS, 2))
    scaler = MeanScaler().fit(y)
    scaled = scaler.transform(y)
    np.testing.assert_allclose(scaled.mean(axis=0), 1)
    np.testing.assert_allclose(scaler.inverse_transform(scaled), y)
    highest = scaler.inverse_transform(np.full((1, 2), 1e300))
    # Ten times the greatest target, as far as there are such numbers.
    bound = [
        min(10 * largest, np.finfo(float).max) for largest in y.max(axis=0).tolist()
    ]
    np.testing.assert_allclose(highest[0], bound)


def test_counts_are_predicted(fast, counts):
    X, y = counts
    settings = {**fast, "max_iter": 40, "learning_rate_init": 0.01}
    settings |= {"layer_widths": (64,), "search_strategy": "random"}
    regressor = NASMLPRegressor(**settings, loss="poisson").fit(X[:300], y[:300])
    predicted = regressor.predict(X[300:])
    assert regressor.out_activation_ == "exp"
    assert (predicted > 0).all()
    assert regressor.score(X[300:], y[300:]) == r2_score(y[300:], predicted)
    others = [PoissonRegressor()]
    if "loss" in MLPRegressor().get_params():
        settings = {"learning_rate_init": 0.02, "max_iter": 1000, "random_state": 0}
        others += [MLPRegressor(loss="poisson", **settings)]
    deviances = [
        mean_poisson_deviance(y[300:], model.fit(X[:300], y[:300]).predict(X[300:]))
        for model in others
    ]
    assert mean_poisson_deviance(y[300:], predicted) < min(deviances)
    module = regressor.to_torch()
    in_torch = module(torch.from_numpy(X)).detach().numpy()[:, 0]
    np.testing.assert_allclose(in_torch, regressor.predict(X), atol=1e-6)


def test_several_counts_are_predicted(fast, counts):
    X, y = counts
    Y = np.column_stack([y, 1000 * (X[:, 0] > 0), np.zeros(len(y))])
    settings = {**fast, "max_iter": 20, "learning_rate_init": 0.02}
    settings["scoring"] = "neg_mean_squared_error"
    regressor = NASMLPRegressor(**settings, loss="poisson").fit(X, Y)
    predicted = regressor.predict(X)
    assert predicted.shape == Y.shape
    assert (predicted > 0).all()
    of_outputs = r2_score(Y[:, :2], predicted[:, :2], multioutput="raw_values")
    assert of_outputs.min() > 0.1
    assert predicted[:, 2].mean() < 0.1


def test_the_members_means_are_averaged(fast, counts):
    X, y = counts
    regressor = NASMLPRegressor(**fast, loss="poisson").fit(X, y)
    encoded = regressor.encoder_.transform(X[:5])
    members = regressor.ensemble_.members
    assert len(members) > 1
    alone = [type(regressor.ensemble_)([m], "exp").predict(encoded) for m in members]
    np.testing.assert_allclose(
        regressor.ensemble_.predict(encoded), np.mean(alone, axis=0)
    )


def test_scorers_of_counts_are_taken(fast, counts):
    X, y = counts
    settings = {**fast, "scoring": "neg_mean_poisson_deviance"}
    regressor = NASMLPRegressor(**settings, loss="poisson").fit(X, y)
    assert -100 < regressor.best_score_ < 0


def test_negative_targets_are_refused_before_any_training(counts):
    X, y = counts
    regressor = NASMLPRegressor(n_rounds=10**9, loss="poisson")
    message = (
        r"Some value\(s\) of y are out of the valid range of the loss 'poisson'.*"
        r"Got -1\.0 instead"
    )
    with pytest.raises(ValueError, match=message):
        regressor.fit(X, np.where(np.arange(len(y)) == 7, -1, y))
    with pytest.raises(ValueError, match="The 'loss' parameter of NASMLPRegressor"):
        NASMLPRegressor(loss="gamma").fit(X, y)
    assert "loss" not in NASMLPClassifier().get_params()
