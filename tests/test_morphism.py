import itertools

import numpy as np
import pytest
import torch

from sknas import Architecture, SearchSpace
from sknas._engine.network import StackedMLP
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._search.morphism import morph

CPU = torch.device("cpu")
N_FEATURES, N_OUTPUTS = 6, 2
X = np.random.default_rng(0).normal(size=(50, N_FEATURES))


def _draw(architecture, seed=0):
    """Draw weights as the engine would, with biases."""
    generator = np.random.default_rng(seed)
    widths = (N_FEATURES, *architecture.hidden_layer_sizes, N_OUTPUTS)
    return [
        (
            (generator.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32),
            generator.normal(size=shape[1]).astype(np.float32),
        )
        for shape in itertools.pairwise(widths)
    ]


def _outputs(architecture, weights):
    return FittedEnsemble([Member(architecture, weights)], "identity").predict(X)


def _morph(parent, child, seed=0, **options):
    weights = _draw(parent)
    return morph(parent, child, weights, np.random.default_rng(seed), **options)


def _difference(parent, child, **options):
    """Return how much a child's outputs differ from its parent's."""
    morphed = _morph(parent, child, **options)
    widths = (N_FEATURES, *child.hidden_layer_sizes, N_OUTPUTS)
    shapes = [(coef.shape, bias.shape) for coef, bias in morphed]
    assert shapes == [((n, m), (m,)) for n, m in itertools.pairwise(widths)]
    assert {array.dtype.name for layer in morphed for array in layer} == {"float32"}
    difference = _outputs(child, morphed) - _outputs(parent, _draw(parent))
    return np.abs(difference).max()


KEPT = {
    "the same": ([(8, "tanh")], [(8, "tanh")]),
    "wider": ([(8, "elu")], [(21, "elu")]),
    "the first wider": ([(8, "relu"), (8, "tanh")], [(64, "relu"), (8, "tanh")]),
    "all wider": (
        [(8, "sigmoid"), (16, "elu"), (4, "relu")],
        [(9, "sigmoid"), (64, "elu"), (17, "relu")],
    ),
    "another after relu": ([(8, "relu")], [(8, "relu"), (8, "relu")]),
    "a wider one after relu": (
        [(8, "relu"), (8, "tanh")],
        [(8, "relu"), (32, "relu"), (8, "tanh")],
    ),
    "after sigmoid": ([(8, "sigmoid")], [(8, "sigmoid"), (9, "relu"), (9, "elu")]),
    "identity after tanh": ([(8, "tanh")], [(8, "tanh"), (11, "identity")]),
    "identity in front": ([(8, "tanh")], [(7, "identity"), (8, "tanh")]),
    "relu, twice as wide, in front": ([(8, "tanh")], [(13, "relu"), (8, "tanh")]),
    "relu, twice as wide, after tanh": ([(8, "tanh")], [(8, "tanh"), (20, "relu")]),
    "deeper and wider": (
        [(8, "relu"), (16, "tanh")],
        [(12, "relu"), "dropout", (20, "relu"), (20, "relu"), (32, "tanh")],
    ),
    "dropout": ([(8, "elu"), "dropout"], [(8, "elu")]),
    "without identity": (
        [(8, "relu"), (5, "identity"), (8, "elu")],
        [(8, "relu"), (8, "elu")],
    ),
    "tanh as sigmoid": ([(8, "tanh"), (8, "tanh")], [(8, "sigmoid"), (9, "tanh")]),
    "sigmoid as tanh": ([(8, "sigmoid")], [(20, "tanh"), (40, "relu")]),
    "identity as relu": ([(8, "identity")], [(16, "relu")]),
}


@pytest.mark.parametrize(("parent", "child"), KEPT.values(), ids=KEPT)
def test_the_function_is_kept_where_it_can_be(parent, child):
    assert _difference(Architecture(*parent), Architecture(*child)) < 1e-5


def test_the_function_is_kept_over_generations():
    generations = [
        Architecture(*layers)
        for layers in (
            [(4, "sigmoid")],
            [(4, "sigmoid"), (8, "relu")],
            [(9, "sigmoid"), (8, "relu"), (16, "elu")],
            [(9, "sigmoid"), (20, "relu"), (20, "relu"), (17, "elu")],
            [(32, "tanh"), (20, "relu"), (21, "relu"), (17, "elu")],
        )
    ]
    weights = _draw(generations[0])
    expected = _outputs(generations[0], weights)
    generator = np.random.default_rng(0)
    for parent, child in itertools.pairwise(generations):
        weights = morph(parent, child, weights, generator)
        np.testing.assert_allclose(_outputs(child, weights), expected, atol=1e-5)


