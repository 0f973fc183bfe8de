"""Categorical columns: integer codes, and one column per category."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import numpy as np

# More categories than this share a column, the rarest of them.
MAX_CATEGORIES = 64


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

    def feature_names(self, names: Sequence[str]) -> list[str]:
        """Name the encoded columns after those of the table and the categories.

        Parameters
        ----------
        names : sequence of str
            Those of the columns that `fit` has seen.
        """
        encoded = [""] * self.n_features_out
        for name, begin, codes in zip(names, self._begins, self.codes_, strict=True):
            shared = "infrequent" if len(codes) > MAX_CATEGORIES else None
            last = self._positions[begin : begin + len(codes)].max()
            for text, code in codes.items():
                position = self._positions[begin + code]
                category = "missing" if text is None else text
                is_shared = shared is not None and position == last
                encoded[position] = f"{name}_{shared if is_shared else category}"
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
