"""How far two architectures are from each other, by optimal transport (OTMANN)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from sknas._search.strategies.surrogate.transport import transport_costs
from sknas._space import Architecture

# What a unit of mass pays, if it is carried to a layer that differs in this way. It is
# left where it is if that is cheaper, for 1 on each side.
_PER_DOUBLED_WIDTH = 0.3
_PER_DROPOUT = 0.2
_PER_SKIP = 0.2
_PER_ACTIVATION = 0.2
_PER_SIMILAR_ACTIVATION = 0.1
_PER_POSITION = 0.25
# The mass of the input, and that of the output, as shares of that of all hidden layers.
_SHARE_OF_ENDS = 0.1
# Which activations are similar: those with the same number.
_ACTIVATIONS = ("relu", "elu", "sigmoid", "tanh", "identity")
_FAMILIES = np.array([0, 0, 1, 1, 2])


@dataclass(frozen=True)
class Layers:
    """Dense layers of some architectures, as arrays that are filled up with zeros.

    Attributes
    ----------
    masses : ndarray of shape (n_architectures, n_layers)
        Logarithm of the number of weights; 0 where there is no layer.
    octaves : ndarray of shape (n_architectures, n_layers)
        Logarithms of the widths to the base of 2.
    activations : ndarray of shape (n_architectures, n_layers)
        Numbers of the activations.
    dropouts : ndarray of shape (n_architectures, n_layers)
        1 where dropout follows, else 0.
    skips : ndarray of shape (n_architectures, n_layers)
        1 where there is a skip connection, else 0.
    depths : ndarray of shape (n_architectures,)
        How many layers there are.
    """

    masses: np.ndarray
    octaves: np.ndarray
    activations: np.ndarray
    dropouts: np.ndarray
    skips: np.ndarray
    depths: np.ndarray

    @property
    def totals(self) -> np.ndarray:
        """Masses of the architectures, ends counted, of shape (n_architectures,)."""
        return np.asarray(self.masses.sum(axis=1) * (1 + 2 * _SHARE_OF_ENDS))

    def take(self, indices: np.ndarray) -> Layers:
        """Return the layers of some of the architectures alone."""
        return Layers(*(getattr(self, each.name)[indices] for each in fields(self)))


def as_layers(architectures: Sequence[Architecture]) -> Layers:
    """Write architectures as arrays.

    The mass of a layer grows with its weights. It is their logarithm, or one wide layer
    would outweigh all others. The width of the input is not known here: the first layer
    counts as if it were square.

    Parameters
    ----------
    architectures : sequence of Architecture
        Of any space.

    Returns
    -------
    Layers
        In the same order.
    """
    depths = np.array([len(a.dense_layers) for a in architectures], dtype=np.intp)
    shape = (len(architectures), int(depths.max(initial=0)))
    widths, activations = np.ones(shape), np.zeros(shape, int)
    dropouts, skips = np.zeros(shape), np.zeros(shape)
    for row, architecture in enumerate(architectures):
        dense, depth = architecture.dense_layers, depths[row]
        widths[row, :depth] = [width for width, _ in dense]
        activations[row, :depth] = [_ACTIVATIONS.index(name) for _, name in dense]
        dropouts[row, :depth] = architecture.dropout_after
        skips[row, :depth] = architecture.skip_after
    octaves = np.log2(widths)
    before = np.concatenate([octaves[:, :1], octaves[:, :-1]], axis=1)
    is_layer = np.arange(shape[1]) < depths[:, np.newaxis]
    # One more, since a layer of one unit is a layer too.
    masses = np.where(is_layer, 1 + octaves + before, 0.0)
    return Layers(masses, octaves, activations, dropouts, skips, depths)


def distances(
    first: Layers, rows: np.ndarray, second: Layers, columns: np.ndarray
) -> np.ndarray:
    """Return the distances of pairs of architectures, as they are and normalised.

    The distance is the least cost of carrying the mass of one architecture's layers to
    those of the other. It is a metric: what one unit pays is one, and to leave a unit
    is to carry it to a place that is at distance 1 from all others. Normalised, by the
    masses of both, it is at most 1, and need not obey the triangle inequality.

    Parameters
    ----------
    first : Layers
        Some architectures.
    rows : ndarray of shape (n_pairs,)
        Which of them.
    second : Layers
        Others, or the same.
    columns : ndarray of shape (n_pairs,)
        Which of them.

    Returns
    -------
    ndarray of shape (2, n_pairs)
        The distance, and the normalised distance.
    """
    masses = first.masses[rows].T, second.masses[columns].T
    costs = _unit_costs(first, rows, second, columns)
    distance = transport_costs(costs, *masses)
    # Inputs can only go to inputs, and outputs to outputs. Each is as far from the
    # other's as the depths differ, at its other end.
    ends = [_SHARE_OF_ENDS * mass.sum(axis=0) for mass in masses]
    price = 0.5 * _PER_POSITION * np.abs(first.depths[rows] - second.depths[columns])
    carried = np.minimum(*ends) * np.minimum(price, 2.0)
    distance += 2 * (carried + np.abs(ends[0] - ends[1]))
    return np.stack(
        [distance, distance / (first.totals[rows] + second.totals[columns])]
    )


def distances_among(layers: Layers, known: np.ndarray | None = None) -> np.ndarray:
    """Return the distances of all pairs, of which each is computed once.

    Parameters
    ----------
    layers : Layers
        Some architectures.
    known : ndarray of shape (2, n_known, n_known), optional
        The distances of the first ones.

    Returns
    -------
    ndarray of shape (2, n_architectures, n_architectures)
        Symmetric, with zeros on the diagonal.
    """
    n = len(layers.depths)
    n_known = 0 if known is None else known.shape[1]
    gaps = np.zeros((2, n, n))
    if known is not None:
        gaps[:, :n_known, :n_known] = known
    rows, columns = np.tril_indices(n, -1)
    is_new = rows >= n_known
    rows, columns = rows[is_new], columns[is_new]
    gaps[:, rows, columns] = distances(layers, rows, layers, columns)
    gaps[:, columns, rows] = gaps[:, rows, columns]
    return gaps


def _unit_costs(
    first: Layers, rows: np.ndarray, second: Layers, columns: np.ndarray
) -> np.ndarray:
    """Return what a unit pays, of shape (n_layers, n_layers, n_pairs)."""

    def differences(of_first: np.ndarray, of_second: np.ndarray) -> np.ndarray:
        gaps = of_first[rows].T[:, np.newaxis] - of_second[columns].T
        return np.asarray(np.abs(gaps))

    def to_output(layers: Layers) -> np.ndarray:
        return layers.depths[:, np.newaxis] - np.arange(layers.masses.shape[1])

    costs = _PER_DOUBLED_WIDTH * differences(first.octaves, second.octaves)
    costs += _PER_DROPOUT * differences(first.dropouts, second.dropouts)
    # Most spaces have none, and this is called for all pairs of many architectures.
    if first.skips.any() or second.skips.any():
        costs += _PER_SKIP * differences(first.skips, second.skips)
    costs += _ACTIVATION_COSTS[
        first.activations[rows].T[:, np.newaxis], second.activations[columns].T
    ]
    from_input = np.abs(
        np.arange(costs.shape[0])[:, np.newaxis] - np.arange(costs.shape[1])
    )
    positions = differences(to_output(first), to_output(second))
    positions += from_input[..., np.newaxis]
    return np.asarray(costs + 0.5 * _PER_POSITION * positions)


def _activation_costs() -> np.ndarray:
    is_similar = _FAMILIES[:, np.newaxis] == _FAMILIES
    costs = np.where(is_similar, _PER_SIMILAR_ACTIVATION, _PER_ACTIVATION)
    np.fill_diagonal(costs, 0.0)
    return costs


_ACTIVATION_COSTS = _activation_costs()
