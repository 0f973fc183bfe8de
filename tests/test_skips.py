import dataclasses
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional

from sknas import (
    Architecture,
    BayesianStrategy,
    EvolutionStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    ProgressiveStrategy,
    RandomStrategy,
    ReinforceStrategy,
    SearchSpace,
)
from sknas._engine.batch import Batch
from sknas._engine.jobs import TrainingData, TrainingJob, TrainingSettings
from sknas._engine.network import StackedMLP
from sknas._engine.training.stack import train_stack
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._search.strategies.progressive import ArchitectureFeatures
from sknas._search.strategies.surrogate.distance import as_layers, distances_among
from sknas._search.weight_store import ParentStore
from sknas._space import ACTIVATIONS
from sknas._tasks.outputs import (
    IdentityOutput,
    MultilabelOutput,
    PoissonOutput,
    SigmoidOutput,
    SoftmaxOutput,
)

CPU = torch.device("cpu")
N_FEATURES, N_ROWS = 5, 7
FUNCTIONS = {
    "relu": torch.relu,
    "elu": functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z,
}
OUTPUTS = {
    "binary": SigmoidOutput(),
    "three classes": SoftmaxOutput(3),
    "labels": MultilabelOutput(3),
    "numbers": IdentityOutput(2),
    "counts": PoissonOutput(2),
}


def _stack_of(*layers_of_children):
    return [Architecture(*layers) for layers in layers_of_children]


def _children(activation):
    """Both kinds of skip connections and none, with dropout, of unequal widths."""
    layer = (6, activation)
    return _stack_of(
        [layer, layer, "skip", layer, "dropout", "skip", (9, "tanh"), "skip"],
        [layer, (8, "sigmoid"), "dropout", (8, activation), (8, "relu"), "skip"],
        [(11, "tanh"), (4, activation), "dropout", "skip", (4, "tanh"), "skip", layer],
        [layer, layer, "dropout", layer, layer],
        [layer, layer, "skip", layer, "skip", layer, "dropout", "skip"],
    )


def _make_network(architectures, n_outputs, seeds=None, dropout=0.4, **settings):
    network = StackedMLP(
        architectures,
        N_FEATURES,
        n_outputs,
        dropout=[dropout] * len(architectures),
        device=CPU,
        **settings,
    )
    for child in range(len(architectures)):
        network.initialize(child, child if seeds is None else seeds[child])
    return network


def _to_double(network):
    """Give a network 64 bits: to compare with autograd."""
    network.parameters = network.parameters.double()
    network.gradients = network.gradients.double()
    network.weights, network.biases = network.views(network.parameters)
    network.projections = network.projection_views(network.parameters)
    return network


def _make_batch(output, n_rows=N_ROWS):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn((n_rows, N_FEATURES), generator=generator)
    targets = torch.rand((1, output.n_outputs, n_rows), generator=generator)
    if isinstance(output, SoftmaxOutput):
        targets /= targets.sum(dim=1, keepdim=True)
    return X, targets


def _step(network, output, X, targets, batch=None):
    """Fill the network's gradients; return the children's losses."""
    batch = Batch(network, len(X)) if batch is None else batch
    batch.X.copy_(X)
    logits = batch.forward()
    loss = torch.zeros_like(logits)
    batch.backward(output.add_loss(logits, targets, loss))
    return loss.sum((1, 2))


