"""What a search has found so far, read from its journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields

import numpy as np
from scipy.stats import rankdata

from sknas._search.journal import (
    TRAINED,
    FinalistRecord,
    Journal,
    MemoryJournal,
    Record,
    Round,
    Trial,
)

# Columns that are objects, whether or not there is a row.
_OBJECTS = ("architecture",)
# The field of a record that says what was tried: of a trial and of a finalist. It
# becomes several columns.
_PROPOSED = ("proposal", "candidate")
# Of another length for each trial, or seen from `n_iter`: no columns.
_HIDDEN = ("curve", "is_stopped")
# Two columns, of searches that measure it.
_LATENCY = "latency"
_LATENCIES = ("latency_1", "latency_1000")


class SearchHistory:
    """All trials, rounds and finalists, in the order in which they were recorded.

    Parameters
    ----------
    journal : Journal or None, default=None
        Where records are written to. Those that it holds already are taken over. None
        is a journal in memory.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.trials: list[Trial] = []
        self.rounds: list[Mapping[str, object]] = []
        self.finalists: list[FinalistRecord] = []
        self._journal = MemoryJournal() if journal is None else journal
        # What an earlier search has written is where this one goes on.
        for record in self._journal:
            self._take(record)

    def __len__(self) -> int:
        return len(self.trials)

    def record(self, record: Record) -> None:
        """Write a record to the journal, and take it in."""
        self._journal.append(record)
        self._take(record)

    def _take(self, record: Record) -> None:
        if isinstance(record, Trial):
            self.trials.append(record)
        elif isinstance(record, Round):
            self.rounds.append(record.figures)
        else:
            self.finalists.append(record)

    def without_finalists(self) -> SearchHistory:
        """Return the record of the search alone, in a journal of its own."""
        journal = MemoryJournal()
        for record in self._journal:
            if not isinstance(record, FinalistRecord):
                journal.append(record)
        return SearchHistory(journal)

    def trained(self) -> list[int]:
        """Return the indices of the trials that did not fail."""
        return [i for i, trial in enumerate(self.trials) if trial.status == TRAINED]

    def best_first(self) -> list[int]:
        """Return the trained trials, the best first.

        Rewards of longer and of shorter trainings do not compare: trials that were to
        see more rows come first, counted over epochs and folds, then those of more
        reward, then the smaller ones.
        """

        def rank(index: int) -> tuple[float, ...]:
            trial = self.trials[index]
            return -trial.fidelity, -trial.reward, trial.n_parameters, index

        return sorted(self.trained(), key=rank)

    def best_score(self) -> float:
        """Return the best score so far, NaN before there is one."""
        scores = (self.trials[i].score for i in self.trained())
        return max(scores, default=math.nan)

    def trials_to_dict(self) -> dict[str, np.ndarray]:
        """Return the trials as arrays, with a ``rank_score`` from 1 for the best.

        Failed trials share the last rank.
        """
        columns = columns_of(map(_as_row, self.trials), _names(Trial, self.trials))
        scores = np.nan_to_num(columns["score"].astype(np.float64), nan=-np.inf)
        columns["rank_score"] = rankdata(-scores, method="min").astype(int)
        return columns

    def rounds_to_dict(self) -> dict[str, np.ndarray]:
        """Return the rows of the rounds as arrays."""
        names = dict.fromkeys(name for row in self.rounds for name in row)
        return columns_of(self.rounds, list(names))

    def finalists_to_dict(self, chosen: int | None) -> dict[str, np.ndarray]:
        """Return the finalists as arrays, with ``chosen``, True for the chosen one."""
        rows = [
            {**_as_row(finalist), "chosen": position == chosen}
            for position, finalist in enumerate(self.finalists)
        ]
        names = _names(FinalistRecord, self.finalists)
        columns = columns_of(rows, [*names, "chosen"])
        # Without finalists too, a mask is a mask.
        columns["chosen"] = columns["chosen"].astype(bool)
        return columns


def _names(
    record_class: type[Trial | FinalistRecord],
    records: Iterable[Trial | FinalistRecord],
) -> list[str]:
    """Return the columns of some records, whether or not there are any.

    Settings of the candidates' own come last, as ``param_alpha``; without any there is
    no such column.
    """
    names = [
        "architecture" if field.name in _PROPOSED else field.name
        for field in fields(record_class)
        if field.name not in (*_HIDDEN, _LATENCY)
    ]
    records = list(records)
    if any(getattr(record, _LATENCY, None) is not None for record in records):
        names += _LATENCIES
    settings = (name for record in records for name, _ in record.candidate.settings)
    return [*names, *dict.fromkeys(f"param_{name}" for name in settings)]


def _as_row(record: Trial | FinalistRecord) -> dict[str, object]:
    """Return the values of a record by the names of its columns."""
    candidate = record.candidate
    row: dict[str, object] = {"architecture": candidate.architecture}
    row |= {
        field.name: getattr(record, field.name)
        for field in fields(record)
        if field.name not in (*_PROPOSED, *_HIDDEN, _LATENCY)
    }
    latency = getattr(record, _LATENCY, None)
    if latency is not None:
        row |= dict(zip(_LATENCIES, latency, strict=True))
    return row | {f"param_{name}": value for name, value in candidate.settings}


def columns_of(
    rows: Iterable[Mapping[str, object]], names: Iterable[str]
) -> dict[str, np.ndarray]:
    """Turn rows into arrays of equal length, one for each name.

    Parameters
    ----------
    rows : iterable of mapping
        What a row lacks is NaN.
    names : iterable of str
        The columns. Without rows they are empty, but there.
    """
    rows = list(rows)
    columns = {}
    for name in names:
        values = [row.get(name, math.nan) for row in rows]
        is_text = {isinstance(value, str) for value in values}
        if name in _OBJECTS or len(is_text) == 2:
            # np.asarray would try to look inside an architecture, and write NaN beside
            # text as text.
            column = np.empty(len(values), dtype=object)
            column[:] = values
        else:
            column = _as_array(values)
        columns[name] = column
    return columns


def _as_array(values: list[object]) -> np.ndarray:
    """Turn values into an array; those of unequal shapes stay objects."""
    try:
        return np.asarray(values)
    except ValueError:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
