"""Network morphism: the weights of a child that does what its parent does (paper 2.3).

A layer is widened by copies of its units, whose outgoing weights share those of the
original, and a network is deepened by a layer that passes on what it is given. What
the child computes is then what the parent computes [1]_. Where a child cannot, it
inherits what corresponds.

References
----------
.. [1] T. Chen, I. Goodfellow and J. Shlens, "Net2Net: Accelerating Learning via
   Knowledge Transfer", ICLR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np

from sknas._space import Architecture
from sknas._typing import Weights

_MATCH, _INSERT, _DELETE = "match", "insert", "delete"
# How many layers of the parent there are before a step, and which step it is.
_Step: TypeAlias = tuple[int, str]
# Numbers (inner, outer, offset) such that what the parent's activation makes of z is
# outer * f(inner * z) + offset, where f is the child's.
_Conversion: TypeAlias = tuple[float, float, float]

_SAME: _Conversion = (1.0, 1.0, 0.0)
# By the activations of parent and child. With the first two the results are equal, with
# the others nearly so for small z. An inserted layer stands for an identity.
_CONVERSIONS: dict[tuple[str, str], _Conversion] = {
    ("tanh", "sigmoid"): (2.0, 2.0, -1.0),
    ("sigmoid", "tanh"): (0.5, 0.5, 0.5),
    ("identity", "tanh"): (0.5, 2.0, 0.0),
    ("identity", "sigmoid"): (1.0, 4.0, -2.0),
}
_EXACT = (("tanh", "sigmoid"), ("sigmoid", "tanh"))
# Slope and height at 0 of those whose place a straight line takes where a layer is
# deleted; other activations have 1 and 0. Of a rectifier it is the side that is not
# silent.
_LINES = {"sigmoid": (0.25, 0.5)}
# Layers whose output is never negative, and those that pass such an output on.
_NOT_NEGATIVE = ("relu", "sigmoid")
_PASS_NOT_NEGATIVE = ("relu", "elu")

# What the steps of an alignment cost. Those that keep the function cost next to
# nothing, and among them the less a step changes the better.
_WIDENED, _KEPT, _NARROWED, _OTHER_ACTIVATION, _LOST = 0.01, 0.1, 1.0, 1.5, 2.0


@dataclass(frozen=True)
class _Layer:
    """What a layer of the child takes the place of: one of the parent's, or none.

    ``signal`` is the number of the parent's layer whose output it gives, from 1; 0
    stands for the table. An inserted layer gives on what it is given. Its weights would
    be an identity, and are None.
    """

    activation: str
    signal: int
    weights: Weights | None


@dataclass(frozen=True)
class _Units:
    """Units of a layer of the child: of which of the parent's each is a copy.

    The parent's unit ``sources[i]`` is the sum of ``shares[i]`` times unit ``i`` over
    all its copies. ``signs`` tell copies of a unit from those of its negative.
    """

    sources: np.ndarray
    signs: np.ndarray
    shares: np.ndarray
    n_originals: int

    @staticmethod
    def copied(
        given: np.ndarray,
        width: int,
        generator: np.random.Generator,
        *,
        has_negatives: bool = False,
    ) -> _Units:
        """Return all given units once, then copies, each unit about as often."""
        n = len(given)
        n_originals = 2 * n if has_negatives else n
        copies = np.resize(generator.permutation(n_originals), width - n_originals)
        # Numbers from n on are the negatives.
        numbers = np.concatenate([np.arange(n_originals), copies])
        signs = np.where(numbers < n, 1.0, -1.0)
        shares = signs / np.bincount(numbers)[numbers]
        return _Units(given[numbers % n], signs, shares, n_originals)

    @staticmethod
    def strongest(given: np.ndarray, width: int, strengths: np.ndarray) -> _Units:
        """Return the strongest of the given units, in their order."""
        best = np.argsort(-strengths[given], kind="stable")[:width]
        return _Units(given[np.sort(best)], np.ones(width), np.ones(width), width)


@dataclass(frozen=True)
class _Reading:
    """How what the parent's layer gives is read off the child's."""

    units: _Units
    outer: float = 1.0
    offset: float = 0.0

    def weights(self, coef: np.ndarray, intercept: np.ndarray) -> Weights:
        """Turn weights of what reads the parent's layer."""
        factors = self.outer * self.units.shares
        return (
            factors[:, None] * coef[self.units.sources],
            intercept + self.offset * coef.sum(axis=0),
        )

    def passed_on(self, sources: np.ndarray) -> Weights:
        """Return weights of a layer that gives on some of the parent's units."""
        is_same = self.units.sources[:, None] == sources
        factors = self.outer * self.units.shares
        return factors[:, None] * is_same, np.full(len(sources), self.offset)