def _autograd(network, output, X, targets, masks):
    """Compute gradients again, child by child, with nothing of the network's."""
    gradients = []
    for child, architecture in enumerate(network.architectures):
        arrays = network.extract(child)
        leaves = [
            [torch.tensor(array, requires_grad=True) for array in pair]
            for pair in arrays
        ]
        depth = len(architecture.dense_layers)
        projections = iter(leaves[depth + 1 :])
        hidden = X
        for layer, (width, name) in enumerate(architecture.dense_layers):
            weights, bias = leaves[layer]
            before, hidden = hidden, FUNCTIONS[name](hidden @ weights + bias)
            if architecture.dropout_after[layer]:
                hidden = hidden * masks[layer][child, :, :width]
            if architecture.skip_after[layer]:
                is_equal = before.shape[1] == width
                hidden = hidden + (
                    before if is_equal else before @ next(projections)[0]
                )
        assert next(projections, None) is None
        weights, bias = leaves[depth]
        logits = (hidden @ weights + bias).T[None]
        # The gradient of the logits is tested elsewhere.
        of_logits = output.add_loss(
            logits.detach().clone(), targets, torch.zeros_like(logits)
        )
        logits.backward(of_logits)
        gradients.append([tensor.grad for pair in leaves for tensor in pair])
    return gradients


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_autograd(activation, output):
    network = _make_network(_children(activation), output.n_outputs)
    network = _to_double(network)
    X, targets = (tensor.double() for tensor in _make_batch(output))
    batch = Batch(network, len(X))
    _step(network, output, X, targets, batch)
    masks = [batch.masks[layer] for layer in range(4)]
    expected = _autograd(network, output, X, targets, masks)
    for child, of_child in enumerate(expected):
        computed = [
            a for pair in network.extract(child, network.gradients) for a in pair
        ]
        for array, tensor in zip(computed, of_child, strict=True):
            if tensor is not None:  # the biases of projections are empty
                np.testing.assert_allclose(array, tensor, rtol=1e-8, atol=1e-10)


def test_logits_agree_with_the_pass_of_training():
    architectures = _children("elu")
    network = _make_network(architectures, 3, dropout=0.0)
    X, _ = _make_batch(SoftmaxOutput(3))
    batch = Batch(network, len(X))
    batch.X.copy_(X)
    assert torch.equal(batch.forward(), network.logits(X))


def test_a_forward_pass_agrees_with_a_worked_example():
    architecture = Architecture((1, "relu"), (1, "tanh"), "skip", (2, "relu"), "skip")
    network = StackedMLP([architecture], 1, 1, dropout=[0.0], device=CPU)
    for weights, values in zip(network.weights, (1, 0, 1, [1, 1]), strict=True):
        weights[0] = torch.tensor(values).view(-1, 1) if weights.shape[2] == 1 else 1
    network.projections[2][0] = torch.tensor([[10.0, 100.0]])
    # relu(3) = 3; tanh(0) + 3 = 3; relu(3) + 3 (10, 100) = (33, 303); their sum.
    assert network.logits(torch.tensor([[3.0]])).item() == 336


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_stacked_children_equal_those_one_by_one(activation):
    output = SoftmaxOutput(3)
    X, targets = _make_batch(output)
    architectures = _children(activation)
    stacked = _make_network(architectures, 3)
    for _ in range(2):  # two steps have masks of their own
        losses = _step(stacked, output, X, targets)
    logits = stacked.logits(X)
    for child, architecture in enumerate(architectures):
        single = _make_network([architecture], 3, seeds=[child])
        for _ in range(2):
            loss = _step(single, output, X, targets)
        torch.testing.assert_close(losses[child : child + 1], loss)
        torch.testing.assert_close(logits[child : child + 1], single.logits(X))
        pairs = zip(stacked.extract(child), single.extract(0), strict=True)
        for ours, theirs in itertools.chain.from_iterable(
            zip(pair, other, strict=True) for pair, other in pairs
        ):
            np.testing.assert_array_equal(ours, theirs)
        of_stack = stacked.extract(child, stacked.gradients)
        for pair, other in zip(
            of_stack, single.extract(0, single.gradients), strict=True
        ):
            np.testing.assert_allclose(pair[0], other[0], rtol=1e-4, atol=1e-6)


