"""Columns of many categories, encoded by the means of the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# Parts of the rows, of which each is encoded by the targets of the others.
N_PARTS = 5


@dataclass(frozen=True)
class _Tally:
    """What is counted of the target among the rows of each category.

    Attributes
    ----------
    counts : ndarray of shape (n_codes,)
        Rows, or the sums of their weights.
    totals, squares : ndarray of shape (n_codes, n_targets)
        Sums of the target, and of its square. A class is a target of 0 and 1, for
        which the two are the same.
    """

    counts: np.ndarray
    totals: np.ndarray
    squares: np.ndarray

    def without(self, other: _Tally) -> _Tally:
        """Take the rows of another tally, of whole numbers, out of this one."""
        # Of classes, totals and squares are one array, and stay one.
        totals = self.totals - other.totals
        is_same = self.squares is self.totals
        squares = totals if is_same else self.squares - other.squares
        return _Tally(self.counts - other.counts, totals, squares)

    def smooth_means(self, codes: np.ndarray) -> np.ndarray:
        """Return means of the target by category, drawn towards that of all rows.

        A mean of few rows, or of rows that differ much, counts little. This is what
        scikit-learn's ``TargetEncoder(smooth="auto")`` computes (equations 5 and 6 of
        D. Micci-Barreca, "A preprocessing scheme for high-cardinality categorical
        attributes in classification and prediction problems", 2001).

        Parameters
        ----------
        codes : ndarray of shape (n,)
            Categories.

        Returns
        -------
        ndarray of shape (n, n_targets)
            The mean of all rows where a category has none.
        """
        # Mean and variance of the target over all rows, of shape (n_targets,).
        n_rows = self.counts.sum() or 1.0
        prior = self.totals.sum(axis=0) / n_rows
        # Rounding makes the variance of equal numbers negative at times.
        variance = np.maximum(self.squares.sum(axis=0) / n_rows - prior**2, 0)
        # Only what was asked for is computed: of (n_codes, n_targets), (n, n_targets).
        counts = self.counts[codes, None]
        totals = self.totals[codes]
        squares = totals if self.squares is self.totals else self.squares[codes]
        # Categories without rows give NaN.
        with np.errstate(divide="ignore", invalid="ignore"):
            means = totals / counts
            # The variance within a category, and the weight that it leaves its mean.
            within = np.maximum((squares - totals * means) / counts, 0)
            weights = variance * counts / (variance * counts + within)
            smoothed: np.ndarray = weights * means + (1 - weights) * prior
        np.copyto(smoothed, prior, where=np.isnan(smoothed))
        return smoothed


class TargetMeans:
    """Encode categories by the smoothed means of the target among their rows.

    The mean of a class is its share of the rows.

    Parameters
    ----------
    sizes : sequence of int
        Codes of each column, that of unseen texts included.
    y : ndarray of shape (n_rows,), int, or of shape (n_rows, n_targets), float
        Codes of all classes, or numbers. Only its form is kept: two classes give one
        encoded column, more give one each, and so do columns of numbers.
    random_state : int
        Divides the rows in `cross_fit`.

    Attributes
    ----------
    n_targets : int
        Means of each column of categories.
    """

    def __init__(self, sizes: Sequence[int], y: np.ndarray, random_state: int) -> None:
        self.sizes = tuple(sizes)
        self.random_state = random_state
        self._n_classes = int(y.max()) + 1 if y.ndim == 1 else None
        # Shares of classes and of labels are centred where they are even.
        is_share = y.ndim == 1 or bool(((y == 0) | (y == 1)).all())
        self._center = 0.5 if is_share else 0.0
        if self._n_classes is None:
            self.n_targets = int(y.shape[1])
        else:
            self.n_targets = 1 if self._n_classes == 2 else self._n_classes

    @property
    def n_features_out(self) -> int:
        """Number of encoded columns."""
        return len(self.sizes) * self.n_targets

    def feature_names(self, names: Sequence[str]) -> list[str]:
        """Name the encoded columns after those of the table and the targets."""
        # The share of the second of two classes says that of the first.
        first = 1 if self._n_classes == 2 else 0
        targets = range(first, first + self.n_targets)
        return [f"{name}_target_{target}" for target in targets for name in names]

    def fit(
        self, codes: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> TargetMeans:
        """Learn the means from all rows given.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            Categories.
        y : ndarray of shape (n_rows,), int, or of shape (n_rows, n_targets), float
            Class codes or numbers.
        sample_weight : ndarray of shape (n_rows,), optional
            A row of weight 2 counts as two rows.

        Returns
        -------
        TargetMeans
            Itself.
        """
        self.tables_ = [
            self._tally(column, y, sample_weight, size).smooth_means(np.arange(size))
            for column, size in zip(codes.T, self.sizes, strict=True)
        ]
        return self

    def transform(self, codes: np.ndarray) -> np.ndarray:
        """Encode rows that `fit` did not learn from.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            Categories.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out)
            Means, those of classes and labels minus 1/2: a target of all columns, then
            the next.
        """
        # An array of shape (n_rows, n_targets) for each column; a code picks a row.
        means = [
            table[column] for table, column in zip(self.tables_, codes.T, strict=True)
        ]
        return self._arrange(means)

    def cross_fit(
        self, codes: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> np.ndarray:
        """Encode rows by the targets of other rows, so that none shows its own.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            Categories.
        y : ndarray of shape (n_rows,), int, or of shape (n_rows, n_targets), float
            Class codes or numbers.
        sample_weight : ndarray of shape (n_rows,), optional
            A row of weight 2 counts as two rows.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out)
            As `transform` returns.
        """
        parts = _parts(y, self.random_state)
        rows_of = [np.flatnonzero(parts == part) for part in range(N_PARTS)]
        means = []
        for column, size in zip(codes.T, self.sizes, strict=True):
            encoded = np.empty((len(y), self.n_targets))
            others = self._tallies_of_others(column, y, sample_weight, size, parts)
            for rows, tally in zip(rows_of, others, strict=True):
                encoded[rows] = tally.smooth_means(column[rows])
            means.append(encoded)
        return self._arrange(means)

    def _tallies_of_others(
        self,
        column: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        size: int,
        parts: np.ndarray,
    ) -> Iterator[_Tally]:
        """Count, for each part, the rows of all other parts."""

        def tally(rows: np.ndarray) -> _Tally:
            weight = None if sample_weight is None else sample_weight[rows]
            return self._tally(column[rows], y[rows], weight, size)

        if self._n_classes is None or sample_weight is not None:
            # A difference of sums of fractions would not be zero where no row is left.
            return (tally(parts != part) for part in range(N_PARTS))
        # Counting the part and taking it away is cheaper than counting the others.
        whole = self._tally(column, y, None, size)
        return (whole.without(tally(parts == part)) for part in range(N_PARTS))

    def _tally(
        self,
        column: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        size: int,
    ) -> _Tally:
        if self._n_classes is None:
            return _tally_numbers(column, y, sample_weight, size)
        return _tally_classes(column, y, sample_weight, size, self._n_classes)

    def _arrange(self, means: list[np.ndarray]) -> np.ndarray:
        # (n_rows, n_targets, n_columns), the last two as one axis
        stacked = np.stack(means, axis=2)
        return stacked.reshape(len(stacked), -1) - self._center


def _tally_classes(
    codes: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray | None,
    n_codes: int,
    n_classes: int,
) -> _Tally:
    """Count the classes of each category in one pass over the rows."""
    # A cell for each pair of code and class; their product may exceed 32 bits.
    cells = codes.astype(np.int64) * n_classes + y
    totals = np.bincount(cells, sample_weight, minlength=n_codes * n_classes)
    totals = totals.reshape(n_codes, n_classes).astype(np.float64)
    counts = totals.sum(axis=1)
    # The share of the second of two classes says that of the first.
    totals = totals[:, 1:] if n_classes == 2 else totals
    return _Tally(counts, totals, totals)


def _tally_numbers(
    codes: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None, n_codes: int
) -> _Tally:
    """Add up the numbers of each category, one column of them after the other."""

    def add_up(weights: np.ndarray | None) -> np.ndarray:
        return np.bincount(codes, weights, minlength=n_codes).astype(np.float64)

    weight = 1.0 if sample_weight is None else sample_weight
    columns = [np.asarray(column, dtype=np.float64) for column in y.T]
    totals = np.stack([add_up(weight * column) for column in columns], axis=1)
    squares = np.stack([add_up(weight * column**2) for column in columns], axis=1)
    return _Tally(add_up(sample_weight), totals, squares)


def _parts(y: np.ndarray, random_state: int) -> np.ndarray:
    """Divide the rows at random, those of each class as evenly as possible."""
    # Rows in random order, then by class: dealt out one by one, each part gets its
    # share of each class. This works with fewer rows of a class than parts too.
    order = np.random.default_rng(random_state).permutation(len(y))
    if y.ndim == 1:
        order = order[np.argsort(y[order], kind="stable")]
    parts = np.empty(len(y), dtype=np.intp)
    parts[order] = np.arange(len(y)) % N_PARTS
    return parts
