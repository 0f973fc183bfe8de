import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from sknas import Architecture, _network
from sknas._network import SigmoidOutput, SoftmaxOutput, StackedMLP
from sknas._space import ACTIVATIONS

CPU = torch.device("cpu")
OUTPUTS = {"binary": (SigmoidOutput, 1), "three classes": (SoftmaxOutput, 3)}
every_task = pytest.mark.parametrize(
    ("output", "n_outputs"), OUTPUTS.values(), ids=OUTPUTS
)
ACTIVATION_FUNCTIONS = {
    "relu": torch.relu,
    "elu": functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
N_FEATURES = 5


def _to_double(network):
    """Give a network 64 bits, so that finite differences are worth comparing with."""
    network.parameters = network.parameters.double()
    network.gradients = network.gradients.double()
    network.weights, network.biases = network._views(network.parameters)
    network._weight_gradients, network._bias_gradients = network._views(
        network.gradients
    )
    return network


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _make_network(architecture, n_outputs=3, *, n_children=1, dropout=0.0, seed=0):
    network = StackedMLP(
        architecture,
        N_FEATURES,
        n_outputs,
        dropout=dropout,
        n_children=n_children,
        device=CPU,
    )
    for child in range(n_children):
        network.initialize(child, _generator(seed + child))
        for biases in network.biases:
            biases[child].uniform_(-0.5, 0.5, generator=_generator(seed + child))
    return network


def _make_batch(n_outputs, n_rows=7, seed=1):
    generator = _generator(seed)
    X = torch.randn((1, n_rows, N_FEATURES), generator=generator)
    y = torch.randint(max(n_outputs, 2), (n_rows,), generator=generator)
    if n_outputs == 1:
        return X, (0.9 * y[None, :, None] + 0.05).to(X.dtype)
    one_hot = functional.one_hot(y, n_outputs).to(X.dtype)
    return X, (0.9 * one_hot + 0.1 / n_outputs)[None]


def _step(network, output, X, targets):
    """Return the losses, with the gradients left in the network."""
    loss, gradient = output.loss(network.forward(X), targets)
    network.backward(X, gradient)
    return loss.clone()


@every_task
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_finite_differences(activation, output, n_outputs):
    architecture = Architecture((6, activation), (4, activation))
    network = _to_double(_make_network(architecture, n_outputs, n_children=2))
    X, targets = (tensor.double() for tensor in _make_batch(n_outputs))
    _step(network, output, X, targets)
    analytic = network.gradients.clone()
    step, numeric = 1e-6, torch.zeros_like(analytic)
    # One parameter at a time, in both children at once: they do not interact.
    for position in range(network.parameters.shape[1]):
        original = network.parameters[:, position].clone()
        network.parameters[:, position] = original + step
        above, _ = output.loss(network.forward(X), targets)
        network.parameters[:, position] = original - step
        below, _ = output.loss(network.forward(X), targets)
        network.parameters[:, position] = original
        numeric[:, position] = (above - below) / (2 * step)
    torch.testing.assert_close(analytic, numeric, rtol=1e-6, atol=1e-7)
    assert analytic.abs().max() > 0.01


def _autograd(network, output, X, targets, masks):
    """Compute losses and gradients again, with nothing of the network's arithmetic."""
    weights = [w.clone().requires_grad_() for w in network.weights]
    biases = [b.clone().requires_grad_() for b in network.biases]
    hidden = X
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        hidden = hidden @ w + b
        if layer < len(weights) - 1:
            _, activation = network.architecture.dense_layers[layer]
            hidden = ACTIVATION_FUNCTIONS[activation](hidden)
            if masks[layer] is not None:
                hidden = hidden * masks[layer]
    targets = targets.expand_as(hidden)
    if output is SigmoidOutput:
        loss = functional.binary_cross_entropy_with_logits(
            hidden, targets, reduction="none"
        ).sum((1, 2))
    else:
        log_p = functional.log_softmax(hidden, dim=2)
        loss = -(targets * log_p).sum((1, 2))
    loss.sum().backward()
    return loss.detach(), [w.grad for w in weights], [b.grad for b in biases]


@every_task
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_autograd_under_dropout(activation, output, n_outputs):
    architecture = Architecture(
        (9, activation), "dropout", (6, "tanh"), (8, activation), "dropout"
    )
    network = _make_network(architecture, n_outputs, n_children=3, dropout=0.4)
    network = _to_double(network)
    X, targets = (tensor.double() for tensor in _make_batch(n_outputs))
    network.draw_masks(X.shape[1], [_generator(seed) for seed in range(3)])
    masks = network._workspace(X.shape[1]).masks
    loss = _step(network, output, X, targets)
    expected_loss, weight_gradients, bias_gradients = _autograd(
        network, output, X, targets, masks
    )
    torch.testing.assert_close(loss, expected_loss)
    gradients = network._views(network.gradients)
    torch.testing.assert_close(gradients[0], weight_gradients)
    torch.testing.assert_close(gradients[1], bias_gradients)


def test_the_losses_agree_with_worked_examples():
    # log 2 at a logit of 0, whatever the target; gradient p - t.
    loss, gradient = SigmoidOutput.loss(
        torch.zeros(1, 2, 1), torch.tensor([[[1.0], [0]]])
    )
    assert loss.tolist() == pytest.approx([2 * math.log(2)])
    assert gradient.flatten().tolist() == pytest.approx([-0.5, 0.5])
    # Logits log 1, log 2, log 5: probabilities 1/8, 2/8, 5/8.
    logits = torch.log(torch.tensor([[[1.0, 2, 5]]]))
    loss, gradient = SoftmaxOutput.loss(logits, torch.tensor([[[0.0, 1, 0]]]))
    assert loss.tolist() == pytest.approx([math.log(4)])
    assert gradient.flatten().tolist() == pytest.approx([1 / 8, 2 / 8 - 1, 5 / 8])


@every_task
def test_probabilities_sum_to_one_and_extreme_logits_stay_finite(output, n_outputs):
    logits = torch.tensor([-1000.0, -1, 0, 1, 1000])[None, :, None]
    logits = logits * torch.arange(1, n_outputs + 1)
    log_p = output.log_probabilities(logits)
    assert log_p.shape == (1, 5, max(n_outputs, 2))
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(1, 5))
    loss, gradient = output.loss(logits, torch.full_like(logits, 1 / max(n_outputs, 2)))
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


