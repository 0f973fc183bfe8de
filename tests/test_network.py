import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from sknas import Architecture
from sknas._engine import network as _network
from sknas._engine.batch import Batch
from sknas._engine.layers import ACTIVATIONS as ACTIVATIONS_IN_PLACE
from sknas._engine.network import StackedMLP
from sknas._space import ACTIVATIONS
from sknas._tasks.outputs import (
    IdentityOutput,
    MultilabelOutput,
    SigmoidOutput,
    SoftmaxOutput,
)

CPU = torch.device("cpu")
CLASSES = {"binary": (SigmoidOutput(), 1), "three classes": (SoftmaxOutput(3), 3)}
OUTPUTS = {
    **CLASSES,
    "labels": (MultilabelOutput(3), 3),
    "numbers": (IdentityOutput(2), 2),
}
every_task = pytest.mark.parametrize(
    ("output", "n_outputs"), OUTPUTS.values(), ids=OUTPUTS
)
classes = pytest.mark.parametrize(
    ("output", "n_outputs"), CLASSES.values(), ids=CLASSES
)
ACTIVATION_FUNCTIONS = {
    "relu": torch.relu,
    "elu": functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z,
}
N_FEATURES = 5


def _to_double(network):
    """Give a network 64 bits, so that finite differences are worth comparing with."""
    network.parameters = network.parameters.double()
    network.gradients = network.gradients.double()
    network.weights, network.biases = network.views(network.parameters)
    return network


def _make_network(
    *architectures, n_outputs=3, n_children=1, dropout=0.0, seed=0, **settings
):
    """Make a stack of the architectures, or of several children of the only one."""
    if len(architectures) == 1:
        architectures *= n_children
    network = StackedMLP(
        architectures,
        N_FEATURES,
        n_outputs,
        dropout=[dropout] * len(architectures),
        device=CPU,
        **settings,
    )
    for child, architecture in enumerate(architectures):
        network.initialize(child, seed + child)
        widths = (*architecture.hidden_layer_sizes, n_outputs)
        generator = torch.Generator().manual_seed(seed + child)
        for biases, width in zip(network.biases, widths, strict=True):
            biases[child, :, :width].uniform_(-0.5, 0.5, generator=generator)
    return network


