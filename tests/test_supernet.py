"""A supernet's slices are the networks themselves, and its gradients autograd's."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.nn import functional

from sknas import Architecture, SearchSpace
from sknas._budget import Budget
from sknas._engine.grouping import CPU as CPU_COSTS
from sknas._engine.jobs import TrainingData, TrainingJob, TrainingSettings
from sknas._engine.network import StackedMLP
from sknas._engine.supernet.cost import _ACTIVATION, _SCORE, _STEP
from sknas._engine.supernet.network import SupernetWeights
from sknas._engine.supernet.passes import SupernetPass
from sknas._engine.supernet.training import Supernet
from sknas._engine.supernet.unrolling import unrolled_gradients
from sknas._engine.training.stack import train_stack
from sknas._space import ACTIVATIONS, Gates
from sknas._tasks.classification import ClassificationMetric
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
    X, _ = _make_batch(3, torch.float32)
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


def test_only_what_is_open_is_computed_and_its_gradients_are_the_same():
    weights = _make_weights(3)
    output, batch = OUTPUTS["three classes"], _make_batch(3)
    soft = _soft_gates()
    # Two of three widths, two of five activations, and a position that is skipped.
    soft.width[:, -1] = 0
    soft.activation[:, 2:] = 0
    soft.skip[1] = 1
    _analytic(weights, output, soft, batch)
    everything = [gradient.clone() for gradient in weights.layer_gradients]
    weights.gradients.zero_()
    of_gates = _analytic(weights, output, soft, batch, wants_gates=False)
    assert of_gates.blocks == [(0, N_FEATURES, 6), (2, 6, 6), (3, 6, 3)]
    assert of_gates.n_activations == 4
    for layer, n_in, n_out in of_gates.blocks:
        found = weights.layer_gradients[layer]
        part = slice(0, 1 + n_in), slice(0, n_out)
        torch.testing.assert_close(found[part], everything[layer][part])
        found[part] = 0
    assert not weights.gradients.any()


def test_second_order_gradients_agree_with_autograd():
    output, rate = OUTPUTS["three classes"], 0.5
    space = SearchSpace((3, 6), ("tanh", "sigmoid"), max_layers=4)
    weights, gates = _make_weights(3, space=space), _soft_gates(space=space)
    training, validation = _make_batch(3), _make_batch(3, seed=1)
    before = weights.parameters.clone()
    found = unrolled_gradients(
        weights,
        lambda: _analytic(weights, output, gates, training).gate_gradients(),
        lambda: _analytic(weights, output, gates, validation).gate_gradients(),
        rate,
    )
    assert torch.equal(weights.parameters, before)

    def loss(layers, leaves, batch):
        logits = _reference_logits(weights, layers, leaves, batch[0])
        return -(logits.log_softmax(1) * batch[1]).sum() / N_ROWS

    layers = [layer.clone().requires_grad_() for layer in weights.layers]
    leaves = _tensors(gates)
    steps = torch.autograd.grad(
        loss(layers, leaves, training), layers, create_graph=True
    )
    moved = [a - rate * step for a, step in zip(layers, steps, strict=True)]
    loss(moved, leaves, validation).backward()
    first = _analytic(weights, output, gates, validation).gate_gradients()
    for name, leaf in zip(("activation", "width", "skip"), leaves, strict=True):
        exact = leaf.grad.numpy()
        np.testing.assert_allclose(getattr(found, name), exact, rtol=1e-3, atol=1e-6)
        # That of first order is another one.
        assert not np.allclose(getattr(first, name), exact, rtol=0.01)


SMALL = SearchSpace((4, 8), ("relu", "tanh"), max_layers=4)
SETTINGS = TrainingSettings(
    max_iter=3,
    batch_size=10,
    learning_rate_init=0.01,
    learning_rate="cosine",
    solver="adamw",
    alpha=0.1,
    label_smoothing=0.1,
    dropout=0.5,
    n_iter_no_change=None,
    auto_decay=0.3,
)
DEEP = Architecture((8, "relu"), (8, "tanh"))
NARROW = Architecture((4, "tanh"))


def _make_data(n_rows=40, n_validation_rows=30, weighted=True, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n_rows + n_validation_rows, N_FEATURES))
    y = (X[:, 0] > 0) + (X[:, 1] > 0).astype(np.int64)
    X[generator.random(X.shape) < 0.3] = 0
    weights = generator.uniform(0.1, 2, len(X)) if weighted else None
    tables = []
    for part in (slice(n_rows), slice(n_rows, None)):
        tables += [X[part].astype(np.float32), y[part]]
    return TrainingData(
        tables[0],
        tables[1],
        SoftmaxOutput(3),
        tables[2],
        tables[3],
        None if weights is None else weights[:n_rows],
        None if weights is None else weights[n_rows:],
    )


DATA = _make_data()


def _make_supernet(
    data=DATA,
    space=SMALL,
    n_epochs=3,
    seed=0,
    budget=None,
    separates_first=False,
    **settings,
):
    # Of a second fold too, whose rows come after those of the first.
    y, weights = data.y_validation, data.sample_weight_validation
    metric = ClassificationMetric(
        None,
        np.arange(3),
        np.concatenate([y, 2 - y]),
        None,
        None if weights is None else np.concatenate([weights, weights]),
    )
    return Supernet(
        data,
        space,
        replace(SETTINGS, **settings),
        seed=seed,
        device=CPU,
        n_epochs=n_epochs,
        metric=metric,
        separates_first=separates_first,
        budget=Budget() if budget is None else budget,
    )


def _gates(*architectures):
    return [Gates.of(architecture, SMALL) for architecture in architectures]


def _flat(supernet):
    whole = Architecture(*[(8, "relu")] * 3)
    return np.concatenate([part.ravel() for w in supernet.extract(whole) for part in w])


@pytest.mark.parametrize("solver", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("architecture", [DEEP, NARROW], ids=["deep", "narrow"])
def test_trained_with_one_architecture_it_is_that_child(architecture, solver):
    # All rows are one batch, so that their order does not matter.
    supernet = _make_supernet(solver=solver, batch_size=40)
    inherited = supernet.extract(architecture)
    losses = [supernet.train(_gates(architecture)) for _ in range(3)]
    settings = replace(SETTINGS, solver=solver, batch_size=40)
    job = TrainingJob(architecture, 0, inherited)
    (child,) = train_stack(DATA, [job], settings, 0, CPU)
    np.testing.assert_allclose(losses, child.loss_curve, rtol=1e-5)
    found = supernet.extract(architecture)
    for parts, expected in zip(found, child.weights, strict=True):
        for part, of_child in zip(parts, expected, strict=True):
            np.testing.assert_allclose(part, of_child, atol=1e-5)
    # What the supernet says of it is what its own training measured.
    (loss,) = supernet.losses(_gates(architecture))
    assert loss == pytest.approx(child.validation_loss, abs=1e-5)


def test_rewards_are_those_of_the_slices():
    supernet = _make_supernet()
    supernet.train(_gates(DEEP, NARROW))
    metric = ClassificationMetric(
        None, np.arange(3), DATA.y_validation, None, DATA.sample_weight_validation
    )
    found = supernet.rewards([DEEP, NARROW])
    for architecture, reward in zip([DEEP, NARROW], found, strict=True):
        child = StackedMLP([architecture], N_FEATURES, 3, dropout=[0.5], device=CPU)
        child.initialize(0, 0, supernet.extract(architecture))
        logits = child.logits(torch.from_numpy(DATA.X_validation))
        predictions = DATA.output.as_rows(DATA.output.predictions(logits)[0])
        score = metric.score(predictions)
        assert reward == pytest.approx(metric.reward(predictions, score), abs=1e-5)


def test_validation_batches_are_the_validation_rows():
    data = _make_data(weighted=False)
    supernet = _make_supernet(data)
    assert (supernet.n_batches, supernet.n_validation_batches) == (4, 3)
    gates = _gates(DEEP)
    of_batches = [supernet.losses(gates, batch)[0] for batch in range(3)]
    assert len(set(of_batches)) == 3
    assert np.mean(of_batches) == pytest.approx(supernet.losses(gates)[0])
    # Accuracy decides most of the reward, and is a mean over the rows.
    supernet._metric = ClassificationMetric("accuracy", np.arange(3), data.y_validation)
    of_batches = [supernet.rewards([DEEP], batch)[0] for batch in range(3)]
    assert np.mean(of_batches) == pytest.approx(supernet.rewards([DEEP])[0])


def test_an_architecture_without_finite_predictions_has_the_reward_of_a_guess():
    supernet = _make_supernet()
    supernet._weights.layers[1][0, 4:] = math.inf
    wide, narrow = supernet.rewards([Architecture((8, "relu"), (8, "relu")), NARROW])
    assert wide == supernet._metric.guess_reward() != narrow


def test_gate_gradients_are_those_of_the_validation_loss():
    supernet = _make_supernet()
    gates, step = _soft_gates(space=SMALL), 1e-2
    before = _flat(supernet)
    found = supernet.gate_gradient(gates, 1)
    unrolled = supernet.gate_gradient(gates, 1, training_batch=2, unrolled=True)
    for name in ("activation", "width", "skip"):
        gradient = getattr(found, name)
        assert (
            gradient.shape
            == getattr(gates, name).shape
            == getattr(unrolled, name).shape
        )
        for index in np.ndindex(gradient.shape):
            if (name, index) == ("skip", (0,)):
                assert gradient[index] == 0
                continue
            both = []
            for sign in (1, -1):
                moved = getattr(gates, name).copy()
                moved[index] += sign * step
                both.append(supernet.losses([replace(gates, **{name: moved})], 1)[0])
            quotient = (both[0] - both[1]) / (2 * step)
            assert gradient[index] == pytest.approx(quotient, abs=1e-3)
        assert not np.array_equal(gradient, getattr(unrolled, name))
    assert np.array_equal(_flat(supernet), before)


def test_what_a_batch_does_not_use_stays_as_it_is():
    supernet = _make_supernet()
    supernet.train(_gates(DEEP))
    before = supernet.extract(Architecture(*[(8, "relu")] * 3))
    supernet.train(_gates(NARROW))
    after = supernet.extract(Architecture(*[(8, "relu")] * 3))
    same = [
        (before[0][0][:, 4:], after[0][0][:, 4:]),
        (before[1][0], after[1][0]),
        (before[2][1], after[2][1]),
        (before[3][0][4:], after[3][0][4:]),
    ]
    assert all(np.array_equal(*pair) for pair in same)
    assert not np.isclose(before[0][0][:, :4], after[0][0][:, :4]).any()


def test_gates_take_turns_and_a_seed_decides_everything():
    first, again, other = (_make_supernet(seed=seed) for seed in (0, 0, 1))
    assert not np.array_equal(_flat(first), _flat(other))
    losses = [net.train(_gates(DEEP, NARROW)) for net in (first, again)]
    assert losses[0] == losses[1]
    assert np.array_equal(_flat(first), _flat(again))
    # Four batches: of five gates, one has no turn.
    turns = _make_supernet()
    turns.train([*_gates(DEEP, NARROW, DEEP, NARROW), *_gates(DEEP)])
    assert np.array_equal(_flat(turns), _flat(first))
    # A learning rate in place of the schedule's.
    still = _make_supernet()
    before = _flat(still)
    still.train(_gates(DEEP), learning_rate=0.0)
    assert np.array_equal(_flat(still), before)
    # At the end of the schedule there is nothing left.
    for _ in range(3):
        still.train(_gates(DEEP))
    before = _flat(still)
    still.train(_gates(DEEP))
    assert np.allclose(_flat(still), before, atol=1e-6)


def test_dropout_is_drawn_in_training_alone():
    dropped = Architecture((8, "relu"), "dropout", (8, "tanh"))
    one, other = _make_supernet(), _make_supernet()
    assert one.rewards([dropped]) == one.rewards([DEEP])
    losses = one.train(_gates(dropped)), other.train(_gates(DEEP))
    assert losses[0] != losses[1]
    weights = SupernetWeights(SMALL, N_FEATURES, 3, device=CPU)
    weights.initialize(0)
    X = torch.ones((4000, N_FEATURES))
    of_gates = SupernetPass(
        weights,
        Gates.of(Architecture((8, "relu"), "dropout"), SMALL),
        dropout=0.25,
        generator=torch.Generator().manual_seed(0),
    )
    silent = SupernetPass(weights, Gates.of(Architecture((8, "relu")), SMALL))
    # The expectation is kept.
    means = [each.forward(X).mean(2) for each in (of_gates, silent)]
    torch.testing.assert_close(means[0], means[1], rtol=0, atol=0.05)
    assert of_gates.forward(X).std() > 0.1


def test_the_penalty_removes_units():
    gates = _gates(Architecture(*[(8, "relu")] * 3))
    free, penalized = (_make_supernet(n_epochs=20) for _ in range(2))
    for _ in range(20):
        free.train(gates)
        penalized.train(gates, unit_penalty=10.0)
    n_left = [[int((n > 0).sum()) for n in s.unit_norms()] for s in (free, penalized)]
    assert n_left[0] == [8, 8, 8]
    assert sum(n_left[1]) < 16
    # A unit that is gone gives a constant: nothing but the bias of the next layer.
    norms = penalized.unit_norms()[1]
    coef, intercept = penalized.extract(Architecture(*[(8, "relu")] * 3))[1]
    assert not coef[:, norms == 0].any()
    assert not intercept[norms == 0].any()


def test_the_budget_ends_an_epoch():
    supernet = _make_supernet(budget=Budget(0.0))
    before = _flat(supernet)
    assert math.isnan(supernet.train(_gates(DEEP)))
    assert supernet.is_over
    assert np.array_equal(_flat(supernet), before)
    assert not _make_supernet().is_over


def test_without_validation_rows_there_is_an_error():
    data = replace(DATA, X_validation=None, y_validation=None)
    with pytest.raises(ValueError, match="must have validation rows"):
        Supernet(data, SMALL, SETTINGS, seed=0, device=CPU, n_epochs=1, metric=None)


def test_a_space_with_skip_connections_has_no_supernet():
    with pytest.raises(ValueError, match="without skip connections"):
        _make_supernet(space=replace(SMALL, skip=True))


def test_a_sparse_table_trains_like_a_dense_one():
    sparse = replace(
        DATA, X=csr_array(DATA.X), X_validation=csr_array(DATA.X_validation)
    )
    supernets = [_make_supernet(data) for data in (DATA, sparse)]
    soft = [_soft_gates(space=SMALL), *_gates(NARROW, DEEP)]
    losses = [supernet.train(soft) for supernet in supernets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    np.testing.assert_allclose(*(_flat(each) for each in supernets), atol=1e-5)
    rewards = [supernet.rewards([DEEP, NARROW]) for supernet in supernets]
    np.testing.assert_allclose(*rewards, rtol=1e-4)
    found = [each.gate_gradient(soft[0], 0, unrolled=True) for each in supernets]
    np.testing.assert_allclose(*(each.width for each in found), rtol=1e-3, atol=1e-5)


def test_what_is_computed_is_charged():
    supernet = _make_supernet(batch_size=20)
    of_table = {"n_features": N_FEATURES, "n_outputs": 3}
    # A step of a supernet takes longer than that of a child, by the same each time.
    extra = _STEP + _ACTIVATION * len(DEEP.dense_layers)
    supernet.train(_gates(DEEP))
    step = CPU_COSTS.cost([DEEP], n_rows=20, **of_table) + extra
    assert supernet.cost == pytest.approx(2 * step)
    before = supernet.cost
    supernet.rewards([DEEP])
    forward = 0.5 * (CPU_COSTS.cost([DEEP], n_rows=30, **of_table) + extra)
    # 30 rows, passed forward at once, and a metric.
    assert supernet.cost - before > forward + _SCORE
    before = supernet.cost
    supernet.losses(_gates(DEEP))
    assert supernet.cost - before == pytest.approx(forward)
    before = supernet.cost
    soft = _soft_gates(space=SMALL)
    supernet.gate_gradient(soft, 0)
    first_order = supernet.cost - before
    assert first_order > step
    supernet.gate_gradient(soft, 0, unrolled=True)
    assert supernet.cost - before > 3 * first_order


def test_where_lbfgs_is_the_solver_another_one_stands_in():
    supernet = _make_supernet(solver="lbfgs", n_epochs=10)
    assert supernet.n_batches == 4
    before = supernet.losses(_gates(DEEP))[0]
    for _ in range(10):
        supernet.train(_gates(DEEP))
    assert supernet.losses(_gates(DEEP))[0] < before


def test_gates_of_an_architecture():
    space = SearchSpace((64, 16, 256), ("relu", "tanh"), max_layers=4)
    gates = Gates.of(Architecture((64, "tanh"), "dropout", (256, "relu")), space)
    assert gates.activation.tolist() == [[0, 1], [1, 0], [0, 0]]
    # Widths are in increasing order.
    assert gates.width.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert gates.skip.tolist() == [0, 0, 1]
    assert gates.dropout.tolist() == [True, False, False]


def test_activations_may_have_first_layers_of_their_own():
    supernet = _make_supernet(separates_first=True)
    before = supernet.extract(Architecture((8, "tanh")))
    architecture = Architecture((8, "relu"), (4, "tanh"))
    supernet.train(_gates(architecture))
    after = supernet.extract(Architecture((8, "tanh")))
    # Another activation's training moves nothing but the output layer.
    assert np.array_equal(before[0][0], after[0][0])
    assert not np.array_equal(before[1][0], after[1][0])
    # What is extracted is what was scored.
    child = StackedMLP([architecture], N_FEATURES, 3, dropout=[0.0], device=CPU)
    child.initialize(0, 0, supernet.extract(architecture))
    X = torch.from_numpy(DATA.X_validation)
    gates = _gates(architecture)[0]
    logits = SupernetPass(supernet._weights, gates).forward(X)
    torch.testing.assert_close(logits, child.logits(X), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="must have one of these open"):
        supernet.gate_gradient(gates, 0)
