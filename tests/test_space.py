import copy
import dataclasses
import itertools
import math
import pickle
from collections import Counter

import numpy as np
import pytest

from sknas import Architecture, SearchSpace

SPACES = {
    "one architecture": SearchSpace((8,), ("relu",), 2),
    "no dropout": SearchSpace((8, 16), ("relu",), 4, dropout=False),
    "dropout": SearchSpace((8, 16), ("relu", "tanh"), 4),
    "deep": SearchSpace((8,), ("elu",), 7),
    "skip": SearchSpace((8, 16), ("relu",), 6, skip=True),
    "skip alone": SearchSpace((8, 16), ("relu",), 5, dropout=False, skip=True),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def test_repr_of_an_architecture_evaluates_to_an_equal_one():
    architecture = Architecture((256, "elu"), "dropout", (64, "relu"))
    assert repr(architecture) == "Architecture((256, 'elu'), 'dropout', (64, 'relu'))"
    again = eval(repr(architecture), {"Architecture": Architecture})
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert architecture != Architecture((256, "elu"), (64, "relu"))


def test_layers_of_an_architecture_become_plain_python_values():
    given = Architecture([np.int64(8), np.str_("relu")], np.str_("dropout"))
    assert given == Architecture((8, "relu"), "dropout")
    (width, activation), dropout = given.layers
    assert (type(width), type(activation), type(dropout)) == (int, str, str)


def test_an_architecture_cannot_be_changed():
    architecture = Architecture((8, "relu"))
    with pytest.raises(dataclasses.FrozenInstanceError, match="layers"):
        architecture.layers = ()


@pytest.mark.parametrize(
    "layer",
    [
        8,
        "relu",
        "output",
        None,
        (8,),
        (8, "relu", 1),
        (0, "relu"),
        (-8, "relu"),
        (8.0, "relu"),
        (True, "relu"),
        (8, "softplus"),
    ],
    ids=repr,
)
def test_a_malformed_layer_is_refused(layer):
    with pytest.raises(ValueError, match=r"must be 'dropout', 'skip' .* Got") as info:
        Architecture((8, "relu"), layer)
    assert repr(layer) in str(info.value)


@pytest.mark.parametrize(
    "layers", [(), ("dropout",), ("dropout", (8, "relu"))], ids=repr
)
def test_an_architecture_that_does_not_begin_with_a_dense_layer_is_refused(layers):
    with pytest.raises(ValueError, match="must begin with a dense layer"):
        Architecture(*layers)


def test_dropout_twice_in_a_row_is_refused():
    with pytest.raises(ValueError, match="'dropout' twice in a row"):
        Architecture((8, "relu"), "dropout", "dropout")


def test_properties_of_an_architecture_agree_with_a_worked_example():
    architecture = Architecture((4, "elu"), "dropout", (3, "relu"), (4, "elu"))
    assert architecture.dense_layers == ((4, "elu"), (3, "relu"), (4, "elu"))
    assert architecture.hidden_layer_sizes == (4, 3, 4)
    assert architecture.dropout_after == (True, False, False)
    assert architecture.bigrams() == (
        ("input", (4, "elu")),
        ((4, "elu"), (3, "relu")),
        ((3, "relu"), (4, "elu")),
        ((4, "elu"), "output"),
    )
    # 5 inputs, 2 outputs: (5+1)*4 + (4+1)*3 + (3+1)*4 + (4+1)*2
    assert architecture.n_parameters(5, 2) == 24 + 15 + 16 + 10


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        (((8, "relu"), "skip"), "before its second dense"),
        (((8, "relu"), "dropout", "skip"), "before its second dense"),
        ((*[(8, "relu")] * 2, "skip", "skip"), "'skip' right after 'skip'"),
        ((*[(8, "relu")] * 2, "skip", "dropout"), "'dropout' right after 'skip'"),
        (("skip", (8, "relu")), "begin with a dense layer"),
    ],
)
def test_a_skip_connection_that_is_out_of_order_is_refused(layers, rule):
    with pytest.raises(ValueError, match=f"must .*{rule}"):
        Architecture(*layers)


def test_skip_connections_agree_with_a_worked_example():
    layers = ((4, "elu"), (4, "relu"), "dropout", "skip", (3, "tanh"), "skip")
    architecture = Architecture(*layers)
    assert architecture.dense_layers == ((4, "elu"), (4, "relu"), (3, "tanh"))
    assert architecture.dropout_after == (False, True, False)
    assert architecture.skip_after == (False, True, True)
    # The second layer is as wide as what it skips from; the third is not.
    assert architecture.projections == (2,)
    assert architecture.bigrams() == (
        ("input", (4, "elu")),
        ((4, "elu"), (4, "relu", "skip")),
        ((4, "relu", "skip"), (3, "tanh", "skip")),
        ((3, "tanh", "skip"), "output"),
        ((4, "relu", "skip"), (3, "tanh", "projection")),
    )
    plain = Architecture((4, "elu"), (4, "relu"), (3, "tanh"))
    assert architecture.n_parameters(5, 2) == plain.n_parameters(5, 2) + 4 * 3
    assert eval(repr(architecture), {"Architecture": Architecture}) == architecture


def test_dropout_is_transparent_to_bigrams_and_parameters():
    plain = Architecture((4, "elu"), (3, "relu"))
    dropped = Architecture((4, "elu"), "dropout", (3, "relu"), "dropout")
    assert plain.bigrams() == dropped.bigrams()
    assert plain.n_parameters(7, 3) == dropped.n_parameters(7, 3)
    assert dropped.dropout_after == (True, True)


