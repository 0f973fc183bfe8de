"""The rows that measure, apart from those that train."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sknas._warnings import warn

# Architectures differ by a percent or less: the standard error of an accuracy of 0.9
# measured on so many rows is one percent, of the difference of two networks half.
_ENOUGH_VALIDATION_ROWS = 1000
_MAX_SPLITS = 5


@dataclass(frozen=True)
class SplitSettings:
    """How rows are divided; the words are the estimator's parameters."""

    validation_fraction: float
    n_splits: int | str

    @property
    def most(self) -> int:
        """How many splits can validate on different rows."""
        return max(int(1 / self.validation_fraction + 1e-9), 1)

    def n_folds(self, n_rows: int) -> int:
        """Return how many splits a table of so many rows has.

        ``'auto'`` takes as many splits as are needed to validate on 1,000 rows, within
        the limits.
        """
        if not isinstance(self.n_splits, str):
            return self.n_splits
        rows_of_split = max(self.validation_fraction * n_rows, 1)
        enough = math.ceil(_ENOUGH_VALIDATION_ROWS / rows_of_split)
        return min(enough, self.most, _MAX_SPLITS)

    def split(
        self, y: np.ndarray, random_state: int, *, stratum: str | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Split rows by these settings; see `split_rows`."""
        n_folds = self.n_folds(len(y))
        return split_rows(
            y, self.validation_fraction, random_state, n_folds, stratum=stratum
        )


def split_rows(
    y: np.ndarray,
    validation_fraction: float,
    random_state: int,
    n_splits: int = 1,
    *,
    stratum: str | None = "class(es)",
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split rows into training and validation, stratified as far as possible.

    Every stratum has rows on both sides, but one of a single row is only trained on. A
    table of one row is trained and validated on it.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Codes of the strata from 0, such as classes.
    validation_fraction : float
        Share of each stratum that is for validation: at least one row, but not all.
    random_state : int
        Seed.
    n_splits : int, default=1
        How often. The validation rows of different splits are different ones, but for
        strata too rare for that.
    stratum : str or None, default='class(es)'
        What warnings call the strata of one row. None does not warn of them.

    Returns
    -------
    list of (training, validation)
        Positions of rows, one pair per split.
    """
    if len(y) == 1:
        warn(
            "X has one row: architectures are validated on the row they are trained on."
        )
        return [(np.array([0]), np.array([0]))] * n_splits
    # Each stratum is shuffled once, and the splits take stretches of it in turn.
    generator = np.random.default_rng(random_state)
    strata = [generator.permutation(rows) for rows in _strata(y, stratum)]
    # scikit-learn's splitters allot rows in proportion, which may leave a rare class
    # without any on one side.
    splits = []
    for number in range(n_splits):
        training, validation = [], []
        for rows in strata:
            is_validation = _take(len(rows), validation_fraction, number)
            validation.append(rows[is_validation])
            training.append(rows[~is_validation])
        splits.append((np.concatenate(training), np.concatenate(validation)))
    return splits


def _strata(y: np.ndarray, stratum: str | None) -> list[np.ndarray]:
    counts = np.bincount(y)
    if counts.max() == 1:
        if stratum is not None:
            warn(
                "The validation split cannot be stratified: every class has only one "
                "row."
            )
        # No class can be on both sides. One stratum of all rows still has both sides.
        return [np.arange(len(y))]
    if 1 in counts and stratum is not None:
        warn(
            f"The validation split cannot be stratified: {(counts == 1).sum()} "
            f"{stratum} have only one row, which is kept for training."
        )
    return [np.flatnonzero(y == code) for code in np.flatnonzero(counts)]


def _take(n_rows: int, fraction: float, number: int) -> np.ndarray:
    """Mark one split's share of a stratum; shares follow one another round it."""
    begin, end = (
        round(number * fraction * n_rows),
        round((number + 1) * fraction * n_rows),
    )
    # One row at least and never all: a stratum of one row is only trained on.
    n_taken = min(max(end - begin, 1), n_rows - 1)
    taken = np.zeros(n_rows, dtype=bool)
    taken[np.arange(begin, begin + n_taken) % n_rows] = True
    return taken
