"""Several objectives at once: which points no other one beats, and the best of these.

Values are arrays of shape (n_points, n_objectives), of which more is better. Points
with a value that is not finite have failed: no other point is worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

#: What may be sought, in this order; all but the score are costs.
OBJECTIVES = ("score", "n_parameters", "latency")
# What a clock may show for a short time, in place of which there is no logarithm.
_LEAST_COST = 1e-9


def values_of(
    objectives: Sequence[Mapping[str, float]], names: Sequence[str]
) -> np.ndarray:
    """Return what is to be maximised: scores, and negative logarithms of costs.

    Parameters
    ----------
    objectives : sequence of mapping of str to float
        Of each point, by name.
    names : sequence of str
        Those that count, of `OBJECTIVES`.

    Returns
    -------
    ndarray of shape (n_points, n_names)
        NaN where a point has no such value.
    """
    values = np.array(
        [[float(each.get(name, np.nan)) for name in names] for each in objectives]
    ).reshape(len(objectives), len(names))
    for column, name in enumerate(names):
        if name != "score":
            values[:, column] = -np.log(np.maximum(values[:, column], _LEAST_COST))
    return values


def better_than(values: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Tell which points beat one.

    Parameters
    ----------
    values : ndarray of shape (n_points, n_objectives)
        More is better.
    point : ndarray of shape (n_objectives,)
        What they are compared with.

    Returns
    -------
    ndarray of bool of shape (n_points,)
        Whether a point is as good in everything, and better in something. One that has
        failed is beaten by all that have not.
    """
    has_failed = ~np.isfinite(values).all(axis=1)
    if not np.isfinite(point).all():
        return np.asarray(~has_failed)
    as_good, better = (values >= point).all(axis=1), (values > point).any(axis=1)
    return np.asarray(as_good & better & ~has_failed)


def is_beaten(values: np.ndarray) -> np.ndarray:
    """Tell which points any other one beats, of shape (n_points,)."""
    beaten = [better_than(values, point).any() for point in values]
    return np.array(beaten, dtype=bool)


def ranks(values: np.ndarray) -> np.ndarray:
    """Sort points into fronts: non-dominated sorting.

    Parameters
    ----------
    values : ndarray of shape (n_points, n_objectives)
        More is better.

    Returns
    -------
    ndarray of int of shape (n_points,)
        0 for those that no other point beats, 1 for those that only these beat, and
        so on.
    """
    found = np.full(len(values), -1)
    left, rank = np.arange(len(values)), 0
    while len(left):
        beaten = is_beaten(values[left])
        found[left[~beaten]] = rank
        left, rank = left[beaten], rank + 1
    return found


def crowding(values: np.ndarray) -> np.ndarray:
    """Return how far apart the neighbours of each point of one front are.

    Parameters
    ----------
    values : ndarray of shape (n_points, n_objectives)
        Of the points of one front.

    Returns
    -------
    ndarray of shape (n_points,)
        For each objective the distance of the two neighbours as a share of the range,
        summed over the objectives; infinite for the points at the ends.
    """
    found = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        extent = column[order[-1]] - column[order[0]]
        # Where all are the same there are no ends.
        if not extent > 0:
            continue
        found[order[[0, -1]]] = np.inf
        found[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return found


def best_first(values: np.ndarray) -> np.ndarray:
    """Order points by fronts, and within a front those first that stand alone.

    Parameters
    ----------
    values : ndarray of shape (n_points, n_objectives)
        More is better.

    Returns
    -------
    ndarray of int of shape (n_points,)
        Positions; of equals the first comes first.
    """
    rank = ranks(values)
    distance = np.empty(len(values))
    for front in range(rank.max(initial=-1) + 1):
        distance[rank == front] = crowding(values[rank == front])
    return np.lexsort((-distance, rank))


def normalised(values: np.ndarray) -> np.ndarray:
    """Scale each objective to [0, 1] over the points; a constant one becomes 1."""
    low, high = values.min(axis=0), values.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    return np.asarray(1.0 - (high - values) / extent)


def knee(values: np.ndarray) -> int:
    """Return the point of a front that is farthest from the line between its ends.

    Parameters
    ----------
    values : ndarray of shape (n_points, n_objectives)
        Of the points of one front, at least one, all finite.

    Returns
    -------
    int
        Its position; of equals that of the highest first objective. With objectives
        that are scaled to [0, 1], the line (of more than two, the plane) joins the
        points that are best in one and worst in the others, and the distance from it
        grows with the sum.
    """
    distances = normalised(values).sum(axis=1)
    farthest = np.flatnonzero(distances >= distances.max() - 1e-12)
    return int(farthest[values[farthest, 0].argmax()])


def spread(values: np.ndarray, n: int, *, knee_first: bool = False) -> list[int]:
    """Choose points that stand for a front: the best first objective, the knee, others.

    Parameters
    ----------
    values : ndarray of shape (n_points, n_objectives)
        Of the points of one front, all finite.
    n : int
        How many.
    knee_first : bool, default=False
        Whether the knee comes before the best first objective.

    Returns
    -------
    list of int
        Positions. After the first two, always that which is farthest from those that
        were chosen.
    """
    if not len(values):
        return []
    scaled = normalised(values)
    first = [int(values[:, 0].argmax()), knee(values)]
    chosen = list(dict.fromkeys(reversed(first) if knee_first else first))
    while len(chosen) < min(n, len(values)):
        gaps = np.abs(scaled[:, None] - scaled[chosen]).sum(axis=2).min(axis=1)
        gaps[chosen] = -1.0
        chosen.append(int(gaps.argmax()))
    return chosen[:n]


def beyond(values: np.ndarray, points: np.ndarray, n: int) -> list[int]:
    """Choose points that go beyond what is known, one after the other.

    Parameters
    ----------
    values : ndarray of shape (n_known, n_objectives)
        What is known, at least one point, all finite.
    points : ndarray of shape (n_points, n_objectives)
        What may be chosen, all finite.
    n : int
        How many.

    Returns
    -------
    list of int
        Positions. A point is beyond another by the objective in which it gains most,
        and beyond a front by the least of these gains: the maximin improvement, with
        objectives in units of their range in ``values``. Each one chosen is known when
        the next one is.
    """
    extent = np.ptp(values, axis=0)
    unit = np.where(extent > 0, extent, 1.0)
    gains = np.full(len(points), np.inf)
    chosen: list[int] = []
    known = values[~is_beaten(values)]
    while len(chosen) < min(n, len(points)):
        for each in known:
            gains = np.minimum(gains, ((points - each) / unit).max(axis=1))
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        known = points[chosen[-1:]]
    return chosen