def morph(
    parent: Architecture,
    child: Architecture,
    weights: Sequence[Weights],
    generator: np.random.Generator,
    *,
    noise: float = 0.0,
) -> list[Weights]:
    """Return weights with which a child does what its parent does, or nearly so.

    The function is kept where the child has the parent's layers, as wide or wider, and
    between them layers that can pass on what they are given: those of ``'identity'``,
    those of ``'relu'`` and ``'elu'`` after ``'relu'`` and ``'sigmoid'``, and after
    others those of ``'relu'`` that are twice as wide. A layer of ``'identity'`` may be
    left out, and ``'tanh'`` and ``'sigmoid'`` may replace each other. Otherwise a
    narrower layer inherits the strongest units, one of another activation the same
    weights, an inserted one passes on what it can, and what follows a deleted layer
    stands for both, as though that had been linear. Dropout has no weights.

    Parameters
    ----------
    parent, child : Architecture
        Any two: layers that correspond are found here.
    weights : sequence of (ndarray, ndarray)
        The parent's: weights of shape (n_in, n_out) and biases of shape (n_out,) of
        each layer, the output layer included.
    generator : numpy.random.Generator
        Decides which units are copied, and draws the noise.
    noise : float, default=0.0
        Standard deviation of a change of the weights into copies, relative to these
        weights. Without any, nothing but dropout makes a copy and its original differ.

    Returns
    -------
    list of (ndarray, ndarray)
        The child's, of the parent's type.
    """
    # With 64 bits: sums over copies and over deleted layers are not rounded twice.
    exact = [
        (coef.astype(np.float64), bias.astype(np.float64)) for coef, bias in weights
    ]
    hidden, output = _layers(parent, child, exact)
    found: list[Weights] = []
    n_features = len(exact[0][0])
    reading = _Reading(_Units.copied(np.arange(n_features), n_features, generator))
    for layer, (width, name) in zip(hidden, child.dense_layers, strict=True):
        is_not_negative = _is_not_negative(parent, layer)
        has_negatives = _needs_negatives(layer.activation, name, is_not_negative)
        units = _choose(layer, reading, width, exact, generator, has_negatives)
        inner, *outer = _conversion(layer.activation, name, is_not_negative)
        coef, intercept = _incoming(layer, reading, units, inner)
        if noise:
            copies = coef[:, units.n_originals :]
            copies *= 1 + noise * generator.standard_normal(copies.shape)
        found.append((coef, intercept))
        reading = _Reading(units, *outer)
    found.append(reading.weights(*output))
    dtype = weights[0][0].dtype
    return [(coef.astype(dtype), bias.astype(dtype)) for coef, bias in found]


def _choose(
    layer: _Layer,
    reading: _Reading,
    width: int,
    weights: Sequence[Weights],
    generator: np.random.Generator,
    has_negatives: bool,
) -> _Units:
    """Choose which of the parent's units a layer of the child has."""
    given = np.arange(len(weights[layer.signal][0]))
    if layer.weights is None:
        # It can pass on no more than there is.
        given = np.unique(reading.units.sources)
    if width < len(given):
        return _Units.strongest(given, width, _strengths(weights, layer.signal))
    has_negatives = has_negatives and width >= 2 * len(given)
    return _Units.copied(given, width, generator, has_negatives=has_negatives)


def _incoming(layer: _Layer, reading: _Reading, units: _Units, inner: float) -> Weights:
    """Return the weights into a layer of the child."""
    if layer.weights is None:
        coef, intercept = reading.passed_on(units.sources)
    else:
        coef, intercept = reading.weights(*layer.weights)
        coef, intercept = coef[:, units.sources], intercept[units.sources]
    factors = inner * units.signs
    return coef * factors, intercept * factors