def _make_batch(n_outputs, n_rows=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn((n_rows, N_FEATURES), generator=generator)
    y = torch.randint(max(n_outputs, 2), (n_rows,), generator=generator)
    if n_outputs == 1:
        return X, (0.9 * y[None, None] + 0.05).to(X.dtype)
    one_hot = functional.one_hot(y, n_outputs).T.to(X.dtype)
    return X, (0.9 * one_hot + 0.1 / n_outputs)[None]


def _forward(batch, X):
    batch.X.copy_(X)
    return batch.forward()


def _step(network, output, X, targets, batch=None):
    """Return the losses, with the gradients left in the network."""
    batch = batch or Batch(network, len(X))
    logits = _forward(batch, X)
    loss = torch.zeros_like(logits)
    batch.backward(output.add_loss(logits, targets, loss))
    return loss.sum((1, 2))


def _losses(batch, output, X, targets):
    logits = _forward(batch, X)
    loss = torch.zeros_like(logits)
    output.add_loss(logits, targets, loss)
    return loss.sum((1, 2))


@every_task
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_finite_differences(activation, output, n_outputs):
    architecture = Architecture((6, activation), (4, activation))
    network = _make_network(architecture, n_outputs=n_outputs, n_children=2)
    network = _to_double(network)
    X, targets = (tensor.double() for tensor in _make_batch(n_outputs))
    _step(network, output, X, targets)
    analytic = network.gradients.clone()
    step, numeric = 1e-6, torch.zeros_like(analytic)
    batch = Batch(network, len(X))
    # One parameter at a time, in both children at once: they do not interact.
    for position in range(network.parameters.shape[1]):
        original = network.parameters[:, position].clone()
        network.parameters[:, position] = original + step
        above = _losses(batch, output, X, targets)
        network.parameters[:, position] = original - step
        below = _losses(batch, output, X, targets)
        network.parameters[:, position] = original
        numeric[:, position] = (above - below) / (2 * step)
    torch.testing.assert_close(analytic, numeric, rtol=1e-6, atol=1e-7)
    assert analytic.abs().max() > 0.01


def _autograd(network, output, X, targets, masks):
    """Compute losses and gradients again, with nothing of the network's arithmetic."""
    weights = [w.clone().requires_grad_() for w in network.weights]
    biases = [b.clone().requires_grad_() for b in network.biases]
    losses = []
    for child, architecture in enumerate(network.architectures):
        hidden = X
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            hidden = hidden @ w[child] + b[child]
            if layer < len(weights) - 1:
                _, activation = architecture.dense_layers[layer]
                hidden = ACTIVATION_FUNCTIONS[activation](hidden)
                if masks[layer] is not None:
                    hidden = hidden * masks[layer][child]
        if output.name == "logistic":
            loss = functional.binary_cross_entropy_with_logits(
                hidden, targets[0].T, reduction="sum"
            )
        elif output.name == "identity":
            loss = functional.mse_loss(hidden, targets[0].T, reduction="sum") / 4
        else:
            loss = -(targets[0].T * functional.log_softmax(hidden, dim=1)).sum()
        losses.append(loss)
    total = torch.stack(losses)
    total.sum().backward()
    return total.detach(), [w.grad for w in weights], [b.grad for b in biases]


@every_task
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_autograd_under_dropout(activation, output, n_outputs):
    architecture = Architecture(
        (9, activation), "dropout", (6, "tanh"), (8, activation), "dropout"
    )
    network = _make_network(
        architecture, n_outputs=n_outputs, n_children=3, dropout=0.4
    )
    network = _to_double(network)
    X, targets = (tensor.double() for tensor in _make_batch(n_outputs))
    batch = Batch(network, len(X))
    loss = _step(network, output, X, targets, batch)
    masks = [batch.masks[layer] for layer in range(3)]
    expected_loss, weight_gradients, bias_gradients = _autograd(
        network, output, X, targets, masks
    )
    torch.testing.assert_close(loss, expected_loss)
    gradients = network.views(network.gradients)
    torch.testing.assert_close(gradients[0], weight_gradients)
    torch.testing.assert_close(gradients[1], bias_gradients)


def test_the_losses_agree_with_worked_examples():
    # log 2 at a logit of 0, whatever the target; gradient p - t.
    loss = torch.ones(1, 1, 2)
    gradient = SigmoidOutput().add_loss(
        torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0]]]), loss
    )
    assert loss.flatten().tolist() == pytest.approx([1 + math.log(2)] * 2)
    assert gradient.flatten().tolist() == pytest.approx([-0.5, 0.5])
    # Logits log 1, log 2, log 5: probabilities 1/8, 2/8, 5/8.
    logits, loss = torch.log(torch.tensor([[[1.0], [2], [5]]])), torch.ones(1, 3, 1)
    gradient = SoftmaxOutput(3).add_loss(
        logits, torch.tensor([[[0.0], [1], [0]]]), loss
    )
    assert loss.flatten().tolist() == pytest.approx([1, 1 + math.log(4), 1])
    assert gradient.flatten().tolist() == pytest.approx([1 / 8, 2 / 8 - 1, 5 / 8])


@classes
def test_probabilities_sum_to_one_and_extreme_logits_stay_finite(output, n_outputs):
    logits = torch.tensor([-1000.0, -1, 0, 1, 1000])[None, None]
    logits = logits * torch.arange(1, n_outputs + 1)[:, None]
    log_p = output.predictions(logits)
    assert log_p.shape == (1, max(n_outputs, 2), 5)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(1, 5))
    loss = torch.zeros_like(logits)
    targets = torch.full_like(logits, 1 / max(n_outputs, 2))
    gradient = output.add_loss(logits, targets, loss)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


def test_the_sigmoid_unit_is_the_probability_of_the_second_class():
    log_p = SigmoidOutput().predictions(torch.tensor([[[math.log(3)]]]))
    assert log_p.exp().flatten().tolist() == pytest.approx([0.25, 0.75])


