"""What a fit leaves for the next one to continue its search from."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import joblib

from sknas._fit.settings import FitSettings
from sknas._random import SeedSource
from sknas._search.state import SearchState
from sknas._tasks.task import Task
from sknas._warnings import describe, warn

SAME_ROWS, NEW_ROWS = "same rows", "new rows"


@dataclass(frozen=True)
class FitRecord:
    """A search, and what decides how much of it serves another fit.

    Parameters
    ----------
    seeds : SeedSource
        Of the first fit; the next ones go on with them.
    state : SearchState
        Where the search ended.
    space : str
        Tells search spaces and strategies apart: what one strategy has learned about
        one space is of no use with others.
    measure : str
        Tells apart what trials were measured with: rows, targets, and how networks are
        trained. Scores of different measures do not compare.
    """

    seeds: SeedSource
    state: SearchState
    space: str
    measure: str

    def to_bytes(self) -> bytes | None:
        """Return this as bytes, which need no torch before they are read again.

        None if the user's strategy cannot be pickled.
        """
        try:
            return pickle.dumps(self)
        except Exception as error:  # noqa: BLE001 (the user's strategy may raise any)
            warn(
                f"warm_start=True cannot continue this search, since {describe(error)} "
                "came of pickling its strategy."
            )
            return None

    @staticmethod
    def from_bytes(record: bytes) -> FitRecord:
        """Return what `to_bytes` was called on, as a copy."""
        loaded: FitRecord = pickle.loads(record)
        return loaded


def space_of(settings: FitSettings) -> str:
    """Return the ``space`` of the record of a fit."""
    strategy: Any = settings.strategy
    parameters = strategy.get_params() if hasattr(strategy, "get_params") else {}
    return repr((settings.space, type(strategy), sorted(parameters.items())))


def measure_of(X: Any, task: Task, settings: FitSettings) -> str:
    """Return the ``measure`` of the record of a fit."""
    measured = (
        X,
        task,
        settings.search_training,
        settings.splits,
        settings.search.weight_sharing,
        settings.incumbent,
        settings.make_encoder(0),
        # A function's name and place: it need not be one that can be pickled.
        repr(settings.scorer),
    )
    return str(joblib.hash(measured))


def continued_state(
    earlier: FitRecord, space: str, measure: str
) -> tuple[SearchState | None, str | None]:
    """Return what a search begins with, and what it continues on."""
    if earlier.space != space:
        warn(
            "warm_start=True begins a new search, since the search space or the "
            "strategy is not that of the last fit."
        )
        return None, None
    if earlier.measure == measure:
        return earlier.state, SAME_ROWS
    return earlier.state.for_other_rows(), NEW_ROWS
