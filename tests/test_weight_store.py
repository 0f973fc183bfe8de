import itertools
import pickle

import numpy as np
import pytest

from sknas import Architecture
from sknas._search.weight_store import BigramWeightStore

RELU = (4, "relu")
TANH = (4, "tanh")


def _weights(architecture, value, n_inputs=3, n_outputs=2):
    widths = (n_inputs, *architecture.hidden_layer_sizes, n_outputs)
    return [
        (
            np.full((a, b), value + layer, dtype=np.float32),
            np.full(b, -value - layer, dtype=np.float32),
        )
        for layer, (a, b) in enumerate(itertools.pairwise(widths))
    ]


def _first_values(found):
    return [None if entry is None else float(entry[0].flat[0]) for entry in found]


def test_an_empty_store_knows_nothing():
    store = BigramWeightStore()
    assert store.retrieve(Architecture(RELU, TANH)) == [None, None, None]


def test_retrieve_returns_what_was_added():
    store, architecture = BigramWeightStore(), Architecture(RELU, "dropout", TANH)
    weights = _weights(architecture, 1.0)
    store.add(architecture, weights, 0.5)
    # Dropout has no weights: the pair is that of the layers around it, in their order.
    assert None not in store.retrieve(Architecture(RELU, TANH))
    assert store.retrieve(Architecture(TANH, RELU)) == [None, None, None]
    for (coef, intercept), found in zip(
        weights, store.retrieve(architecture), strict=True
    ):
        np.testing.assert_array_equal(found[0], coef)
        np.testing.assert_array_equal(found[1], intercept)


def test_another_architecture_inherits_the_pairs_it_shares():
    store = BigramWeightStore()
    store.add(Architecture(RELU, TANH), _weights(Architecture(RELU, TANH), 1.0), 0.5)
    # input-relu and tanh-output are known, relu-relu is not.
    found = store.retrieve(Architecture(RELU, RELU, TANH))
    assert _first_values(found) == [1.0, None, 2.0, 3.0]
    assert _first_values(store.retrieve(Architecture(TANH))) == [None, 3.0]


def test_what_goes_in_and_comes_out_is_a_copy():
    store, architecture = BigramWeightStore(), Architecture(RELU)
    weights = _weights(architecture, 1.0)
    store.add(architecture, weights, 0.5)
    for array in (*weights[0], *weights[1]):
        array.fill(99)
    assert _first_values(store.retrieve(architecture)) == [1.0, 2.0]
    for coef, intercept in store.retrieve(architecture):
        coef.fill(77)
        intercept.fill(77)
    found = store.retrieve(architecture)
    assert _first_values(found) == [1.0, 2.0]
    assert float(found[0][1][0]) == -1.0


@pytest.mark.parametrize("better_first", [True, False])
def test_of_two_children_the_better_score_stays(better_first):
    store, architecture = BigramWeightStore(), Architecture(RELU)
    offers = [(1.0, 0.9), (5.0, 0.2)]
    for value, score in offers if better_first else offers[::-1]:
        store.add(architecture, _weights(architecture, value), score)
    assert _first_values(store.retrieve(architecture)) == [1.0, 2.0]


def test_of_two_equal_scores_the_first_stays():
    store, architecture = BigramWeightStore(), Architecture(RELU)
    store.add(architecture, _weights(architecture, 1.0), 0.5)
    store.add(architecture, _weights(architecture, 5.0), 0.5)
    assert _first_values(store.retrieve(architecture)) == [1.0, 2.0]


def test_conflicts_are_resolved_pair_by_pair():
    store = BigramWeightStore()
    poor, good = Architecture(RELU, TANH), Architecture(RELU)
    store.add(poor, _weights(poor, 10.0), 0.1)
    store.add(good, _weights(good, 1.0), 0.9)
    assert _first_values(store.retrieve(poor)) == [1.0, 11.0, 12.0]


@pytest.mark.parametrize("first_score", [None, 0.1])
def test_within_a_child_the_pair_nearer_to_the_input_is_kept(first_score):
    store, architecture = BigramWeightStore(), Architecture(RELU, RELU, RELU)
    if first_score is not None:
        store.add(architecture, _weights(architecture, 50.0), first_score)
    store.add(architecture, _weights(architecture, 1.0), 0.5)
    # Layers 1 and 2 are both (RELU, RELU): the second one's weights are layer 1's.
    assert _first_values(store.retrieve(architecture)) == [1.0, 2.0, 2.0, 4.0]


def test_weights_that_do_not_fit_the_architecture_are_refused():
    store, architecture = BigramWeightStore(), Architecture(RELU, TANH)
    with pytest.raises(ValueError, match="zip"):
        store.add(architecture, _weights(architecture, 1.0)[:-1], 0.5)


def test_layers_with_skip_connections_share_nothing_with_those_without():
    store = BigramWeightStore()
    wide = (8, "relu")
    skipped = Architecture(RELU, wide, "skip")
    weights = _weights(skipped, 1.0)
    projection = np.full((4, 8), 7.0, dtype=np.float32), np.empty(0, np.float32)
    store.add(skipped, [*weights, projection], 0.5)
    # Of a child without the skip connection, only the first layer is known.
    found = store.retrieve(Architecture(RELU, wide))
    assert _first_values(found) == [1.0, None, None]
    # Weights come with the projection that they were trained beside.
    found = store.retrieve(Architecture(TANH, RELU, wide, "dropout", "skip"))
    assert _first_values(found) == [None, None, 2.0, 3.0, 7.0]
    assert found[-1][1].shape == (0,)


def test_a_pickled_store_answers_the_same():
    store, architecture = BigramWeightStore(), Architecture(RELU, TANH)
    store.add(architecture, _weights(architecture, 1.0), 0.5)
    again = pickle.loads(pickle.dumps(store))
    assert _first_values(again.retrieve(architecture)) == [1.0, 2.0, 3.0]
    again.add(architecture, _weights(architecture, 9.0), 0.4)
    assert _first_values(again.retrieve(architecture)) == [1.0, 2.0, 3.0]