def test_a_forward_pass_agrees_with_a_worked_example():
    network = StackedMLP([Architecture((2, "relu"))], 2, 1, dropout=[0.0], device=CPU)
    network.weights[0][0] = torch.tensor([[1.0, -1.0], [2.0, 0.0]])
    network.biases[0][0, 0] = torch.tensor([0.5, 0.25])
    network.weights[1][0] = torch.tensor([[2.0], [3.0]])
    network.biases[1][0, 0] = torch.tensor([-1.0])
    X = torch.tensor([[1.0, 1.0], [-2.0, 0.0]])
    # Row 1: relu(3.5, -0.75) = (3.5, 0) -> 6. Row 2: relu(-1.5, 2.25) -> 5.75.
    assert _forward(Batch(network, len(X)), X).flatten().tolist() == [6.0, 5.75]
    assert network.logits(X).flatten().tolist() == [6.0, 5.75]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_agree_with_torchs_own(activation):
    z = torch.cat([torch.linspace(-9, 9, 101), torch.tensor([-1e4, -100, 100, 1e4])])
    computed = ACTIVATIONS_IN_PLACE[activation].forward(z.clone())
    expected = ACTIVATION_FUNCTIONS[activation](z)
    torch.testing.assert_close(computed, expected, rtol=1e-6, atol=2e-7)


ALIKE = [Architecture((9, "elu"), "dropout", (6, "relu"), "dropout")] * 3
# Other widths, activations and dropouts: padded, and sigmoid(0) is not 0.
PADDED = [
    Architecture((9, "elu"), "dropout", (6, "relu"), "dropout"),
    Architecture((4, "sigmoid"), (17, "sigmoid")),
    Architecture((12, "sigmoid"), (5, "tanh"), "dropout"),
]
every_stack = pytest.mark.parametrize(
    "architectures", [ALIKE, PADDED], ids=["alike", "padded"]
)


