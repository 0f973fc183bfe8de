import copy
import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from torch.nn import functional

from sknas import Architecture, SearchSpace
from sknas._engine.network import StackedMLP
from sknas._engine.supernet.network import SupernetWeights
from sknas._engine.supernet.passes import SupernetPass
from sknas._engine.supernet.unrolling import unrolled_gradients
from sknas._space import ACTIVATIONS, Gates
from sknas._tasks.outputs import (
    IdentityOutput,
    MultilabelOutput,
    PoissonOutput,
    SigmoidOutput,
    SoftmaxOutput,
)

CPU = torch.device("cpu")
SPACE = SearchSpace((6, 3, 9), ACTIVATIONS, max_layers=4)
N_FEATURES, N_ROWS = 5, 7
OUTPUTS = {
    "binary": SigmoidOutput(),
    "three classes": SoftmaxOutput(3),
    "labels": MultilabelOutput(3),
    "numbers": IdentityOutput(2),
    "counts": PoissonOutput(2),
}
FUNCTIONS = {
    "relu": torch.relu,
    "elu": functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z,
}


def _make_weights(n_outputs, dtype=torch.float64, space=SPACE):
    weights = SupernetWeights(space, N_FEATURES, n_outputs, device=CPU, dtype=dtype)
    weights.initialize(0)
    generator = torch.Generator().manual_seed(1)
    for layer in weights.layers:
        layer[0].uniform_(-0.5, 0.5, generator=generator)
    return weights


def _soft_gates(seed=0, space=SPACE):
    generator = np.random.default_rng(seed)
    n_layers = space.max_layers - 1
    skip = generator.uniform(0.1, 0.9, n_layers)
    skip[0] = 0
    return Gates(
        generator.dirichlet(np.ones(len(space.activations)), n_layers),
        generator.dirichlet(np.ones(len(space.layer_widths)), n_layers),
        skip,
        np.zeros(n_layers, dtype=bool),
    )


def _make_batch(n_outputs, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn((N_ROWS, N_FEATURES), generator=generator, dtype=dtype)
    targets = torch.rand((1, n_outputs, N_ROWS), generator=generator, dtype=dtype)
    return X, targets / targets.sum(1, keepdim=True)


def _tensors(gates):
    """Return activation, width and skip as leaves of a graph."""
    arrays = (gates.activation, gates.width, gates.skip)
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def _reference_logits(weights, layers, gates, X):
    """Compute what the module says, by autograd's means, at full width."""
    activation, width, skip = gates
    masks = torch.zeros((len(weights.widths), weights.widths[-1]), dtype=X.dtype)
    for row, end in zip(masks, weights.widths, strict=True):
        row[:end] = 1
    hidden = X
    for number, layer in enumerate(layers[:-1]):
        z = hidden @ layer[1:] + layer[0]
        names = weights.space.activations
        mixed = sum(
            g * FUNCTIONS[n](z) for g, n in zip(activation[number], names, strict=True)
        )
        computed = (width[number] @ masks) * mixed
        if number:
            computed = (1 - skip[number]) * computed + skip[number] * hidden
        hidden = computed
    return (hidden @ layers[-1][1:] + layers[-1][0]).T[None]


def _reference_loss(output, logits, targets, row_weights):
    """Return the mean loss, with the gradient that the output says it has."""

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(context, z):
            loss = torch.zeros_like(z)
            context.gradient = output.add_loss(z.clone(), targets, loss)
            return loss

        @staticmethod
        def backward(context, gradient):
            return context.gradient * gradient

    return (Loss.apply(logits) * row_weights).sum() / N_ROWS


def _analytic(weights, output, gates, batch, row_weights=1.0, wants_gates=True):
    X, targets = batch
    of_gates = SupernetPass(weights, gates, wants_gates=wants_gates)
    logits = of_gates.forward(X)
    loss = torch.zeros_like(logits)
    gradient = output.add_loss(logits, targets, loss) * row_weights
    of_gates.backward(gradient / N_ROWS)
    return of_gates


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
def test_gradients_agree_with_autograd(output):
    weights = _make_weights(output.n_outputs)
    batch = _make_batch(output.n_outputs)
    row_weights = torch.linspace(0.2, 1.8, N_ROWS, dtype=torch.float64)
    gates = _soft_gates()
    of_gates = _analytic(weights, output, gates, batch, row_weights)
    layers = [layer.clone().requires_grad_() for layer in weights.layers]
    leaves = _tensors(gates)
    logits = _reference_logits(weights, layers, leaves, batch[0])
    _reference_loss(output, logits, batch[1], row_weights).backward()
    for analytic, layer in zip(weights.layer_gradients, layers, strict=True):
        torch.testing.assert_close(analytic, layer.grad, rtol=1e-6, atol=1e-9)
    found = of_gates.gate_gradients()
    activation, width, skip = (leaf.grad.numpy() for leaf in leaves)
    np.testing.assert_allclose(found.activation, activation, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.width, width, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.skip, skip, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture((3, "sigmoid")),
        Architecture((9, "elu"), (3, "tanh")),
        Architecture((3, "relu"), (9, "identity"), (6, "sigmoid")),
    ],
)
def test_a_slice_is_the_child(architecture):
    weights = _make_weights(3, torch.float32)
    X, targets = _make_batch(3, torch.float32)
    gates = Gates.of(architecture, SPACE)
    child = StackedMLP([architecture], N_FEATURES, 3, dropout=[0.0], device=CPU)
    child.initialize(0, 0, weights.extract(architecture))
    expected = child.logits(X)
    of_slice = SupernetPass(weights, gates)
    torch.testing.assert_close(of_slice.forward(X), expected, rtol=0, atol=1e-6)
    # Also where everything is computed, and closed gates close it.
    whole = SupernetPass(weights, gates, wants_gates=True)
    torch.testing.assert_close(whole.forward(X), expected, rtol=0, atol=1e-6)
    assert of_slice.hidden_widths == architecture.hidden_layer_sizes
    assert of_slice.n_activations == len(architecture.hidden_layer_sizes)
