import dataclasses

import numpy as np
import pytest
import torch

from sknas import Architecture
from sknas._engine.jobs import OptimizerSettings
from sknas._engine.network import StackedMLP
from sknas._engine.training.adam import StackedAdam

SETTINGS = OptimizerSettings(
    solver="adam",
    learning_rate_init=0.01,
    learning_rate="constant",
    weight_decay=0.0001,
    max_iter=1,
    schedule_iter=1,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    momentum=0.9,
    nesterovs_momentum=True,
    power_t=0.5,
)
N_ROWS = 16


def _make_optimizer(*widths, **settings):
    """Make a stack with one child of each width, biases of 0.5, and its optimiser."""
    network = StackedMLP(
        [Architecture((width, "relu")) for width in widths or (4,)],
        3,
        2,
        dropout=[0.0] * len(widths or (4,)),
        device=torch.device("cpu"),
    )
    for child in range(network.n_children):
        network.initialize(child, child)
    for biases in network.biases:
        biases.fill_(0.5)
    return network, StackedAdam(
        network, [dataclasses.replace(SETTINGS, **settings)] * network.n_children
    )


@pytest.mark.parametrize(
    ("learning_rate", "progress", "expected"),
    [
        ("constant", 0.0, 0.01),
        ("constant", 0.9, 0.01),
        ("cosine", 0.0, 0.01),
        ("cosine", 1 / 3, 0.0075),
        ("cosine", 0.5, 0.005),
        ("cosine", 1.0, 0.0),
    ],
)
def test_the_schedule_gives_the_step_its_size(learning_rate, progress, expected):
    # Adam's first step is the learning rate, whatever the gradient.
    network, optimizer = _make_optimizer(learning_rate=learning_rate)
    network.gradients.fill_(7.0)
    before = network.parameters.clone()
    optimizer.set_progress([progress])
    optimizer.step(N_ROWS)
    moved = before - network.parameters
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-6)


def test_adamw_shrinks_weights_and_no_bias():
    network, optimizer = _make_optimizer(
        solver="adamw", weight_decay=0.5, learning_rate_init=0.1
    )
    weights = [weight.clone() for weight in network.weights]
    optimizer.set_progress([0.0])
    for _ in range(2):
        optimizer.step(N_ROWS)
    for weight, before in zip(network.weights, weights, strict=True):
        torch.testing.assert_close(weight, before * 0.95**2)
    assert all((bias == 0.5).all() for bias in network.biases)


@pytest.mark.parametrize(
    ("solver", "constants"),
    [("adam", (0.9, 0.999, 1e-8)), ("adamw", (0.7, 0.9, 0.1))],
)
def test_steps_equal_those_of_torchs_own_optimiser(solver, constants):
    alpha = 0.7
    beta_1, beta_2, epsilon = constants
    network, optimizer = _make_optimizer(
        *(4, 4),
        solver=solver,
        weight_decay=alpha,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
    )
    weights = [weight.clone().requires_grad_() for weight in network.weights]
    biases = [bias.clone().requires_grad_() for bias in network.biases]
    # The L2 term is divided by the batch size, as in MLPClassifier.
    decay = alpha / N_ROWS if solver == "adam" else alpha
    cls = torch.optim.Adam if solver == "adam" else torch.optim.AdamW
    reference = cls(
        [
            {"params": weights, "weight_decay": decay},
            {"params": biases, "weight_decay": 0.0},
        ],
        lr=SETTINGS.learning_rate_init,
        betas=(beta_1, beta_2),
        eps=epsilon,
    )
    generator = torch.Generator().manual_seed(3)
    optimizer.set_progress([0.0])
    for _ in range(5):
        network.gradients.normal_(generator=generator)
        gradients = network.views(network.gradients)
        for parameters, values in zip((weights, biases), gradients, strict=True):
            for parameter, value in zip(parameters, values, strict=True):
                parameter.grad = value.clone()
        optimizer.step(N_ROWS)
        reference.step()
    for ours, theirs in zip(network.weights, weights, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(network.biases, biases, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_neighbours_with_equal_settings_are_one_group():
    network, _ = _make_optimizer(4, 4, 4, 4)
    other = dataclasses.replace(SETTINGS, weight_decay=0.5)
    optimizer = StackedAdam(network, [SETTINGS, SETTINGS, other, SETTINGS])
    assert [group.settings for group in optimizer.groups] == [SETTINGS, other, SETTINGS]
    kept = torch.tensor([0, 1, 3])
    optimizer.select(network.select(kept), kept)
    assert [group.settings for group in optimizer.groups] == [SETTINGS]


def test_a_selection_keeps_its_moments():
    generator = torch.Generator().manual_seed(3)
    stack, optimizer = _make_optimizer(9, 4)
    alone, reference = _make_optimizer(9)
    for _ in range(2):
        gradients = torch.zeros_like(alone.gradients).normal_(generator=generator)
        alone.gradients.copy_(gradients)
        # The same gradient for the wide child, which both have first.
        for target, source in zip(
            stack._corners(stack.gradients, 0),
            alone._corners(gradients, 0),
            strict=True,
        ):
            target[0].copy_(source[0])
            target[1].copy_(source[1])
        for each in (optimizer, reference):
            each.set_progress([0.0])
            each.step(N_ROWS)
    kept = torch.tensor([0])
    selected = stack.select(kept)
    optimizer.select(selected, kept)
    optimizer.set_progress([0.0])
    selected.gradients.copy_(gradients)
    optimizer.step(N_ROWS)
    reference.step(N_ROWS)
    for pair, other in zip(selected.extract(0), alone.extract(0), strict=True):
        np.testing.assert_allclose(pair[0], other[0], rtol=1e-6)
        np.testing.assert_allclose(pair[1], other[1], rtol=1e-6)