def _strengths(weights: Sequence[Weights], signal: int) -> np.ndarray:
    """Return how much units matter: the product of the norms in and out of them."""
    strengths: np.ndarray = np.linalg.norm(weights[signal][0], axis=1)
    if signal:
        strengths = strengths * np.linalg.norm(np.vstack(weights[signal - 1]), axis=0)
    return strengths


def _is_not_negative(parent: Architecture, layer: _Layer) -> bool:
    """Tell whether an inserted layer has to pass on no negative number."""
    return (
        layer.weights is None
        and layer.signal > 0
        and parent.dense_layers[layer.signal - 1][1] in _NOT_NEGATIVE
    )


def _needs_negatives(activation: str, name: str, is_not_negative: bool) -> bool:
    # As z = relu(z) - relu(-z).
    return (activation, name) == ("identity", "relu") and not is_not_negative


def _conversion(activation: str, name: str, is_not_negative: bool) -> _Conversion:
    if is_not_negative and name in _PASS_NOT_NEGATIVE:
        return _SAME
    return _CONVERSIONS.get((activation, name), _SAME)


def _layers(
    parent: Architecture, child: Architecture, weights: Sequence[Weights]
) -> tuple[list[_Layer], Weights]:
    """Return what each layer of the child takes the place of, and the output layer."""
    steps = _align(parent, child, len(weights[0][0]))
    names = [name for _, name in parent.dense_layers]
    deleted = {position for position, step in steps if step == _DELETE}
    given = _without(deleted, names, weights)
    layers: list[_Layer] = []
    signal = 0
    for position, step in steps:
        if step == _MATCH:
            signal = position + 1
            layers.append(_Layer(names[position], signal, given[position]))
        elif step == _INSERT:
            layers.append(_Layer("identity", signal, None))
    return layers, given[-1]


def _without(
    deleted: set[int], names: Sequence[str], weights: Sequence[Weights]
) -> list[Weights]:
    """Return weights of layers that stand for the deleted ones before them, too."""
    given = list(weights[:1])
    for position, (coef, intercept) in enumerate(weights[1:]):
        if position in deleted:
            slope, height = _LINES.get(names[position], (1.0, 0.0))
            before, bias = given[position]
            intercept = intercept + (slope * bias + height) @ coef
            coef = slope * before @ coef
        given.append((coef, intercept))
    return given


def _align(parent: Architecture, child: Architecture, n_features: int) -> list[_Step]:
    """Find the steps from parent to child that keep most of the function."""
    of_parent, of_child = parent.dense_layers, child.dense_layers
    # By the number of layers before.
    widths = (n_features, *parent.hidden_layer_sizes)
    not_negative = (False, *(name in _NOT_NEGATIVE for _, name in of_parent))

    @cache
    def best(i: int, j: int) -> tuple[float, tuple[_Step, ...]]:
        """Return cost and steps for the layers from ``i`` and from ``j`` on."""
        options = []
        if i < len(of_parent) and j < len(of_child):
            cost = _cost_of_match(*of_parent[i], *of_child[j])
            options.append((cost, _MATCH, best(i + 1, j + 1)))
        if j < len(of_child):
            cost = _cost_of_insertion(widths[i], not_negative[i], *of_child[j])
            options.append((cost, _INSERT, best(i, j + 1)))
        if i < len(of_parent):
            cost = _KEPT if of_parent[i][1] == "identity" else _LOST
            options.append((cost, _DELETE, best(i + 1, j)))
        if not options:
            return 0.0, ()
        # The first of the best.
        cost, step, rest = min(options, key=lambda option: option[0] + option[2][0])
        return cost + rest[0], ((i, step), *rest[1])

    return list(best(0, 0)[1])


def _cost_of_match(n: int, activation: str, width: int, name: str) -> float:
    pair = activation, name
    negated = _needs_negatives(activation, name, False)
    is_kept = activation == name or pair in _EXACT or (negated and width >= 2 * n)
    cost = 0.0 if is_kept else _OTHER_ACTIVATION
    cost += _WIDENED * (width > n)
    # The worst match is still better than a deletion and an insertion.
    return cost + _NARROWED * (width < n)


def _cost_of_insertion(n: int, is_not_negative: bool, width: int, name: str) -> float:
    is_passed = name == "identity" or (is_not_negative and name in _PASS_NOT_NEGATIVE)
    is_passed = is_passed or (name == "relu" and width >= 2 * n)
    return _KEPT if is_passed and width >= n else _LOST