def test_padding_has_no_gradient_and_the_count_of_parameters_is_right():
    network = _make_network(_children("sigmoid"), 3)
    output = SoftmaxOutput(3)
    _step(network, output, *_make_batch(output))
    inside = torch.zeros_like(network.parameters)
    for child, architecture in enumerate(network.architectures):
        arrays = network.extract(child)
        ones = [tuple(np.ones_like(array) for array in pair) for pair in arrays]
        network.insert(child, ones, inside)
        n_parameters = sum(array.size for pair in arrays for array in pair)
        assert n_parameters == architecture.n_parameters(N_FEATURES, 3)
        assert n_parameters == inside[child].sum()
    assert not network.gradients[inside == 0].any()
    # All weights decay, those of projections too, and no bias does.
    network.decayed.zero_()
    assert not any(weights.any() for weights in network.projections.values())


def test_a_selection_goes_on_where_the_stack_was():
    network, output = _make_network(_children("elu"), 3), SoftmaxOutput(3)
    X, targets = _make_batch(output)
    _step(network, output, X, targets)
    kept = torch.tensor([2, 3])
    selected = network.select(kept)
    assert list(selected.projections) == [1]
    losses = _step(network, output, X, targets)
    torch.testing.assert_close(_step(selected, output, X, targets), losses[kept])
    for position, child in enumerate(kept.tolist()):
        for pair, other in zip(
            selected.extract(position), network.extract(child), strict=True
        ):
            np.testing.assert_array_equal(pair[0], other[0])
    without = network.select(torch.tensor([3]))
    assert without.projections == {}


def test_layers_in_bfloat16_compute_nearly_the_same():
    architecture = Architecture(
        (64, "tanh"),
        (1024, "relu"),
        "skip",
        (64, "elu"),
        "dropout",
        "skip",
        (64, "tanh"),
        "skip",
    )
    output = SoftmaxOutput(3)
    X, targets = _make_batch(output, n_rows=32)
    exact = _make_network([architecture], 3)
    rounded = _make_network([architecture], 3, bfloat16=True)
    assert rounded.bfloat16_layers == [1, 2]
    losses = [_step(each, output, X, targets) for each in (exact, rounded)]
    torch.testing.assert_close(losses[1], losses[0], rtol=2e-2, atol=0)
    cosine = functional.cosine_similarity(rounded.gradients, exact.gradients)
    assert cosine.item() > 0.999
    assert not torch.equal(rounded.gradients, exact.gradients)


def test_drawing_projections_does_not_shift_other_draws():
    plain = Architecture((8, "tanh"), (6, "relu"))
    with_skip = Architecture((8, "tanh"), (6, "relu"), "skip")
    first, second = (_make_network([each], 3) for each in (plain, with_skip))
    for ours, theirs in zip(first.weights, second.weights, strict=True):
        assert torch.equal(ours, theirs)
    assert second.projections[1].abs().max() <= np.sqrt(6 / 14)
    # An identity draws nothing, and so leaves the dropout as it was.
    equal = (
        _make_network([each], 3)
        for each in _stack_of(
            [(8, "tanh"), (8, "relu")], [(8, "tanh"), (8, "relu"), "skip"]
        )
    )
    seeds = [network.dropout_seeds.item() for network in equal]
    assert seeds[0] == seeds[1]


SETTINGS = TrainingSettings(
    max_iter=4,
    batch_size=16,
    learning_rate_init=0.01,
    learning_rate="constant",
    solver="adamw",
    alpha="auto",
    label_smoothing=0.0,
    dropout=0.2,
    n_iter_no_change=None,
    auto_decay=0.3,
    shuffle=False,
    keeps_state=True,
)


def _make_data():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(120, N_FEATURES)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 1)
    return TrainingData(X[:80], y[:80], SoftmaxOutput(3), X[80:], y[80:])