def test_the_vocabulary_is_every_pair_then_dropout_then_the_output():
    space = SearchSpace((8, 16), ("relu", "tanh"), 3)
    assert space.vocabulary == (
        (8, "relu"),
        (8, "tanh"),
        (16, "relu"),
        (16, "tanh"),
        "dropout",
        "output",
    )
    assert (space.n_tokens, space.dropout_token, space.end_token) == (6, 4, 5)
    without = SearchSpace((8, 16), ("relu", "tanh"), 3, dropout=False)
    assert (without.n_tokens, without.dropout_token, without.end_token) == (5, None, 4)


@every_space
def test_iteration_visits_every_architecture_once(space):
    architectures = list(space)
    assert len(architectures) == len(set(architectures)) == space.n_architectures
    assert all(architecture in space for architecture in architectures)
    depths = [len(architecture.layers) for architecture in architectures]
    assert depths == sorted(depths)


def test_the_number_of_architectures_agrees_with_a_count_by_hand():
    # One layer: 2. Two: 2 * 2 dense, 2 * 1 with dropout.
    assert SearchSpace((8, 16), ("relu",), 3).n_architectures == 2 + 6
    assert SearchSpace((8, 16), ("relu",), 3, dropout=False).n_architectures == 2 + 4
    # Three layers end dense (2 * 6) or in dropout after a dense one (4 * 1).
    assert SearchSpace((8, 16), ("relu",), 4).n_architectures == 2 + 6 + 12 + 4


@every_space
def test_layers_that_may_follow_are_those_of_the_architectures(space):
    found, beam = set(), [()]
    for _ in range(space.max_layers - 1):
        beam = [(*t, token) for t in beam for token in space.next_layers(t)]
        found.update(beam)
    assert {space.decode(tokens) for tokens in found} == set(space)


@every_space
def test_decode_undoes_encode(space):
    for architecture in space:
        tokens = space.encode(architecture)
        assert tokens[-1] == space.end_token
        assert len(tokens) == len(architecture.layers) + 1 <= space.max_layers
        assert space.decode(tokens) == architecture
        assert space.decode(tokens[:-1]) == architecture
        assert space.decode((*tokens, space.end_token)) == architecture


@pytest.mark.parametrize(
    "foreign",
    [
        Architecture((9, "relu")),
        Architecture((8, "tanh")),
        Architecture((8, "relu"), "dropout"),
        Architecture((8, "relu"), (8, "relu"), (8, "relu")),
    ],
    ids=["width", "activation", "dropout", "depth"],
)
def test_what_is_not_in_the_space_cannot_be_encoded(foreign):
    space = SearchSpace((8, 16), ("relu",), 3, dropout=False)
    assert foreign not in space
    with pytest.raises(ValueError, match=r"is not in SearchSpace\("):
        space.encode(foreign)


def test_only_architectures_are_in_a_space():
    space = SearchSpace((8,), ("relu",), 3)
    assert ((8, "relu"),) not in space
    assert "dropout" not in space


@every_space
def test_the_prior_sums_to_one_and_forbids_what_is_illegal(space):
    prior = np.exp(space.log_prior)
    np.testing.assert_allclose(prior.sum(axis=2), 1, rtol=1e-12)
    assert prior[0, 0, space.end_token] == 0
    np.testing.assert_array_equal(prior[-1, :, space.end_token], 1)
    if space.dropout_token is not None:
        assert prior[0, 0, space.dropout_token] == 0
        np.testing.assert_array_equal(prior[:, 1, space.dropout_token], 0)


def _prior_probability(space, architecture):
    tokens = space.encode(architecture)
    log_probability = 0.0
    for position, token in enumerate(tokens):
        state = space.token_states[tokens[position - 1] if position else -1]
        log_probability += space.log_prior[position, state, token]
    return math.exp(log_probability)


@every_space
def test_under_the_prior_every_depth_is_equally_likely(space):
    by_depth = Counter()
    for architecture in space:
        by_depth[len(architecture.layers)] += _prior_probability(space, architecture)
    assert list(by_depth) == list(range(1, space.max_layers))
    np.testing.assert_allclose(list(by_depth.values()), 1 / (space.max_layers - 1))


def test_samples_follow_the_prior():
    space = SearchSpace((8, 16), ("relu",), 4, skip=True)
    generator = np.random.default_rng(0)
    n_draws = 4000
    counts = Counter(space.sample(generator) for _ in range(n_draws))
    assert set(counts) == set(space)
    for architecture in space:
        p = _prior_probability(space, architecture)
        standard_error = math.sqrt(p * (1 - p) / n_draws)
        assert abs(counts[architecture] / n_draws - p) < 5 * standard_error


def test_a_space_of_one_architecture_is_sampled_exactly():
    space = SPACES["one architecture"]
    assert space.n_architectures == 1
    assert space.sample(np.random.default_rng(0)) == Architecture((8, "relu"))


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            SearchSpace((16, 256, 512), ("tanh", "relu"), 7),
            Architecture(*[(256, "relu"), "dropout"] * 3),
        ),
        (
            SearchSpace((16, 200), ("tanh", "elu"), 7, dropout=False),
            Architecture(*[(200, "tanh")] * 3),
        ),
        (
            SearchSpace((8,), ("relu",), 5),
            Architecture(*[(8, "relu"), "dropout"] * 2),
        ),
        (SearchSpace((8,), ("relu",), 2), Architecture((8, "relu"))),
    ],
    ids=["in full", "without relu or dropout", "short", "shortest"],
)
def test_the_strong_architecture_is_what_the_space_can_express(space, expected):
    assert space.strong_architecture() == expected
    assert expected in space


def test_spaces_compare_by_value_and_survive_copies():
    space = SPACES["dropout"]
    list(itertools.islice(space, 3))
    for again in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert again == space
        assert hash(again) == hash(space)
        assert list(again) == list(space)
