"""Architectures as numbers between 0 and 1: what a relaxed choice of layers is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sknas._space.architecture import Architecture
from sknas._space.search_space import SearchSpace


@dataclass(frozen=True, eq=False)
class Gates:
    """How much of each choice there is at each position of a supernet.

    With widths in increasing order, of which ``m_w`` masks all but the first units, and
    with activations ``f_a``, a position computes of its input ``h``::

        z = h W + b
        c = [sum_w width[w] m_w] * sum_a activation[a] f_a(z)
        h = (1 - skip) * c + skip * h

    An architecture has gates of 0 and 1. Gradients with respect to gates have this form
    too.

    Parameters
    ----------
    activation : ndarray of shape (n_layers, n_activations)
        In the order of the space's activations.
    width : ndarray of shape (n_layers, n_widths)
        In increasing order of the widths.
    skip : ndarray of shape (n_layers,)
        That of the first position is 0: the features are not what a layer gives.
    dropout : ndarray of shape (n_layers,), bool
        Whether units are dropped after a layer, in training.
    """

    activation: np.ndarray
    width: np.ndarray
    skip: np.ndarray
    dropout: np.ndarray

    @staticmethod
    def n_layers_of(space: SearchSpace) -> int:
        """Return how many positions there are: as in the deepest dense network."""
        # The output layer takes one of `max_layers` places.
        return space.max_layers - 1

    @classmethod
    def of(cls, architecture: Architecture, space: SearchSpace) -> Gates:
        """Return the gates of an architecture; what is beyond its depth is skipped.

        Parameters
        ----------
        architecture : Architecture
            An architecture of the space.
        space : SearchSpace
            What the gates choose from, without skip connections: the gates' own skip
            positions, and add nothing.
        """
        n_layers = cls.n_layers_of(space)
        widths = sorted(set(space.layer_widths))
        gates = cls(
            np.zeros((n_layers, len(space.activations))),
            np.zeros((n_layers, len(widths))),
            np.ones(n_layers),
            np.zeros(n_layers, dtype=bool),
        )
        dense = architecture.dense_layers
        for layer, (width, name) in enumerate(dense):
            gates.activation[layer, space.activations.index(name)] = 1
            gates.width[layer, widths.index(width)] = 1
        gates.skip[: len(dense)] = 0
        gates.dropout[: len(dense)] = architecture.dropout_after
        return gates