def test_the_sigmoid_unit_is_the_probability_of_the_second_class():
    log_p = SigmoidOutput.log_probabilities(torch.tensor([[[math.log(3)]]]))
    assert log_p.exp().flatten().tolist() == pytest.approx([0.25, 0.75])


def test_a_forward_pass_agrees_with_a_worked_example():
    network = StackedMLP(
        Architecture((2, "relu")), 2, 1, dropout=0.0, n_children=1, device=CPU
    )
    network.weights[0][0] = torch.tensor([[1.0, -1.0], [2.0, 0.0]])
    network.biases[0][0, 0] = torch.tensor([0.5, 0.25])
    network.weights[1][0] = torch.tensor([[2.0], [3.0]])
    network.biases[1][0, 0] = torch.tensor([-1.0])
    X = torch.tensor([[[1.0, 1.0], [-2.0, 0.0]]])
    # Row 1: relu(3.5, -0.75) = (3.5, 0) -> 6. Row 2: relu(-1.5, 2.25) -> 5.75.
    assert network.forward(X).flatten().tolist() == [6.0, 5.75]
    assert network.logits(X[0]).flatten().tolist() == [6.0, 5.75]


@every_task
def test_three_stacked_children_equal_the_three_one_by_one(output, n_outputs):
    architecture = Architecture((9, "elu"), "dropout", (6, "relu"), "dropout")
    X, targets = _make_batch(n_outputs)
    stacked = _make_network(architecture, n_outputs, n_children=3, dropout=0.3)
    stacked.draw_masks(X.shape[1], [_generator(seed) for seed in (10, 11, 12)])
    losses = _step(stacked, output, X, targets)
    logits = stacked.logits(X[0])
    for child in range(3):
        single = _make_network(architecture, n_outputs, dropout=0.3, seed=child)
        single.draw_masks(X.shape[1], [_generator(10 + child)])
        loss = _step(single, output, X, targets)
        torch.testing.assert_close(losses[child : child + 1], loss)
        torch.testing.assert_close(
            stacked.gradients[child : child + 1], single.gradients
        )
        torch.testing.assert_close(logits[child : child + 1], single.logits(X[0]))
        for stacked_pair, single_pair in zip(
            stacked.extract(child), single.extract(0), strict=True
        ):
            np.testing.assert_array_equal(stacked_pair[0], single_pair[0])
            np.testing.assert_array_equal(stacked_pair[1], single_pair[1])
    assert len(set(losses.tolist())) == 3


