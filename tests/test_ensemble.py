"""The fitted ensemble against a forward pass that is written out."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from sknas import Architecture
from sknas._engine import layers
from sknas._export import torch_module
from sknas._model import activations
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._space import ACTIVATIONS

A, B = Architecture((5, "relu")), Architecture((4, "tanh"), "dropout", (3, "elu"))
FUNCTIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "tanh": np.tanh,
    "sigmoid": expit,
    "identity": lambda z: z,
}
X = np.random.default_rng(0).normal(size=(20, 6))


def _member(architecture, seed, n_outputs=3, columns=None, weight=1.0):
    generator = np.random.default_rng(seed)
    n_inputs = 6 if columns is None else len(columns)
    widths = (n_inputs, *architecture.hidden_layer_sizes, n_outputs)
    layers = [
        (generator.normal(size=(a, b)), generator.normal(size=b))
        for a, b in itertools.pairwise(widths)
    ]
    return Member(architecture, layers, weight, columns)


def _logits(member, X):
    hidden = X if member.columns is None else X[:, member.columns]
    names = [name for _, name in member.architecture.dense_layers]
    for layer, (coef, intercept) in enumerate(member.layers):
        if layer:
            hidden = FUNCTIONS[names[layer - 1]](hidden)
        hidden = hidden @ coef + intercept
    return hidden


def _probabilities(ensemble, X):
    return np.exp(ensemble.predict_log_proba(X))


def test_one_member_is_a_plain_network():
    member = _member(A, 0)
    ensemble = FittedEnsemble([member], "softmax")
    expected = softmax(_logits(member, X), axis=1)
    np.testing.assert_allclose(_probabilities(ensemble, X), expected, atol=1e-12)


def test_one_logistic_unit_gives_two_classes():
    member = _member(A, 0, n_outputs=1)
    p = _probabilities(FittedEnsemble([member], "logistic"), X)
    np.testing.assert_allclose(p[:, 1], expit(_logits(member, X)[:, 0]), atol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_members_may_differ_in_architecture_view_and_weight():
    columns = np.array([5, 0, 2])
    members = [
        _member(A, 0, weight=3.0),
        _member(B, 1, columns=columns),
        _member(A, 2, weight=2.0),
        _member(B, 3),
    ]
    expected = np.average(
        [softmax(_logits(member, X), axis=1) for member in members],
        axis=0,
        weights=[3, 1, 2, 1],
    )
    ensemble = FittedEnsemble(members, "softmax")
    np.testing.assert_allclose(_probabilities(ensemble, X), expected, atol=1e-12)
    assert len(ensemble) == len(ensemble.members) == 4
    # The strongest comes first; those of one architecture and view stand together.
    assert [m.weight for m in ensemble.members] == [3.0, 2.0, 1.0, 1.0]
    np.testing.assert_array_equal(ensemble.members[0].coefs[0], members[0].coefs[0])


def test_the_average_is_calibrated_and_not_each_member():
    members = [_member(A, seed) for seed in range(3)]
    pooled = np.mean([softmax(_logits(m, X), axis=1) for m in members], axis=0)
    expected = pooled**0.5 / (pooled**0.5).sum(axis=1, keepdims=True)
    ensemble = FittedEnsemble(members, "softmax", temperature=2.0)
    np.testing.assert_allclose(_probabilities(ensemble, X), expected, atol=1e-12)


def test_probabilities_too_small_for_a_number_keep_their_logarithms():
    members = [_member(A, seed) for seed in range(2)]
    log_p = FittedEnsemble(members, "softmax").predict_log_proba(1e4 * X)
    assert np.isfinite(log_p).all()
    assert log_p.min() < -1000


def test_members_are_views_of_what_predicts():
    ensemble = FittedEnsemble([_member(A, 0), _member(A, 1)], "softmax")
    before = ensemble.predict_log_proba(X)
    for intercepts in ensemble.members[1].intercepts:
        intercepts[:] = 0
    assert (ensemble.predict_log_proba(X) != before).any()


@pytest.mark.parametrize("n_rows", [0, 1, 1023, 1024, 1025, 2100])
def test_tables_of_any_length_are_predicted(n_rows):
    table = np.random.default_rng(0).normal(size=(n_rows, 6))
    ensemble = FittedEnsemble([_member(A, 0), _member(B, 1)], "softmax")
    log_p = ensemble.predict_log_proba(table)
    assert log_p.shape == (n_rows, 3)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1)


def test_a_pickle_predicts_the_same():
    ensemble = FittedEnsemble([_member(A, 0), _member(B, 1)], "softmax", 1.5)
    again = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(
        again.predict_log_proba(X), ensemble.predict_log_proba(X)
    )


def test_every_activation_has_its_numbers_everywhere():
    assert set(activations.HIDDEN) == set(ACTIVATIONS) == set(layers.ACTIVATIONS)
    assert set(torch_module._ACTIVATIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_computed_alike_everywhere(activation):
    z = np.linspace(-3.0, 3.0, 13)
    computed = z.copy()
    activations.HIDDEN[activation](computed)
    np.testing.assert_allclose(computed, FUNCTIONS[activation](z), atol=1e-12)
    as_tensor = torch_module._ACTIVATIONS[activation](torch.from_numpy(z))
    np.testing.assert_allclose(as_tensor.numpy(), computed, atol=1e-12)
