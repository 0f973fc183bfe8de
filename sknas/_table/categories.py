"""Categorical columns: integer codes, one column per category, class shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

# More categories than this share a column, the rarest of them.
MAX_CATEGORIES = 64
# Parts of the rows, of which each is encoded by the classes of the others.
N_PARTS = 5


class CategoryEncoder:
    """Turn text into integer codes once, and codes into one column per category.

    The codes of a column follow the order of its sorted texts; "missing" is the last
    category. A text that ``fit`` has not seen has the code after the last one. Of a
    column of more than 64 categories the 63 most frequent have a column each, the
    others share the last one, and so do texts not seen in ``fit``. Elsewhere these
    are all zeros.

    Attributes
    ----------
    codes_ : list of dict
        The code of each category (text, or None for missing), of each column.
    large_columns_ : ndarray of int
        Columns of more than 64 categories.
    n_features_out : int
        Encoded columns.
    """

    def fit(self, texts: Sequence[Sequence[str | None]]) -> np.ndarray:
        """Learn the categories and return the codes of the rows.

        Parameters
        ----------
        texts : sequence of sequences of str or None
            The values of each column.

        Returns
        -------
        ndarray of shape (n_rows, n_columns), int32
            As `encode` would return.
        """
        self.codes_ = [_codes_of(column) for column in texts]
        sizes = np.array([len(codes) for codes in self.codes_])
        self.large_columns_ = np.flatnonzero(sizes > MAX_CATEGORIES)
        encoded = self.encode(texts)
        # One lookup for all columns: each has a stretch of one array, in which
        # categories and unseen texts have the number of their encoded column, or -1.
        self._begins = np.concatenate([[0], np.cumsum(sizes + 1)[:-1]])
        self._positions = np.full(sizes.sum() + len(sizes), -1)
        self.n_features_out = 0
        # counts of shape (size + 1,), positions within the columns of this one
        for column, begin, size in zip(encoded.T, self._begins, sizes, strict=True):
            positions = _positions_of(np.bincount(column, minlength=size + 1))
            is_set = positions >= 0
            stretch = self._positions[begin : begin + size + 1]
            stretch[is_set] = positions[is_set] + self.n_features_out
            self.n_features_out += int(positions.max()) + 1
        return encoded

    def encode(self, texts: Sequence[Sequence[str | None]]) -> np.ndarray:
        """Return the codes of the categories.

        Parameters
        ----------
        texts : sequence of sequences of str or None
            The values of each column.

        Returns
        -------
        ndarray of shape (n_rows, n_columns), int32
            For a text not seen in ``fit``, the number of categories of the column.
        """
        encoded = np.empty((len(texts[0]), len(texts)), dtype=np.int32)
        for i, (column, codes) in enumerate(zip(texts, self.codes_, strict=True)):
            # The dictionary that was built in `fit` is all there is to build: a row
            # costs a lookup, however many categories there are.
            found = map(codes.get, column, repeat(len(codes)))
            encoded[:, i] = np.fromiter(found, np.int32, count=len(column))
        return encoded

    def one_hot(self, codes: np.ndarray, out: np.ndarray) -> None:
        """Write one column per category.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            From `encode`.
        out : ndarray of shape (n_rows, n_features_out)
            Where to write.
        """
        out[:] = 0
        # (n_rows, n_columns): which encoded column is 1, if any is
        positions = self._positions[codes + self._begins]
        rows, columns = np.nonzero(positions >= 0)
        out[rows, positions[rows, columns]] = 1


def _codes_of(column: Sequence[str | None]) -> dict[str | None, int]:
    # Sorted, so that codes depend neither on the order of rows nor on hash seeds.
    # None cannot be compared with text.
    texts = set(column)
    has_missing = None in texts
    texts.discard(None)
    categories: list[str | None] = [*sorted(texts)]  # type: ignore[type-var]
    categories += [None] * has_missing
    return {category: code for code, category in enumerate(categories)}


def _positions_of(counts: np.ndarray) -> np.ndarray:
    """Return the encoded column of each category of one column, and of unseen texts.

    Parameters
    ----------
    counts : ndarray of shape (n_categories + 1,)
        Rows of each category; the last number, that of unseen texts, is 0.
    """
    n_categories = len(counts) - 1
    positions = np.arange(n_categories + 1)
    positions[-1] = -1
    if n_categories > MAX_CATEGORIES:
        # Among equally frequent categories the first ones are the rare ones.
        order = np.argsort(counts[:-1], kind="stable")
        frequent = np.sort(order[-(MAX_CATEGORIES - 1) :])
        positions[:] = MAX_CATEGORIES - 1
        positions[frequent] = np.arange(MAX_CATEGORIES - 1)
    return positions


@dataclass(frozen=True)
class _Tally:
    """What is counted of the target among the rows of each category.

    Attributes
    ----------
    counts : ndarray of shape (n_codes,)
        Rows.
    totals, squares : ndarray of shape (n_codes, n_targets)
        Sums of the target, and of its square. A class is a target of 0 and 1, for
        which the two are the same.
    """

    counts: np.ndarray
    totals: np.ndarray
    squares: np.ndarray

    def without(self, other: _Tally) -> _Tally:
        """Take the rows of another tally out of this one."""
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
        n_rows = max(self.counts.sum(), 1)
        prior = self.totals.sum(axis=0) / n_rows
        variance = self.squares.sum(axis=0) / n_rows - prior**2
        # Only what was asked for is computed: of (n_codes, n_targets), (n, n_targets).
        counts = self.counts[codes, None]
        totals = self.totals[codes]
        squares = totals if self.squares is self.totals else self.squares[codes]
        # Categories without rows give NaN.
        with np.errstate(divide="ignore", invalid="ignore"):
            means = totals / counts
            # The variance within a category, and the weight that it leaves its mean.
            within = (squares - totals * means) / counts
            weights = variance * counts / (variance * counts + within)
            smoothed: np.ndarray = weights * means + (1 - weights) * prior
        np.copyto(smoothed, prior, where=np.isnan(smoothed))
        return smoothed


def _tally(codes: np.ndarray, y: np.ndarray, n_codes: int, n_classes: int) -> _Tally:
    """Count the classes of each category in one pass over the rows."""
    # A cell for each pair of code and class; their product may exceed 32 bits.
    cells = codes.astype(np.int64) * n_classes + y
    totals = np.bincount(cells, minlength=n_codes * n_classes)
    totals = totals.reshape(n_codes, n_classes).astype(np.float64)
    counts = totals.sum(axis=1)
    # The share of the second of two classes says that of the first.
    totals = totals[:, 1:] if n_classes == 2 else totals
    return _Tally(counts, totals, totals)


class ClassShares:
    """Encode categories by the shares of the classes among their rows.

    Parameters
    ----------
    sizes : sequence of int
        Codes of each column, that of unseen texts included.
    n_classes : int
        Classes; two give one encoded column, more give one each.
    random_state : int
        Divides the rows in `cross_fit`.
    """

    def __init__(self, sizes: Sequence[int], n_classes: int, random_state: int) -> None:
        self.sizes = tuple(sizes)
        self.n_classes = n_classes
        self.random_state = random_state

    @property
    def n_features_out(self) -> int:
        """Number of encoded columns."""
        return len(self.sizes) * (1 if self.n_classes == 2 else self.n_classes)

    def fit(self, codes: np.ndarray, y: np.ndarray) -> ClassShares:
        """Learn the shares from all rows given.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            Categories.
        y : ndarray of shape (n_rows,), int
            Class codes.

        Returns
        -------
        ClassShares
            Itself.
        """
        self.tables_ = [
            self._tally(column, y, size).smooth_means(np.arange(size))
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
            Shares minus 1/2: a class of all columns, then the next.
        """
        # An array of shape (n_rows, n_targets) for each column; a code picks a row.
        shares = [
            table[column] for table, column in zip(self.tables_, codes.T, strict=True)
        ]
        return self._arrange(shares)

    def cross_fit(self, codes: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Encode rows by the classes of other rows, so that none shows its own class.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            Categories.
        y : ndarray of shape (n_rows,), int
            Class codes.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out)
            As `transform` returns.
        """
        parts = _parts(y, self.random_state)
        rows_of = [np.flatnonzero(parts == part) for part in range(N_PARTS)]
        shares = []
        for column, size in zip(codes.T, self.sizes, strict=True):
            whole = self._tally(column, y, size)
            encoded = np.empty((len(y), whole.totals.shape[1]))
            # Counting the part and taking it away is cheaper than counting the others.
            for rows in rows_of:
                others = whole.without(self._tally(column[rows], y[rows], size))
                encoded[rows] = others.smooth_means(column[rows])
            shares.append(encoded)
        return self._arrange(shares)

    def _tally(self, column: np.ndarray, y: np.ndarray, size: int) -> _Tally:
        return _tally(column, y, size, self.n_classes)

    def _arrange(self, shares: list[np.ndarray]) -> np.ndarray:
        # (n_rows, n_targets, n_columns), the last two as one axis
        stacked = np.stack(shares, axis=2)
        return stacked.reshape(len(stacked), -1) - 0.5


def _parts(y: np.ndarray, random_state: int) -> np.ndarray:
    """Divide the rows at random, those of each class as evenly as possible."""
    # Rows in random order, then by class: dealt out one by one, each part gets its
    # share of each class. This works with fewer rows of a class than parts too.
    order = np.random.default_rng(random_state).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    parts = np.empty(len(y), dtype=np.intp)
    parts[order] = np.arange(len(y)) % N_PARTS
    return parts