def test_the_engine_computes_the_same():
    parent = Architecture((8, "relu"), (8, "tanh"))
    child = Architecture((20, "relu"), (20, "relu"), (8, "tanh"))
    logits = []
    for architecture, weights in [
        (parent, _draw(parent)),
        (child, _morph(parent, child)),
    ]:
        network = StackedMLP(
            [architecture], N_FEATURES, N_OUTPUTS, dropout=[0.0], device=CPU
        )
        network.initialize(0, 0, weights)
        rows = torch.from_numpy(X.astype(np.float32))
        logits.append(network.logits(rows)[0].numpy())
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_a_narrower_layer_has_the_strongest_units():
    parent = Architecture((8, "relu"), (8, "tanh"))
    child = Architecture((5, "relu"), (8, "tanh"))
    weights = _draw(parent)
    # Nothing reads two of the units, and one reads nothing.
    weights[1][0][[0, 3]] = 0
    weights[0][0][:, 6] = 0
    weights[0][1][6] = 0
    morphed = morph(parent, child, weights, np.random.default_rng(0))
    np.testing.assert_array_equal(morphed[0][0], weights[0][0][:, [1, 2, 4, 5, 7]])
    expected = _outputs(parent, weights)
    np.testing.assert_allclose(_outputs(child, morphed), expected, atol=1e-5)


def test_another_activation_has_the_same_weights():
    parent, child = Architecture((8, "relu")), Architecture((8, "tanh"))
    for morphed, given in zip(_morph(parent, child), _draw(parent), strict=True):
        np.testing.assert_array_equal(morphed[0], given[0])
        np.testing.assert_array_equal(morphed[1], given[1])


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "elu", "relu"])
def test_what_reads_a_deleted_layer_stands_for_both(name):
    parent = Architecture((8, "sigmoid"), (5, name), (9, "tanh"))
    child = Architecture((8, "sigmoid"), (9, "tanh"))
    weights = _draw(parent)
    # Close to 0, where these are straight lines; a rectifier where it is not silent.
    np.multiply(weights[1][0], 0.01, out=weights[1][0])
    weights[1][1][:] = 0.02 if name == "relu" else 0.0
    if name == "relu":
        np.abs(weights[1][0], out=weights[1][0])
    morphed = morph(parent, child, weights, np.random.default_rng(0))
    expected = _outputs(parent, weights)
    np.testing.assert_allclose(_outputs(child, morphed), expected, atol=5e-3)
    np.testing.assert_array_equal(morphed[0][0], weights[0][0])
    np.testing.assert_array_equal(morphed[2][0], weights[3][0])


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_an_inserted_layer_that_cannot_keep_the_function_nearly_does(name):
    parent, child = Architecture((8, "tanh")), Architecture((8, "tanh"), (8, name))
    assert 1e-5 < _difference(parent, child) < 0.5
    unrelated = _outputs(child, _draw(child, 1)) - _outputs(parent, _draw(parent))
    assert np.abs(unrelated).max() > 1


def test_no_unit_of_an_inserted_layer_reads_nothing():
    parent = Architecture((32, "relu"), (8, "tanh"))
    child = Architecture((5, "relu"), (32, "relu"), (8, "tanh"))
    (first, inserted, *_) = _morph(parent, child)
    assert first[0].shape == (N_FEATURES, 5)
    assert np.abs(inserted[0]).sum(axis=0).min() > 0


def test_any_architecture_can_inherit_from_any_other():
    space = SearchSpace((4, 8, 16), ("relu", "tanh", "sigmoid", "identity"), 6)
    generator = np.random.default_rng(0)
    pairs = [(space.sample(generator), space.sample(generator)) for _ in range(30)]
    assert all(np.isfinite(_difference(*pair)) for pair in pairs)


def test_units_are_copied_about_as_often_each_and_by_the_generator():
    parent, child = Architecture((8, "relu")), Architecture((30, "relu"))
    (given, _), (first, _), (again, _), (other, _) = (
        weights[0]
        for weights in (
            _draw(parent),
            _morph(parent, child),
            _morph(parent, child),
            _morph(parent, child, seed=1),
        )
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first[:, :8], given)
    is_copy = (first[:, :, None] == given[:, None, :]).all(axis=0)
    assert sorted(is_copy.sum(axis=0)) == [3, 3, 4, 4, 4, 4, 4, 4]


def test_noise_sets_copies_apart_from_their_originals():
    parent, child = Architecture((8, "relu")), Architecture((16, "relu"))
    (exact, _), (noisy, _) = (
        _morph(parent, child, noise=noise)[0] for noise in (0.0, 0.1)
    )
    np.testing.assert_array_equal(noisy[:, :8], exact[:, :8])
    changes = noisy[:, 8:] / exact[:, 8:] - 1
    assert 0.05 < changes.std() < 0.2
    assert 1e-5 < _difference(parent, child, noise=0.1) < 0.5


def test_the_parent_keeps_its_weights():
    parent = Architecture((8, "relu"), (8, "tanh"))
    weights = _draw(parent)
    morphed = morph(parent, parent, weights, np.random.default_rng(0), noise=0.1)
    for layer, own, expected in zip(morphed, weights, _draw(parent), strict=True):
        for array, given, same in zip(layer, own, expected, strict=True):
            np.testing.assert_array_equal(array, given)
            assert not np.shares_memory(array, given)
            np.testing.assert_array_equal(given, same)
