"""Weights that children begin with: of pairs of layers (paper 4.1), or of a parent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from sknas._search.morphism import morph
from sknas._space import Architecture, Bigram
from sknas._typing import Weights

# Changes copies of units a little, relative to their weights, so that they do not learn
# the same as their originals. Nothing measured depends on how much it is.
_NOISE = 0.01


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


class ParentStore:
    """Weights of trials that may become parents (network morphism, paper 2.3).

    They are those of the trial's networks, one for each fold. Nobody changes them.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Architecture, list[list[Weights]]]] = {}

    def add(
        self, trial: int, architecture: Architecture, weights: list[list[Weights]]
    ) -> None:
        """Keep the weights of a trial's networks.

        Parameters
        ----------
        trial : int
            Its number.
        architecture : Architecture
            What it was built from.
        weights : list of list of (ndarray, ndarray)
            For each network those of each layer.
        """
        self._kept[trial] = architecture, weights

    def keep_only(self, trials: Collection[int]) -> None:
        """Drop all weights but those of some trials."""
        self._kept = {n: kept for n, kept in self._kept.items() if n in trials}

    def retrieve(
        self, trial: int | None, architecture: Architecture, seed: int
    ) -> list[list[Weights | None]]:
        """Return what a child begins with on each fold that its parent was trained on.

        Skip connections count for nothing: the layers correspond as if there were none,
        and projections are drawn anew.

        Parameters
        ----------
        trial : int or None
            Number of the parent.
        architecture : Architecture
            Of the child.
        seed : int
            Decides which units are copied, the same on every fold.

        Returns
        -------
        list of list of (ndarray, ndarray) or None
            Empty where nothing is kept of the parent. None for what is drawn anew.
        """
        if trial is None or trial not in self._kept:
            return []
        parent, of_folds = self._kept[trial]
        n_layers = len(parent.dense_layers) + 1
        drawn: list[Weights | None] = [None] * len(architecture.projections)
        found = []
        for weights in of_folds:
            generator = np.random.default_rng(seed)
            layers = weights[:n_layers]
            of_child = morph(parent, architecture, layers, generator, noise=_NOISE)
            found.append([*of_child, *drawn])
        return found
