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
        Values of its own for parameters of the estimator, by their names:
        ``learning_rate_init``, ``alpha``, ``label_smoothing``, ``dropout``,
        ``batch_size``, ``solver`` and ``learning_rate``. All others are the
        estimator's.

    Examples
    --------
    >>> from sknas import Architecture, Candidate
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
        Epochs of training in the search; None for `search_epochs`. Finalists and the
        refit are trained for epochs of their own.

    Examples
    --------
    >>> from sknas import Architecture, Candidate, Proposal
    >>> Proposal(Candidate(Architecture((8, "relu"))), epochs=3).epochs
    3
    """

    candidate: Candidate
    epochs: int | None = None


#: What a strategy may propose.
Proposed: TypeAlias = Architecture | Candidate | Proposal


def as_proposal(given: object) -> Proposal:
    """Bring what a strategy may propose into one form.

    Raises
    ------
    TypeError
        If it is neither an architecture nor a candidate nor a proposal.
    """
    if isinstance(given, Proposal):
        return given
    if isinstance(given, Candidate):
        return Proposal(given)
    if isinstance(given, Architecture):
        return Proposal(Candidate(given))
    raise TypeError(
        "A strategy must propose architectures (or candidates or proposals). "
        f"Got {given!r} instead."
    )
