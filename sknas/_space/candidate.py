"""What a search chooses among, what a strategy may ask for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sknas._space.architecture import Architecture

Setting: TypeAlias = tuple[str, float | str]


@dataclass(frozen=True)
class Candidate:
    """An architecture with the settings that it is trained with.

    Instances are immutable, hashable and compare by value.

    Parameters
    ----------
    architecture : Architecture
        The network.
    settings : tuple of (str, float or str), default=()
        Parameters of the estimator that this candidate has values of its own for, by
        their names; all others are the estimator's.

    Examples
    --------
    >>> from sknas import Architecture
    >>> from sknas._space import Candidate
    >>> candidate = Candidate(Architecture((8, "relu")), (("alpha", 0.1),))
    >>> dict(candidate.settings)
    {'alpha': 0.1}
    """

    architecture: Architecture
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A candidate and the fidelity at which to evaluate it.

    Parameters
    ----------
    candidate : Candidate
        What to evaluate.
    epochs : int or None, default=None
        Epochs of training; None for those of the search.
    folds : tuple of int, default=(0,)
        Folds to train on and to measure on.
    parent : int or None, default=None
        The trial to inherit weights from.
    """

    candidate: Candidate
    epochs: int | None = None
    folds: tuple[int, ...] = (0,)
    parent: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What a trial amounted to.

    Parameters
    ----------
    trial : int
        Its number.
    proposal : Proposal
        What was evaluated.
    reward : float
        More is better; finite also where the trial failed.
    objectives : mapping of str to float
        Other measures, such as ``'n_parameters'``.
    curve : tuple of float
        Validation score of each epoch.
    cost : float
        Optimiser steps times the price of one by the model of costs: the same on
        every machine.
    failed : bool
        Whether it failed.
    """

    trial: int
    proposal: Proposal
    reward: float
    objectives: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    cost: float = 0.0
    failed: bool = False
