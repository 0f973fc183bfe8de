"""Where the record of a search is kept while it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sknas._space import Architecture, Candidate, Proposal

TRAINED = "trained"
FAILED = "failed"


@dataclass(frozen=True)
class Trial:
    """One proposal that was tried, and everything measured about it.

    What could not be measured is NaN: all of a failed child but its cost, and
    ``predicted_score`` where nothing predicts. ``max_iter`` is the epochs that it was
    to be trained for, and ``n_iter`` those that it was; ``cost`` is what these cost by
    the cost model of a CPU, in seconds, and so the same on every machine. ``curve`` has
    the validation score of each epoch, which are fewer if the training ``is_stopped``.
    ``latency`` is how many seconds predicting one row takes, and a thousand; None where
    it was not measured.
    """

    proposal: Proposal
    round: int
    status: str
    score: float
    loss: float
    predicted_score: float
    reward: float
    n_parameters: int
    max_iter: int
    n_iter: int
    cost: float
    time: float
    curve: tuple[float, ...]
    latency: tuple[float, float] | None = None
    is_stopped: bool = False

    @property
    def candidate(self) -> Candidate:
        """That of the proposal."""
        return self.proposal.candidate

    @property
    def architecture(self) -> Architecture:
        """That of the candidate."""
        return self.candidate.architecture

    @property
    def fidelity(self) -> float:
        """How many rows it was to see over all epochs and folds, relative to one."""
        return self.max_iter * self.proposal.rows * self.proposal.folds

    @property
    def objectives(self) -> dict[str, float]:
        """What may be sought, by name; the latency where it was measured."""
        found = {"score": self.score, "n_parameters": float(self.n_parameters)}
        return (
            found if self.latency is None else {**found, "latency": sum(self.latency)}
        )


@dataclass(frozen=True)
class Round:
    """What is known of a whole round: figures by name."""

    figures: Mapping[str, object]


@dataclass(frozen=True)
class FinalistRecord:
    """One finalist, and what was measured about it."""

    index: int
    candidate: Candidate
    encoding: str
    max_iter: int
    score: float
    loss: float
    n_iter: int
    time: float


Record: TypeAlias = Trial | Round | FinalistRecord


class Journal(Protocol):
    """An append-only sequence of records, in the order of the events."""

    def append(self, record: Record) -> None:
        """Write one more record."""

    def __iter__(self) -> Iterator[Record]:
        """Yield all records written so far, the oldest first."""


class MemoryJournal:
    """A journal that lasts as long as the process."""

    def __init__(self) -> None:
        self._records: list[Record] = []

    def append(self, record: Record) -> None:
        """Write one more record."""
        self._records.append(record)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)
