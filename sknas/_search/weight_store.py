"""One-shot sharing: weights kept by the pair of layers they connect (paper 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sknas._space import Architecture, Bigram
from sknas._typing import Weights


class _Entry(NamedTuple):
    score: float
    # Of shape (n_in, n_out), and biases of shape (n_out,).
    weights: Weights


class BigramWeightStore:
    """Weights of the best child seen so far for each pair of adjacent dense layers.

    Everything goes in and comes out as a copy. Within a child that holds a pair
    twice, the pair nearer to the input is kept. Projections of skip connections are
    kept too: the weights beside them make up for what they give, and are of no use
    with others. Both are always those of the same child.
    """

    def __init__(self) -> None:
        self._entries: dict[Bigram, _Entry] = {}

    def add(
        self, architecture: Architecture, weights: Sequence[Weights], score: float
    ) -> None:
        """Offer a child's weights; each pair keeps those of the better score.

        Parameters
        ----------
        architecture : Architecture
            What the child was built from.
        weights : sequence of (ndarray, ndarray)
            Weights of shape (n_in, n_out) and biases of shape (n_out,), or of a
            projection (0,), for each of ``architecture.bigrams()``.
        score : float
            If two children have the same pair, the weights of the one with the higher
            score are kept; on a tie, those of the earlier child.
        """
        offered: dict[Bigram, Weights] = {}
        for bigram, layer_weights in zip(architecture.bigrams(), weights, strict=True):
            offered.setdefault(bigram, layer_weights)
        for bigram, (coef, intercept) in offered.items():
            if bigram not in self._entries or score > self._entries[bigram].score:
                self._entries[bigram] = _Entry(score, (coef.copy(), intercept.copy()))

    def retrieve(self, architecture: Architecture) -> list[Weights | None]:
        """Look up each pair of an architecture.

        Returns
        -------
        list of (ndarray, ndarray) or None
            One entry for each of ``architecture.bigrams()``, None where the pair is
            not in the store.
        """
        # A pair names the widths of both layers, and the input and the output have the
        # same widths in all children of a search: what is found always fits.
        found: list[Weights | None] = []
        for bigram in architecture.bigrams():
            entry = self._entries.get(bigram)
            if entry is None:
                found.append(None)
            else:
                coef, intercept = entry.weights
                found.append((coef.copy(), intercept.copy()))
        return found
