"""The trials that no other one beats in everything, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from sknas._search.history import SearchHistory, columns_of
from sknas._space.pareto import is_beaten, knee, spread, values_of

#: How the choice is made among the points of a front.
Select: TypeAlias = str | Callable[[dict[str, np.ndarray]], Any]


@dataclass(frozen=True)
class FullTraining:
    """What a candidate came to as a finalist, by the best of its trainings.

    Of those in the encoding of the search, so that all compare. ``index`` is its row of
    the search's record.
    """

    index: int
    score: float
    max_iter: int
    merit: float


class Front:
    """The trials of a search that no other one beats in everything.

    Trials are compared by their scores in the search, but those that were finalists by
    the scores that they had as such, and with one another alone.

    Parameters
    ----------
    history : SearchHistory
        Of the search.
    candidates : sequence of int
        Rows of the record that compare: of one fidelity, one for each candidate, the
        best first.
    objectives : sequence of str
        What is sought, the score first.
    """

    def __init__(
        self,
        history: SearchHistory,
        candidates: Sequence[int],
        objectives: Sequence[str],
    ) -> None:
        self._history, self._objectives = history, objectives
        values = self._values(candidates)
        self._rows = [candidates[place] for place in _not_dominated(values)]

    def _values(
        self, rows: Sequence[int], scores: Mapping[int, float] | None = None
    ) -> np.ndarray:
        """Return what is compared, with other scores where some are given."""
        objectives = []
        for row in rows:
            of_trial = self._history.trials[row].objectives
            score = of_trial["score"] if scores is None else scores[row]
            objectives.append({**of_trial, "score": score})
        return values_of(objectives, self._objectives)

    def most_different(self, n: int, *, knee_first: bool) -> list[int]:
        """Return ``n`` rows of the record, or all, for finalists."""
        places = spread(self._values(self._rows), n, knee_first=knee_first)
        return [self._rows[place] for place in places]

    def rows(self, finalists: Iterable[FullTraining]) -> list[int]:
        """Return the rows of the record, the most costly one first."""
        scores = {finalist.index: finalist.score for finalist in finalists}
        rows = [row for row in self._rows if row not in scores]
        rows += self._of_finalists(scores)
        # The most costly one has the highest score of its kind.
        order = np.argsort(self._values(rows)[:, 1:].sum(axis=1), kind="stable")
        return [rows[place] for place in order]

    def _of_finalists(self, scores: Mapping[int, float]) -> list[int]:
        rows = list(scores)
        return [rows[place] for place in _not_dominated(self._values(rows, scores))]

    def knee(self, finalists: Iterable[FullTraining]) -> int | None:
        """Return the row of the record that is at the knee of the finalists' front.

        Without finalists, or without any that could be measured, None.
        """
        scores = {finalist.index: finalist.score for finalist in finalists}
        rows = self._of_finalists(scores)
        return rows[knee(self._values(rows, scores))] if rows else None


def _not_dominated(values: np.ndarray) -> list[int]:
    """Return the positions of a front; of equal points the first."""
    finite = np.isfinite(values).all(axis=1)
    found: dict[tuple[float, ...], int] = {}
    for place in np.flatnonzero(finite & ~is_beaten(values)).tolist():
        found.setdefault(tuple(values[place].tolist()), place)
    return list(found.values())


def front_to_dict(
    history: SearchHistory, rows: Sequence[int], finalists: Iterable[FullTraining]
) -> dict[str, np.ndarray]:
    """Return points as arrays, ready for a DataFrame.

    Parameters
    ----------
    history : SearchHistory
        Of the search.
    rows : sequence of int
        Of its record.
    finalists : iterable of FullTraining
        Those of these and of other rows.
    """
    full = {finalist.index: finalist for finalist in finalists}
    names = ["index", "architecture", "score", "n_parameters"]
    table: list[dict[str, object]] = []
    settings: dict[str, None] = {}
    for row in rows:
        trial = history.trials[row]
        finalist = full.get(row)
        latency = () if trial.latency is None else (*trial.latency, sum(trial.latency))
        timed = dict(
            zip(("latency_1", "latency_1000", "latency"), latency, strict=False)
        )
        names += [name for name in timed if name not in names]
        own = {f"param_{name}": value for name, value in trial.candidate.settings}
        settings |= dict.fromkeys(own)
        table.append(
            {
                "index": row,
                "architecture": trial.architecture,
                "score": trial.score,
                "n_parameters": trial.n_parameters,
                **timed,
                "finalist_score": math.nan if finalist is None else finalist.score,
                "finalist_max_iter": 0 if finalist is None else finalist.max_iter,
                **own,
            }
        )
    names += ["finalist_score", "finalist_max_iter", *settings]
    return columns_of(table, names)


def selected_row(select: Callable[..., Any], front: dict[str, np.ndarray]) -> int:
    """Ask the user's function for a row of the front.

    Raises
    ------
    ValueError
        If it returns something else.
    """
    n_points = len(front["index"])
    row = select({name: column.copy() for name, column in front.items()})
    is_integer = isinstance(row, Integral) and not isinstance(row, bool)
    if not is_integer or not 0 <= int(row) < n_points:
        raise ValueError(
            "select must return the number of a row of the front, an integer in "
            f"[0, {n_points}). Got {row!r} instead."
        )
    return int(row)