def _train(jobs, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return train_stack(_make_data(), jobs, settings, 0, CPU)


def _arrays(result):
    of_state = [] if result.state is None else result.state.moments
    return [
        array for pairs in (result.weights, *of_state) for p in pairs for array in p
    ]


def _assert_same(first, second, **tolerance):
    for ours, theirs in zip(_arrays(first), _arrays(second), strict=True):
        np.testing.assert_allclose(ours, theirs, **tolerance)


@pytest.mark.parametrize("solver", ["adamw", "sgd"])
def test_children_of_equal_widths_are_trained_bit_by_bit_as_alone(solver):
    layer = (8, "relu")
    architectures = _stack_of(
        [layer, layer, "skip", (16, "tanh"), "dropout", "skip"],
        [layer, layer, "dropout", (16, "tanh"), "dropout"],
        [layer, layer, "dropout", "skip", (16, "elu"), "skip"],
    )
    jobs = [TrainingJob(each, i) for i, each in enumerate(architectures)]
    for stacked, job in zip(_train(jobs, solver=solver), jobs, strict=True):
        (alone,) = _train([job], solver=solver)
        _assert_same(stacked, alone, rtol=0, atol=0)
        assert stacked.loss_curve == alone.loss_curve


def test_a_training_goes_on_where_another_ended():
    jobs = [TrainingJob(each, i) for i, each in enumerate(_children("tanh"))]
    whole = _train(jobs, dropout=0.0)
    first = pickle.loads(pickle.dumps(_train(jobs, max_iter=2, dropout=0.0)))
    continued = [
        dataclasses.replace(job, inherited=result.weights, state=result.state)
        for job, result in zip(jobs, first, strict=True)
    ]
    for after, of_whole in zip(
        _train(continued, max_iter=2, dropout=0.0), whole, strict=True
    ):
        _assert_same(after, of_whole, rtol=1e-4, atol=1e-5)


def test_lbfgs_lowers_the_loss():
    architecture = _children("tanh")[0]
    (result,) = _train([TrainingJob(architecture, 0)], solver="lbfgs", max_iter=30)
    assert not result.failed
    assert result.loss_curve[-1] < 0.3 * result.loss_curve[0]
    assert len(result.weights) == 4 + 1 + len(architecture.projections)


def test_an_ensemble_predicts_what_the_network_does():
    architecture = _children("relu")[2]
    network = _make_network([architecture] * 2, 3)
    members = [Member(architecture, network.extract(child)) for child in range(2)]
    X, _ = _make_batch(SoftmaxOutput(3))
    expected = torch.softmax(network.logits(X), dim=1).mean(dim=0).T
    ensemble = pickle.loads(pickle.dumps(FittedEnsemble(members, "softmax")))
    p = np.exp(ensemble.predict_log_proba(X.numpy()))
    np.testing.assert_allclose(p, expected, rtol=1e-5)
    for member, given in zip(ensemble.members, members, strict=True):
        assert list(member.projections) == [1]
        assert [coef.shape for coef in member.coefs] == [
            (5, 11),
            (11, 4),
            (4, 4),
            (4, 6),
            (6, 3),
        ]
        for pair, other in zip(member.layers, given.layers, strict=True):
            np.testing.assert_array_equal(pair[0], other[0])
            np.testing.assert_array_equal(pair[1], other[1])


SPACE = SearchSpace((8, 16), ("relu", "tanh"), max_layers=6, skip=True)


@pytest.mark.parametrize(
    "strategy",
    [
        ReinforceStrategy(hidden_size=8, n_replays=0),
        RandomStrategy(),
        EvolutionStrategy(n_initial=4),
        ProgressiveStrategy(),
        BayesianStrategy(n_candidates=40),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_strategies_find_skip_connections_where_they_are_good(strategy):
    strategy.setup(SPACE, random_state=0)
    shares = []
    for _ in range(6):
        asked = strategy.ask(8)
        assert all(architecture in SPACE for architecture in asked)
        n_skips = [sum(architecture.skip_after) for architecture in asked]
        strategy.tell(asked, [float(n) for n in n_skips])
        shares.append(np.mean(np.array(n_skips) > 0))
    assert max(shares) > 0
    if not isinstance(strategy, RandomStrategy):
        assert shares[-1] > 0.5


def test_surrogates_tell_skip_connections_from_their_absence():
    layer = (8, "relu")
    architectures = _stack_of([layer, layer], [layer, layer, "skip"])
    gaps = distances_among(as_layers(architectures))
    assert (gaps[:, 0, 1] > 0).all()
    features = ArchitectureFeatures(SPACE)
    first, second = features([SPACE.encode(each)[:-1] for each in architectures])
    assert not np.array_equal(first, second)


@pytest.fixture
def table():
    data = _make_data()
    return data.X, data.y


LAYERS = ((16, "relu"), (16, "tanh"), "dropout", "skip", (8, "elu"), "skip")


def test_one_architecture_is_fitted_exported_pickled_and_learns_on(table):
    X, y = table
    classifier = NASMLPClassifier.from_architecture(
        LAYERS, max_iter=3, n_ensemble=2, n_splits=1, random_state=0
    )
    assert classifier.skip
    classifier.partial_fit(X[:60], y[:60], classes=[0, 1, 2])
    assert classifier.best_architecture_ == Architecture(*LAYERS)
    assert [coef.shape[1] for coef in classifier.coefs_] == [16, 16, 8, 3]
    assert len(classifier.intercepts_) == 4
    assert classifier.n_layers_ == 5
    before = classifier.ensemble_.members[0].projections[2]
    assert before.shape == (16, 8)
    classifier = pickle.loads(pickle.dumps(classifier)).partial_fit(X[60:], y[60:])
    assert not np.array_equal(classifier.ensemble_.members[0].projections[2], before)
    module = classifier.to_torch()
    with torch.no_grad():
        p = module(torch.from_numpy(X).double()).numpy()
    np.testing.assert_allclose(p, classifier.predict_proba(X), atol=1e-9)
    assert sum(
        parameter.numel() for parameter in module.parameters()
    ) == 2 * Architecture(*LAYERS).n_parameters(classifier.coefs_[0].shape[0], 3)


def test_a_search_among_skip_connections_shares_weights_and_goes_on(fast, table):
    X, y = table
    settings = fast | {"weight_sharing": True, "refit": "fine-tune", "skip": True}
    settings |= {"first_architecture": LAYERS[:4], "activations": ("relu", "tanh")}
    settings |= {"search_strategy": "random", "n_architectures": 6}
    regressor = NASMLPRegressor(**settings, warm_start=True).fit(X, y.astype(float))
    tried = regressor.search_results_["architecture"]
    assert sum(any(architecture.skip_after) for architecture in tried) > 1
    regressor.fit(X, y.astype(float))
    assert regressor.continued_on_ == "same rows"
    assert np.isfinite(regressor.predict(X)).all()


def test_without_the_parameter_there_are_none(fast, table):
    X, y = table
    assert NASMLPClassifier().skip is False
    classifier = NASMLPClassifier(
        **fast, first_architecture=[(8, "relu")] * 2 + ["skip"]
    )
    with pytest.raises(ValueError, match="'skip' only if skip=True"):
        classifier.fit(X, y)
    with pytest.raises(ValueError, match=r"'skip' parameter .* Got 2 instead"):
        NASMLPClassifier(skip=2).fit(X, y)


@pytest.mark.parametrize("parent_skips", [False, True])
@pytest.mark.parametrize("child_skips", [False, True])
def test_children_inherit_layers_whatever_the_skip_connections(
    parent_skips, child_skips
):
    def build(widths, skips):
        layers = [(width, "relu") for width in widths]
        return Architecture(*layers, *(["skip"] if skips else []))

    parent, child = build((8, 6), parent_skips), build((8, 12), child_skips)
    generator = np.random.default_rng(0)
    shapes = [(3, 8), (8, 6), (6, 2), *([(8, 6)] if parent_skips else [])]
    weights = [
        (generator.standard_normal((a, b)), generator.standard_normal(b))
        for a, b in shapes
    ]
    store = ParentStore()
    store.add(4, parent, [weights])
    (found,) = store.retrieve(4, child, 0)
    assert len(found) == len(child.bigrams())
    assert [each is None for each in found] == [False] * 3 + [True] * child_skips
    np.testing.assert_array_equal(found[0][0], weights[0][0])
    assert [each[0].shape for each in found[:3]] == [(3, 8), (8, 12), (12, 2)]
