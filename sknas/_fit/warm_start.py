"""What a fit leaves for the next one to continue its search from."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from scipy.sparse import issparse

from sknas._fit.settings import FitSettings
from sknas._random import SeedSource
from sknas._search.state import SearchState
from sknas._space import SearchSpace
from sknas._table.reading.tables import Column, column_of
from sknas._tasks.task import Task
from sknas._warnings import describe, warn

SAME_ROWS, NEW_ROWS, NEW_SETTINGS = "same rows", "new rows", "new settings"


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
    rows, measure : str
        Tell apart what trials were measured on, rows and targets, and how: trainings,
        splits, scorer. Scores compare where both are the same.
    """

    seeds: SeedSource
    state: SearchState
    space: str
    rows: str
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


def space_of(settings: FitSettings, space: SearchSpace) -> str:
    """Return the ``space`` of the record of a fit that searches this one."""
    strategy: Any = settings.strategy
    parameters = strategy.get_params() if hasattr(strategy, "get_params") else {}
    return _named(
        (space, settings.objectives, type(strategy), sorted(parameters.items()))
    )


def rows_of(X: Any, task: Task) -> str:
    """Return the ``rows`` of the record of a fit."""
    # Fields of a task, which is a dataclass.
    target = {name: _contiguous(value) for name, value in vars(task).items()}
    return str(joblib.hash((_content_of(X), target)))


def measure_of(settings: FitSettings) -> str:
    """Return the ``measure`` of the record of a fit."""
    measured = (
        settings.search_training,
        settings.splits,
        settings.search.weight_sharing,
        settings.search.extrapolates,
        settings.incumbent,
        settings.make_encoder(0),
        _named(settings.scorer),
    )
    return str(joblib.hash(measured))


def _named(value: Any) -> str:
    """Return a text that is equal for copies of an object, and for no other objects.

    What cannot be pickled, such as a lambda, is equal to itself alone.
    """
    try:
        return str(joblib.hash(value))
    except Exception:  # noqa: BLE001 (an object may raise any)
        return repr(value)


def _content_of(X: Any) -> Any:
    """Return what is equal for equal tables, however they lie in memory."""
    if issparse(X):
        X = X.tocsr(copy=True)
        X.sum_duplicates()
        positions = [part.astype(np.int64) for part in (X.indices, X.indptr)]
        return X.shape, X.data, positions
    if isinstance(X, np.ndarray) and X.dtype != object:
        return _contiguous(X)
    columns = [column_of(X, position) for position in range(X.shape[1])]
    return [(str(c.name), repr(c.dtype), _values_of(c)) for c in columns]


def _values_of(column: Column) -> Any:
    if column.kind in "biuf":
        return _contiguous(column.floats())
    if column.kind in "mM":
        times = column.times()
        if times.dtype.kind in "mM":
            return _contiguous(times).view(np.int64)
    # Not the objects, of which joblib would see which are one and the same.
    return [(type(value).__name__, repr(value)) for value in column.objects()]


def _contiguous(value: Any) -> Any:
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value


def continued_state(
    earlier: FitRecord, space: str, rows: str, measure: str
) -> tuple[SearchState | None, str | None]:
    """Return what a search begins with, and what it continues on."""
    if earlier.space != space:
        warn(
            "warm_start=True begins a new search, since the search space or the "
            "strategy is not that of the last fit."
        )
        return None, None
    if (earlier.rows, earlier.measure) == (rows, measure):
        return earlier.state, SAME_ROWS
    is_same = earlier.rows == rows
    return earlier.state.for_other_rows(), NEW_SETTINGS if is_same else NEW_ROWS
