"""What a search chooses among, and what a strategy may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

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

    def __post_init__(self) -> None:
        # What users give need not be what the annotations say.
        given: Any = self.settings
        is_pairs = isinstance(given, tuple) and all(
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)
            for pair in given
        )
        names = [name for name, _ in given] if is_pairs else []
        if not is_pairs or len(set(names)) < len(names):
            raise ValueError(
                "The settings of a Candidate must be a tuple of pairs (name, value) "
                f"with different names. Got {self.settings!r} instead."
            )


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

    def __post_init__(self) -> None:
        candidate: Any = self.candidate
        is_number = isinstance(self.epochs, int) and self.epochs >= 1
        if not isinstance(candidate, Candidate) or not (
            self.epochs is None or is_number
        ):
            raise ValueError(
                "A Proposal must have a Candidate and None or a number of epochs >= 1. "
                f"Got {self.candidate!r} and {self.epochs!r} instead."
            )


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