def _masks(network, n_rows, generators):
    network.draw_masks(n_rows, generators)
    return [
        None if mask is None else mask.clone()
        for mask in network._workspace(n_rows).masks
    ]


@pytest.mark.parametrize("dropout", [0.1, 0.25, 0.5, 0.9])
def test_dropout_masks_have_the_rate_and_keep_the_expectation(dropout):
    network = _make_network(
        Architecture((200, "relu"), "dropout"), dropout=dropout, n_children=2
    )
    (mask,) = _masks(network, 101, [_generator(0), _generator(1)])
    share = round(dropout * 256) / 256
    assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
    for child in mask:
        dropped = (child == 0).double().mean().item()
        standard_error = math.sqrt(share * (1 - share) / child.numel())
        assert abs(dropped - share) < 5 * standard_error
        assert abs(dropped - dropout) < 5 * standard_error + 1 / 512


def test_dropout_masks_come_from_the_generators_alone():
    architecture = Architecture((30, "relu"), "dropout", (20, "relu"), "dropout")
    pair = _make_network(architecture, dropout=0.3, n_children=2)
    first = _masks(pair, 11, [_generator(0), _generator(1)])
    again = _masks(pair, 11, [_generator(0), _generator(1)])
    other = _masks(pair, 11, [_generator(0), _generator(2)])
    alone = _masks(_make_network(architecture, dropout=0.3), 11, [_generator(1)])
    for layer in range(2):
        assert torch.equal(first[layer], again[layer])
        assert torch.equal(first[layer][0], other[layer][0])
        assert not torch.equal(first[layer][1], other[layer][1])
        assert torch.equal(first[layer][1], alone[layer][0])
        assert not torch.equal(first[layer][0], first[layer][1])
    assert len(first) == 2
    assert not torch.equal(first[0][0, :, :20], first[1][0])


def test_dropout_of_successive_steps_differs():
    network = _make_network(Architecture((30, "relu"), "dropout"), dropout=0.3)
    generator = _generator()
    (first,) = _masks(network, 11, [generator])
    (second,) = _masks(network, 11, [generator])
    assert not torch.equal(first, second)


def test_without_dropout_nothing_is_drawn():
    generator = _generator()
    state = generator.get_state()
    for architecture, dropout in [
        (Architecture((8, "relu"), "dropout"), 0.0),
        (Architecture((8, "relu"), (8, "tanh")), 0.5),
    ]:
        network = _make_network(architecture, dropout=dropout)
        X, _ = _make_batch(3)
        network.draw_masks(X.shape[1], [generator])
        torch.testing.assert_close(network.forward(X), network.logits(X[0]))
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize("dropout", [0.997, 0.999])
def test_nearly_complete_dropout_still_computes(dropout):
    network = _make_network(Architecture((64, "relu"), "dropout"), dropout=dropout)
    X, targets = _make_batch(3)
    network.draw_masks(X.shape[1], [_generator()])
    assert _step(network, SoftmaxOutput, X, targets).isfinite().all()
    assert network.gradients.isfinite().all()


def test_alignment_padding_is_irrelevant():
    architecture = Architecture((9, "tanh"), (6, "relu"))
    X, targets = _make_batch(3)
    network = _make_network(architecture)
    loss = _step(network, SoftmaxOutput, X, targets)
    gradients = network.gradients.clone()
    padded = _make_network(architecture)
    is_padding = torch.ones_like(padded.parameters, dtype=torch.bool)
    for views in padded._views(is_padding):
        for view in views:
            view.fill_(False)
    assert is_padding.any()
    padded.parameters[is_padding] = 1e30
    torch.testing.assert_close(_step(padded, SoftmaxOutput, X, targets), loss)
    torch.testing.assert_close(padded.gradients, gradients)
    assert not gradients[is_padding].any()
    n_extracted = sum(w.size + b.size for w, b in padded.extract(0))
    assert n_extracted == architecture.n_parameters(N_FEATURES, 3)
    assert n_extracted == int((~is_padding).sum())


