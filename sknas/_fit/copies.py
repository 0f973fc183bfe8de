"""Rows that are copies of other rows: one row that has the weight of all.

Oversampling and bootstrapping repeat rows, and so may whoever means weights. Copies on
both sides of a split would make networks look as good as their memory, and the
validation rows would call for no calibration. Where equal rows come from the table's
own nature, however, rows to predict will have equals among the rows of `fit` as well,
and a split must be of that kind: such a table is left as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
from scipy.sparse import issparse

from sknas._table.reading.tables import Column, column_of
from sknas._tasks.task import Task

# Share of the rows that must be copies, those of the most frequent row apart. Weights
# of 1 and 2 make a third of the rows copies, a bootstrap 37 %. Of tables as they were
# collected, one of fourteen has up to 19 %, the others have less than 10 %.
_LEAST_SHARE = 0.2
# How many times more copies there must be than chance explains. Tables of many
# different values, of which rows were repeated, have 40 times as many and up to
# infinity; tables of few different values have at most 15 times as many.
_CERTAINTY = 25
# Different rows that there must be, to tell chance from copying: the table of a logical
# function, repeated, is all that there is to learn from.
_LEAST_ROWS = 50
# Blocks of columns that are left out in turn, and two, four and eight of them together.
_N_BLOCKS = 16


def merge_copies(
    X: Any,
    task: Task,
    sample_weight: np.ndarray | None,
    *,
    keeps_classes: bool = False,
) -> tuple[np.ndarray, Task] | None:
    """Merge rows that are equal in every column and in the target.

    Parameters
    ----------
    X : DataFrame, ndarray or CSR matrix of shape (n_rows, n_columns)
        The validated table.
    task : Task
        The target. Its weights may be those of classes too.
    sample_weight : ndarray of shape (n_rows,) or None
        The weights that the user gave, all above 0. Where they are multiples of the
        least one, a row counts as so many copies of itself.
    keeps_classes : bool, default=False
        Whether the task keeps classes that no row has.

    Returns
    -------
    (rows, task) or None
        Positions of the first row of each kind, in the order of the table, and the task
        of these rows, which has their numbers or the sums of their weights for weights,
        relative to the largest. None if no rows are equal, or if copies are few, or
        are what chance makes of columns of few different values.
    """
    times = _repetitions(sample_weight, task.n_rows)
    groups = _groups(X, task, times)
    if groups is None or not _are_artificial(X, task, groups, times):
        return None
    firsts, weights = np.unique(groups, return_index=True)[1], task.sample_weight
    totals = np.bincount(groups, weights).astype(np.float64)
    order = firsts.argsort()
    rows = firsts[order]
    of_rows: np.ndarray | None = totals[order] / totals.max()
    # Where every row is there as often, all count alike.
    if weights is None and (totals == totals[0]).all():
        of_rows = None
    of_all = None
    if of_rows is not None:
        of_all = np.zeros(len(groups))
        of_all[rows] = of_rows
    # Every task is a dataclass.
    merged: Task = replace(cast("Any", task), sample_weight=of_all)
    return rows, merged.subset(rows) if keeps_classes else merged.restrict(rows)


def _repetitions(sample_weight: np.ndarray | None, n_rows: int) -> np.ndarray:
    """Return how often each row counts: weights of 1 and 2 are one row and two."""
    once = np.ones(n_rows)
    if sample_weight is None:
        return once
    times: np.ndarray = sample_weight / sample_weight.min()
    return times.round() if np.allclose(times, times.round(), atol=0) else once


def _groups(X: Any, task: Task, times: np.ndarray) -> np.ndarray | None:
    """Return a number for each kind of equal rows; None if too few can be equal."""
    groups = np.zeros(task.n_rows, dtype=np.int64)
    # Rows that may still be equal to another one. All others have been told apart.
    rows = np.arange(task.n_rows)
    n_told_apart = 0
    for keys in _columns_of_keys(X, task):
        codes = np.unique(keys[rows], return_inverse=True)[1].ravel()
        pairs = groups[rows] * (codes.max() + 1) + codes
        _, kinds, counts = np.unique(pairs, return_inverse=True, return_counts=True)
        kinds = kinds.ravel()
        # Rows told apart keep numbers below 0, which no other group has.
        is_alone = counts[kinds] == 1
        alone = rows[is_alone]
        groups[rows] = kinds
        groups[alone] = -1 - n_told_apart - np.arange(len(alone))
        n_told_apart += len(alone)
        rows = rows[~is_alone]
        n_kinds = n_told_apart + int((counts > 1).sum())
        if not len(rows) or times.sum() - n_kinds < _LEAST_SHARE * times.sum():
            return None
    return np.unique(groups, return_inverse=True)[1].ravel()


def _columns_of_keys(X: Any, task: Task) -> Iterator[np.ndarray]:
    """Yield the target's columns, then X's, as integers equal where values are."""
    y = task.y.reshape(task.n_rows, -1)
    yield from (_keys_of_numbers(column) for column in y.T)
    if issparse(X):
        yield _keys_of_sparse_rows(X)
    else:
        # Numbers first, which are quick to compare, and tell most rows apart.
        columns = [column_of(X, position) for position in range(X.shape[1])]
        columns.sort(key=lambda column: column.kind not in "biufmM")
        yield from (keys_of(column) for column in columns)


def keys_of(column: Column) -> np.ndarray:
    """Return an integer for each value of a column, equal for equal values."""
    if column.kind in "biuf":
        return _keys_of_numbers(column.floats())
    if column.kind in "mM":
        times = column.times()
        if times.dtype.kind in "mM":
            return times.view(np.int64)
    return _keys_of_objects(column.objects())


def _keys_of_numbers(numbers: np.ndarray) -> np.ndarray:
    """Return the bits of numbers; one zero, and one NaN."""
    canonical = np.asarray(numbers, dtype=np.float64) + 0.0
    canonical[np.isnan(canonical)] = np.nan
    return canonical.view(np.int64)


def _keys_of_objects(values: np.ndarray) -> np.ndarray:
    """Return integers for objects; 1, 1.0 and True are different ones."""
    codes: dict[object, int] = {}
    keys = np.empty(len(values), dtype=np.int64)
    for position, value in enumerate(values):
        is_nan = isinstance(value, float) and value != value  # noqa: PLR0124
        try:
            kind = (type(value), None if is_nan else value)
            keys[position] = codes.setdefault(kind, len(codes))
        except TypeError:
            # What cannot be looked up is unlike all else.
            keys[position] = codes.setdefault((object, position), len(codes))
    return keys


def _keys_of_sparse_rows(X: Any) -> np.ndarray:
    """Return an integer for each row of a CSR matrix."""
    X = _canonical(X)
    bits = _keys_of_numbers(X.data)
    codes: dict[tuple[bytes, bytes], int] = {}
    ends = X.indptr.tolist()
    keys = (
        codes.setdefault(
            (X.indices[begin:end].tobytes(), bits[begin:end].tobytes()), len(codes)
        )
        for begin, end in itertools.pairwise(ends)
    )
    return np.fromiter(keys, dtype=np.int64, count=X.shape[0])


def _canonical(X: Any) -> Any:
    """Return a CSR matrix of which equal rows have equal entries."""
    X = X.tocsr(copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    return X


def _are_artificial(X: Any, task: Task, groups: np.ndarray, times: np.ndarray) -> bool:
    """Tell copies that were made from equal rows that chance made.

    A block of columns is left out, and the rows that are then equal are counted in
    pairs. If they had no more to do with each other than any two rows, a share of them
    would be equal in the block too: the share of all pairs that are.
    """
    of_groups = np.bincount(groups, times)
    n_copies = times.sum() - len(of_groups) - (of_groups.max() - 1)
    if len(of_groups) < _LEAST_ROWS or n_copies < _LEAST_SHARE * times.sum():
        return False
    hashes = _hashes_of_blocks(X, task)
    n_pairs = times.sum() * (times.sum() - 1) / 2
    n_equal = _count_pairs(groups, times)
    whole = hashes.sum(axis=1)
    for columns in _unions(hashes.shape[1] - 1):
        block = hashes[:, columns].sum(axis=1)
        n_like = _count_pairs(whole - block, times) - n_equal
        if n_like == 0:
            continue
        share = (_count_pairs(block, times) - n_equal) / (n_pairs - n_equal)
        # Of pairs that are equal but for the block, `share` to `1 - share` are copies.
        if n_equal * (1 - share) < _CERTAINTY * n_like * share:
            return False
    return True


def _count_pairs(values: np.ndarray, times: np.ndarray) -> float:
    """Count the pairs of rows that have the same value."""
    counts: np.ndarray
    if (times == 1).all():
        # Several times faster than to find out where in the table the values are.
        counts = np.unique(values, return_counts=True)[1]
    else:
        counts = np.bincount(np.unique(values, return_inverse=True)[1].ravel(), times)
    sizes = counts.astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / 2)


def _unions(n_blocks: int) -> Iterator[slice]:
    """Yield the target, which comes last, and stretches of blocks, long ones first."""
    yield slice(n_blocks, n_blocks + 1)
    size = _N_BLOCKS // 2
    while size:
        yield from (
            slice(begin, min(begin + size, n_blocks))
            for begin in range(0, n_blocks, size)
            if size < n_blocks
        )
        size //= 2


def _hashes_of_blocks(X: Any, task: Task) -> np.ndarray:
    """Return a sum of hashes for each block of neighbouring columns, and the target.

    Equal rows have equal sums, and others have others but for one chance in 2**64: this
    counts, and does not decide which rows are equal.
    """
    n_rows, n_columns = X.shape
    n_blocks = min(n_columns, _N_BLOCKS)
    hashes = np.zeros((n_rows, n_blocks + 1), dtype=np.uint64)
    for position, column in enumerate(task.y.reshape(n_rows, -1).T):
        hashes[:, n_blocks] += _hashed(_keys_of_numbers(column), position)
    if issparse(X):
        X = _canonical(X)
        rows = np.repeat(np.arange(n_rows), np.diff(X.indptr))
        blocks = X.indices.astype(np.int64) * n_blocks // n_columns
        entries = _hashed(_keys_of_numbers(X.data), X.indices)
        np.add.at(hashes, (rows, blocks), entries)
        return hashes
    for position in range(n_columns):
        block = position * n_blocks // n_columns
        hashes[:, block] += _hashed(keys_of(column_of(X, position)), position)
    return hashes


def _hashed(keys: np.ndarray, positions: np.ndarray | int) -> np.ndarray:
    """Mix bits of keys with those of columns (the finaliser of SplitMix64)."""
    columns = np.asarray(positions, dtype=np.uint64) + np.uint64(1)
    bits = keys.view(np.uint64) + np.multiply(
        np.atleast_1d(columns), np.uint64(0x9E3779B97F4A7C15)
    )
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return hashed