@every_task
@every_stack
def test_three_stacked_children_equal_the_three_one_by_one(
    output, n_outputs, architectures
):
    X, targets = _make_batch(n_outputs)
    stacked = _make_network(*architectures, n_outputs=n_outputs, dropout=0.3)
    for _ in range(2):
        losses = _step(stacked, output, X, targets)
    logits = stacked.logits(X)
    gradients = [stacked.extract(child, stacked.gradients) for child in range(3)]
    for child, architecture in enumerate(architectures):
        single = _make_network(
            architecture, n_outputs=n_outputs, dropout=0.3, seed=child
        )
        for _ in range(2):  # two steps have masks of their own
            loss = _step(single, output, X, targets)
        torch.testing.assert_close(losses[child : child + 1], loss)
        torch.testing.assert_close(logits[child : child + 1], single.logits(X))
        single_gradients = single.extract(0, single.gradients)
        for pair, other in zip(gradients[child], single_gradients, strict=True):
            np.testing.assert_allclose(pair[0], other[0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(pair[1], other[1], rtol=1e-4, atol=1e-6)
        pairs = zip(stacked.extract(child), single.extract(0), strict=True)
        for pair, other in pairs:
            np.testing.assert_array_equal(pair[0], other[0])
            np.testing.assert_array_equal(pair[1], other[1])
    assert len(set(losses.tolist())) == 3


def _is_padding(network):
    inside = torch.zeros_like(network.parameters)
    for child in range(network.n_children):
        for pair in network._corners(inside, child):
            for corner in pair:
                corner.fill_(1)
    return inside == 0


def test_padding_of_narrower_children_has_no_gradient():
    network = _make_network(*PADDED, dropout=0.3)
    X, targets = _make_batch(3)
    padding = _is_padding(network)
    _step(network, SoftmaxOutput(3), X, targets)
    assert not network.parameters[padding].any()
    assert not network.gradients[padding].any()
    assert network.gradients[~padding].any()


def test_a_selection_goes_on_where_the_stack_was():
    X, targets = _make_batch(3)
    network = _make_network(*PADDED, dropout=0.3)
    _step(network, SoftmaxOutput(3), X, targets)
    kept = torch.tensor([2, 1])
    selected = network.select(kept)
    assert selected.architectures == [PADDED[2], PADDED[1]]
    assert selected.widths == (N_FEATURES, 12, 17, 3)
    flat = network.select_flat(network.gradients, selected, kept)
    losses = _step(network, SoftmaxOutput(3), X, targets)
    torch.testing.assert_close(
        _step(selected, SoftmaxOutput(3), X, targets), losses[kept]
    )
    for position, child in enumerate(kept.tolist()):
        pairs = zip(selected.extract(position), network.extract(child), strict=True)
        for pair, other in pairs:
            np.testing.assert_array_equal(pair[0], other[0])
            np.testing.assert_array_equal(pair[1], other[1])
    assert flat.shape == selected.parameters.shape
    assert flat.any()


def test_children_of_one_depth_only_make_a_stack():
    with pytest.raises(ValueError, match="zip"):
        _make_network(Architecture((8, "relu")), Architecture((8, "relu"), (8, "relu")))


def test_large_layers_multiply_in_bfloat16_and_compute_nearly_the_same():
    large = Architecture((64, "tanh"), (1024, "relu"), "dropout", (64, "sigmoid"))
    X, targets = _make_batch(3, n_rows=32)
    exact = _make_network(large, dropout=0.3)
    rounded = _make_network(large, dropout=0.3, bfloat16=True)
    assert exact.bfloat16_layers == []
    assert rounded.bfloat16_layers == [1, 2]
    exact_loss = _step(exact, SoftmaxOutput(3), X, targets)
    rounded_loss = _step(rounded, SoftmaxOutput(3), X, targets)
    torch.testing.assert_close(rounded_loss, exact_loss, rtol=1e-2, atol=0)
    assert not torch.equal(rounded_loss, exact_loss)
    cosine = functional.cosine_similarity(rounded.gradients, exact.gradients)
    assert cosine.item() > 0.999
    # What is not trained has 32 bits.
    assert torch.equal(rounded.logits(X), exact.logits(X))
    assert rounded.parameters.dtype == rounded.gradients.dtype == torch.float32


def test_alignment_padding_is_irrelevant():
    architecture = Architecture((9, "tanh"), (6, "relu"))
    X, targets = _make_batch(3)
    network = _make_network(architecture)
    loss = _step(network, SoftmaxOutput(3), X, targets)
    gradients = network.gradients.clone()
    padded = _make_network(architecture)
    padding = _is_padding(padded)
    assert padding.any()
    padded.parameters[padding] = 1e30
    torch.testing.assert_close(_step(padded, SoftmaxOutput(3), X, targets), loss)
    torch.testing.assert_close(padded.gradients, gradients)
    assert not gradients[padding].any()
    n_extracted = sum(w.size + b.size for w, b in padded.extract(0))
    assert n_extracted == architecture.n_parameters(N_FEATURES, 3)
    assert n_extracted == int((~padding).sum())


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
    X = _make_batch(3, n_rows=11)[0]
    whole = network.logits(X)
    monkeypatch.setattr(_network, "_CHUNK", 4)
    chunked = network.logits(X)
    assert chunked.shape == (1, 3, 11)
    torch.testing.assert_close(chunked, whole)


def test_batches_of_different_sizes_do_not_disturb_each_other():
    network = _make_network(Architecture((9, "tanh")))
    X, targets = _make_batch(3, n_rows=8)
    whole = _step(network, SoftmaxOutput(3), X, targets)
    gradients = network.gradients.clone()
    parts = torch.zeros_like(gradients)
    losses = torch.zeros(1)
    batches = Batch(network, 5), Batch(network, 3)
    for rows, batch in zip((slice(0, 5), slice(5, 8)), batches, strict=True):
        losses += _step(network, SoftmaxOutput(3), X[rows], targets[:, :, rows], batch)
        parts += network.gradients
    torch.testing.assert_close(losses, whole)
    torch.testing.assert_close(parts, gradients)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_initial_weights_have_the_variance_of_he_or_glorot(activation):
    architecture = Architecture((200, activation))
    network = StackedMLP([architecture], 100, 50, dropout=[0.0], device=CPU)
    network.initialize(0, 0)
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
    drawn.initialize(0, 5)
    given = np.full((9, 6), 2.0, np.float32), np.full(6, 3.0, np.float32)
    inherits.initialize(0, 5, [None, given, None])
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
    assert all(coef.flags.c_contiguous for coef, _ in before)