def test_what_decays_is_all_weights_and_no_bias():
    network = _make_network(Architecture((9, "tanh"), (6, "relu")), n_children=2)
    biases = [bias.clone() for bias in network.biases]
    network.decayed.zero_()
    assert not any(weights.any() for weights in network.weights)
    torch.testing.assert_close(network.biases, biases)
    assert all(bias.any() for bias in biases)


def test_logits_in_chunks_equal_those_in_one_pass(monkeypatch):
    network = _make_network(
        Architecture((9, "elu"), "dropout", (6, "sigmoid")), dropout=0.5
    )
    X = _make_batch(3, n_rows=11)[0][0]
    whole = network.logits(X)
    monkeypatch.setattr(_network, "_CHUNK", 4)
    chunked = network.logits(X)
    assert chunked.shape == (1, 11, 3)
    torch.testing.assert_close(chunked, whole)


def test_batches_of_different_sizes_do_not_disturb_each_other():
    network = _make_network(Architecture((9, "tanh")))
    X, targets = _make_batch(3, n_rows=8)
    whole = _step(network, SoftmaxOutput, X, targets)
    gradients = network.gradients.clone()
    parts = torch.zeros_like(gradients)
    losses = torch.zeros(1)
    for rows in (slice(0, 5), slice(5, 8)):
        losses += _step(network, SoftmaxOutput, X[:, rows], targets[:, rows])
        parts += network.gradients
    torch.testing.assert_close(losses, whole)
    torch.testing.assert_close(parts, gradients)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_initial_weights_have_the_variance_of_he_or_glorot(activation):
    network = StackedMLP(
        Architecture((200, activation)), 100, 50, dropout=0.0, n_children=1, device=CPU
    )
    network.initialize(0, _generator())
    rectifies = activation in ("relu", "elu")
    expected = [2 / 100 if rectifies else 2 / (100 + 200), 2 / (200 + 50)]
    for weights, biases, variance in zip(
        network.weights, network.biases, expected, strict=True
    ):
        assert weights.var().item() == pytest.approx(variance, rel=0.05)
        assert weights.abs().max().item() <= math.sqrt(3 * variance)
        assert not biases.any()


def test_inherited_weights_are_copied_and_do_not_shift_the_draws():
    architecture = Architecture((9, "tanh"), (6, "relu"))
    drawn, inherits = (_make_network(architecture) for _ in range(2))
    drawn.initialize(0, _generator(5))
    given = np.full((9, 6), 2.0, np.float32), np.full(6, 3.0, np.float32)
    inherits.initialize(0, _generator(5), [None, given, None])
    for layer in (0, 2):
        assert torch.equal(inherits.weights[layer], drawn.weights[layer])
        assert torch.equal(inherits.biases[layer], drawn.biases[layer])
    assert inherits.weights[1].unique().tolist() == [2.0]
    assert inherits.biases[1].unique().tolist() == [3.0]
    inherits.parameters.zero_()
    assert given[0].max() == given[0].min() == 2.0


def test_extracted_weights_are_copies():
    network = _make_network(Architecture((9, "tanh")))
    snapshot = network.parameters.clone()
    before = network.extract(0)
    network.parameters.add_(1.0)
    for (coef, intercept), (new_coef, new_intercept) in zip(
        before, network.extract(0), strict=True
    ):
        np.testing.assert_allclose(new_coef - coef, 1.0, rtol=1e-6)
        np.testing.assert_allclose(new_intercept - intercept, 1.0, rtol=1e-6)
    for pair, old in zip(network.extract(0, snapshot), before, strict=True):
        np.testing.assert_array_equal(pair[0], old[0])
    shapes = [coef.shape for coef, _ in before]
    assert shapes == list(itertools.pairwise((N_FEATURES, 9, 3)))
