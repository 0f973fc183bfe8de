"""Numeric columns: scaled, with ramps, with missing values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from sklearn.utils import assert_all_finite

# Rows from which the quantiles of larger tables are learned, and the number of present
# values of a column below which these rows are too few.
_SAMPLE = 20_000
_MIN_PRESENT = 1_000

# Within the range of float64, with room for a product with a small number.
_HUGE = 1e300
MAX_FLOAT32 = float(np.finfo(np.float32).max)

# Ramps of all numeric columns together, and of one.
_MAX_RAMPS = 512
_MIN_BINS, _MAX_BINS = 3, 8

_Learned = TypeVar("_Learned")


def _learn_columns(
    X: np.ndarray, learn: Callable[[np.ndarray, int], tuple[_Learned, bool]]
) -> list[_Learned]:
    """Learn something from each column, from a sample of its rows if that is enough.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Numbers and NaN.
    learn : callable
        Gets the present values of a column and its position; returns what it has
        learned, and whether it holds for more rows too.

    Returns
    -------
    list
        What was learned from each column.
    """
    n_rows, n_columns = X.shape
    is_sample = n_rows > _SAMPLE
    columns = X.T
    if is_sample:
        # A fixed seed, as a table has to be encoded alike in every fit. Rows in order
        # are read faster, and columns are contiguous where they are sorted.
        rows = np.random.default_rng(0).choice(n_rows, _SAMPLE, replace=False)
        columns = np.ascontiguousarray(X[np.sort(rows)].T)
    learned = []
    for position in range(n_columns):
        present = _present(columns[position])
        result, is_certain = learn(present, position)
        # Ties and rare values, such as those of a column that is constant but for one
        # row, are told from all rows.
        if is_sample and not (is_certain and len(present) >= _MIN_PRESENT):
            result, _ = learn(_present(X[:, position]), position)
        learned.append(result)
    return learned


def _present(column: np.ndarray) -> np.ndarray:
    present: np.ndarray = column[~np.isnan(column)]
    return present


class SmoothClipScaler:
    """Scale by quantiles, then squeeze what lies far out.

    A column is centred on its median and divided by its interquartile range; where
    this is zero by half its range; a constant column becomes zero. The result z
    becomes ``z / sqrt(1 + (z / 3) ** 2)``, which hardly changes values near zero and
    stays within -3 and 3, so that no outlier dominates a network. NaN remain.

    Attributes
    ----------
    center_ : ndarray of shape (n_columns,)
        Medians; of more than 20,000 rows those of a sample.
    scale_ : ndarray of shape (n_columns,)
        Ranges; infinite where a column is constant.
    factor_ : ndarray of shape (n_columns,)
        Finite reciprocals of the ranges.

    References
    ----------
    .. [1] D. Holzmueller, L. Grinsztajn and I. Steinwart, "Better by Default: Strong
       Pre-Tuned MLPs and Boosted Trees on Tabular Data", 2024, section 3.
    """

    def fit(self, X: np.ndarray) -> SmoothClipScaler:
        """Learn medians and ranges.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers and NaN.

        Returns
        -------
        SmoothClipScaler
            Itself.

        Raises
        ------
        ValueError
            If a value is infinite.
        """
        assert_all_finite(X, allow_nan=True, input_name="X")
        learned = np.array(_learn_columns(X, lambda values, _: _scaling_of(values)))
        self.center_, self.scale_ = learned.T
        # A column is scaled by one subtraction and one multiplication.
        self.factor_ = inverse_of(self.scale_)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Scale and squeeze.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers and NaN.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
            Between -3 and 3, or NaN where X is.
        """
        return self._squeeze(X, self.center_, self.factor_)

    def transform_column(
        self, values: np.ndarray, position: int | np.ndarray
    ) -> np.ndarray:
        """Scale and squeeze values of a column, or of a column each, as `transform`."""
        return self._squeeze(values, self.center_[position], self.factor_[position])

    @staticmethod
    def _squeeze(X: np.ndarray, center: np.ndarray, factor: np.ndarray) -> np.ndarray:
        # A difference may overflow, and then meet a factor of 0.
        with np.errstate(over="ignore", invalid="ignore"):
            z: np.ndarray = np.subtract(X, center, order="C")
            z *= factor
        # Squares of what is left are finite.
        np.clip(z, -1e100, 1e100, out=z)
        divisor = np.square(z)
        divisor *= 1 / 9
        divisor += 1
        np.sqrt(divisor, out=divisor)
        z /= divisor
        # Not a number though X is one: an infinite distance times zero.
        is_nan = np.isnan(z)
        if is_nan.any():
            np.copyto(z, 0.0, where=is_nan & ~np.isnan(X))
        return z


