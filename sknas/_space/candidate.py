"""What a search chooses among, and what a strategy may ask for."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    candidate: Candidate
    epochs: int | None = None