def inverse_of(scale: np.ndarray) -> np.ndarray:
    """Return finite reciprocals of positive scales, 0 for infinite ones."""
    with np.errstate(over="ignore"):
        inverse: np.ndarray = np.minimum(1 / scale, _HUGE)
    return inverse


def center_and_scale(present: np.ndarray) -> tuple[float, float]:
    """Return median and range of a column's present values."""
    return _scaling_of(present)[0]


def _scaling_of(present: np.ndarray) -> tuple[tuple[float, float], bool]:
    """Return median and range, and whether a sample is enough to tell them."""
    if not len(present):
        return (0.0, np.inf), False
    # The difference of two finite numbers may overflow; that of their quarters not.
    quarters = present / 4
    low, center, high = np.percentile(quarters, [25, 50, 75]).tolist()
    scale = (high - low) or float(quarters.max() - quarters.min()) / 2
    scale = min(4 * scale, np.finfo(np.float64).max) or np.inf
    return (4 * center, scale), high > low


class RampEncoder:
    """Add to each numeric column what a piecewise linear function of it needs.

    The knots of a column are quantiles of its values, or of its different values where
    most are equal. Each interval between knots becomes a column, which rises from
    -1/4 to 1/4 within it. A network's first layer then computes piecewise linear
    functions of each column, whereas from the number alone it can compute only linear
    ones. NaN are 0. A column of one interval only, such as one of two values, gets
    none.

    Parameters
    ----------
    n_bins : int
        Intervals of a column, at most; fewer where quantiles coincide.

    Attributes
    ----------
    columns_ : ndarray of shape (n_intervals,), int
        The column that each interval belongs to.
    begins_, ends_ : ndarray of shape (n_intervals,)
        Intervals, those of a column one after another.
    slopes_ : ndarray of shape (n_intervals,)
        Of the ramps.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical
       Features in Tabular Deep Learning", 2022, section 3.2.
    """

    def __init__(self, n_bins: int) -> None:
        self.n_bins = n_bins

    def fit(self, X: np.ndarray, scaler: SmoothClipScaler | None = None) -> RampEncoder:
        """Learn the knots.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers and NaN.
        scaler : SmoothClipScaler, optional
            Fitted; the knots are those of the columns that it makes of X.

        Returns
        -------
        RampEncoder
            Itself.
        """

        def learn(present: np.ndarray, position: int) -> tuple[np.ndarray, bool]:
            if scaler is not None:
                present = scaler.transform_column(present, position)
            return _knots(present, self.n_bins)

        # A column of k + 1 knots has k intervals; one interval would repeat the column.
        knots = [k if len(k) > 2 else k[:1] for k in _learn_columns(X, learn)]
        self._counts = np.array([len(k) - 1 for k in knots])
        self.columns_ = np.repeat(np.arange(len(knots)), self._counts)
        self.begins_ = np.concatenate([np.empty(0), *(k[:-1] for k in knots)])
        self.ends_ = np.concatenate([np.empty(0), *(k[1:] for k in knots)])
        # Small, so that the column itself counts too: with ramps from -1 to 1 it is
        # drowned in them, and the accuracy of smooth targets suffers.
        self.slopes_ = 0.5 * inverse_of(self.ends_ - self.begins_)
        return self

    def transform(self, X: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Compute the ramps.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers and NaN.
        out : ndarray of shape (n_rows, n_intervals), optional
            Where to write, of float32 or float64.

        Returns
        -------
        ndarray of shape (n_rows, n_intervals)
            Between -1/4 and 1/4.
        """
        # (n_rows, n_intervals): each column once for each of its intervals; this is
        # twice as fast as X[:, columns_].
        ramps = np.repeat(X, self._counts, axis=1)
        ramps -= self.begins_
        ramps *= self.slopes_
        np.clip(ramps, 0.0, 0.5, out=ramps)
        if np.isnan(X).any():
            np.copyto(ramps, 0.25, where=np.isnan(ramps))
        result: np.ndarray
        result = np.subtract(ramps, 0.25, out=out, casting="same_kind")
        return result

    def feature_names(self, names: Sequence[str]) -> list[str]:
        """Name the ramps after the columns that they belong to."""
        return [
            f"{name}_ramp{number}"
            for name, count in zip(names, self._counts.tolist(), strict=True)
            for number in range(count)
        ]


def _knots(present: np.ndarray, n_bins: int) -> tuple[np.ndarray, bool]:
    """Return quantiles without repetition, and whether a sample is enough for them."""
    if not len(present):
        return np.zeros(1), False
    # Knots are values of the column, not numbers between two of them, so that equal
    # quantiles are recognized.
    shares = np.linspace(0, 1, n_bins + 1)
    knots = np.unique(np.quantile(present, shares, method="nearest"))
    if len(knots) > 2:
        return knots, True
    # Most values are equal. Two different ones need no sorting to be recognized.
    low, high = present.min(), present.max()
    if ((present == low) | (present == high)).all():
        return np.array([low]), False
    values = np.unique(present)
    return np.unique(np.quantile(values, shares, method="nearest")), False


class NumberEncoder:
    """Encode numeric columns: scaled, ramps, indicators of missing values.

    Missing values become the median. A column that had some in ``fit`` gets an
    indicator. `RampEncoder` adds ramps if the columns are few enough.

    Parameters
    ----------
    encoding : {'auto', 'piecewise', 'scale', 'passthrough'}
        As for `TableEncoder`.

    Attributes
    ----------
    scaler_ : SmoothClipScaler
        Of the columns.
    ramps_ : RampEncoder or None
        Of the scaled columns.
    indicator_columns_ : ndarray of int
        Those that missed values.
    """

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def fit(
        self,
        X: np.ndarray,
        n_whole: int | None = None,
        always_scaled: Sequence[int] = (),
    ) -> NumberEncoder:
        """Learn how to scale and where the knots are.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns), float64
            Numbers and NaN.
        n_whole : int, optional
            Columns after so many are parts of earlier ones: what they miss has an
            indicator already.
        always_scaled : sequence of int, optional
            Columns that even ``'passthrough'`` scales.

        Returns
        -------
        NumberEncoder
            Itself.
        """
        self.scaler_ = SmoothClipScaler().fit(X)
        self.indicator_columns_ = np.flatnonzero(np.isnan(X[:, :n_whole]).any(axis=0))
        self.ramps_: RampEncoder | None = None
        self._always_scaled = list(always_scaled)
        # Many columns get fewer ramps each, and too many none.
        n_bins = min(_MAX_RAMPS // X.shape[1], _MAX_BINS)
        if self.encoding in ("auto", "piecewise") and n_bins >= _MIN_BINS:
            ramps = RampEncoder(n_bins).fit(X, self.scaler_)
            self.ramps_ = ramps if len(ramps.columns_) else None
        return self

    @property
    def n_ramps(self) -> int:
        """Number of columns that are ramps; they follow those of the numbers."""
        return 0 if self.ramps_ is None else len(self.ramps_.columns_)

    @property
    def n_features_out(self) -> int:
        """Number of encoded columns."""
        n_columns = len(self.scaler_.center_)
        return n_columns + self.n_ramps + len(self.indicator_columns_)

    def feature_names(self, names: Sequence[str]) -> list[str]:
        """Name the encoded columns after those of the numbers."""
        encoded = list(names)
        if self.ramps_ is not None:
            encoded += self.ramps_.feature_names(names)
        return encoded + [
            f"{names[i]}_missing" for i in self.indicator_columns_.tolist()
        ]

    def transform(self, X: np.ndarray, out: np.ndarray) -> None:
        """Encode numbers.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns), float64
            Numbers and NaN.
        out : ndarray of shape (n_rows, n_features_out)
            Where to write, of float32 or float64: numbers, ramps, indicators.
        """
        n_columns = X.shape[1]
        is_missing = np.isnan(X)
        if self.encoding == "passthrough":
            encoded = np.where(is_missing, self.scaler_.center_, X)
            np.clip(encoded, -MAX_FLOAT32, MAX_FLOAT32, out=encoded)
            for i in self._always_scaled:
                encoded[:, i] = self.scaler_.transform_column(X[:, i], i)
        else:
            encoded = self.scaler_.transform(X)
        # Ramps need to know what is missing: they are 0 there, in the middle, while
        # the ramps of the median would not be.
        if self.ramps_ is not None:
            self.ramps_.transform(encoded, out[:, n_columns : n_columns + self.n_ramps])
        np.copyto(encoded, 0.0, where=np.isnan(encoded))
        out[:, :n_columns] = encoded
        if len(self.indicator_columns_):
            indicators = is_missing[:, self.indicator_columns_]
            out[:, n_columns + self.n_ramps :] = indicators
