"""From a table of any kind to a matrix of numbers of one size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, TargetEncoder
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_is_fitted, validate_data

# More categories than this share a column, the rarest of them.
_MAX_CATEGORIES = 64
# Parts of the rows, of which each is encoded by the classes of the others.
_N_PARTS = 5
# Rows encoded at once: what lies between one operation and the next stays in the cache.
_CHUNK = 1024
# A text column of more different values than this, all of which read as numbers, is
# more likely a numeric column that was read as text than a column of codes.
_MAX_NUMERIC_CODES = 20

# Within the range of float64, with room for a product with a small number.
_HUGE = 1e300

_MAX_FLOAT32 = float(np.finfo(np.float32).max)

# Ramps of all numeric columns together, and of one.
_MAX_RAMPS = 512
_MIN_BINS, _MAX_BINS = 3, 8

NUMERIC = "numeric"
CATEGORICAL = "categorical"


class SmoothClipScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale by quantiles, then squeeze what lies far out.

    A column is centred on its median and divided by its interquartile range; where
    this is zero by half its range; a constant column becomes zero. The result z
    becomes ``z / sqrt(1 + (z / 3) ** 2)``, which hardly changes values near zero and
    stays within -3 and 3, so that no outlier dominates a network. NaN remain.

    Attributes
    ----------
    center_ : ndarray of shape (n_columns,)
        Medians.
    scale_ : ndarray of shape (n_columns,)
        Ranges; infinite where a column is constant.

    References
    ----------
    .. [1] D. Holzmueller, L. Grinsztajn and I. Steinwart, "Better by Default: Strong
       Pre-Tuned MLPs and Boosted Trees on Tabular Data", 2024, section 3.
    """

    def fit(self, X: np.ndarray, y: object = None) -> SmoothClipScaler:
        """Learn medians and ranges.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers and NaN.
        y : None
            Ignored.

        Returns
        -------
        SmoothClipScaler
            Itself.
        """
        del y
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        # A column at a time: the memory of a few columns, not of a few tables.
        learned = np.array([_center_and_scale(column) for column in X.T])
        self.center_, self.scale_ = learned.T
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
            Between -3 and 3, or NaN.
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        z = scale_and_clip(X, self.center_, inverse_of(self.scale_))
        np.copyto(z, 0.0, where=np.isnan(z) & ~np.isnan(X))
        return z


class RampEncoder(TransformerMixin, BaseEstimator):
    """Add to each numeric column what a piecewise linear function of it needs.

    The knots of a column are quantiles of its values, or of its different values where
    most are equal. Each interval between knots becomes a column, which rises from
    -1/4 to 1/4 within it. A network's first layer then computes piecewise linear
    functions of each column, where of a bare number it computes straight lines. NaN
    are 0. A column of one interval only, such as one of two values, gets none.

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

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical
       Features in Tabular Deep Learning", 2022, section 3.2.
    """

    def __init__(self, n_bins: int) -> None:
        self.n_bins = n_bins

    def fit(self, X: np.ndarray, y: object = None) -> RampEncoder:
        """Learn the knots.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers and NaN.
        y : None
            Ignored.

        Returns
        -------
        RampEncoder
            Itself.
        """
        del y
        knots = [_knots(column, self.n_bins) for column in X.T]
        knots = [k if len(k) > 2 else k[:1] for k in knots]
        self.columns_ = np.repeat(np.arange(len(knots)), [len(k[1:]) for k in knots])
        self.begins_ = np.concatenate([np.empty(0), *(k[:-1] for k in knots)])
        self.ends_ = np.concatenate([np.empty(0), *(k[1:] for k in knots)])
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Compute the ramps.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers and NaN.

        Returns
        -------
        ndarray of shape (n_rows, n_intervals)
            Between -1/4 and 1/4.
        """
        ramps: np.ndarray = X[:, self.columns_]
        ramps -= self.begins_
        ramps *= inverse_of(self.ends_ - self.begins_)
        np.copyto(ramps, 0.5, where=np.isnan(ramps))
        np.clip(ramps, 0, 1, out=ramps)
        # Small, so that the column itself counts too: with ramps from -1 to 1 it is
        # drowned in them, and the accuracy of smooth targets suffers.
        ramps -= 0.5
        ramps *= 0.5
        return ramps


def _knots(column: np.ndarray, n_bins: int) -> np.ndarray:
    """Return quantiles of a column without repetition."""
    present: np.ndarray = column[~np.isnan(column)]
    if not len(present):
        return np.zeros(1)
    shares = np.linspace(0, 1, n_bins + 1)
    knots: np.ndarray
    knots = np.unique(np.quantile(present, shares, method="nearest"))
    if len(knots) < 3:
        values = np.unique(present)
        knots = np.unique(np.quantile(values, shares, method="nearest"))
    return knots


def inverse_of(scale: np.ndarray) -> np.ndarray:
    """Return finite reciprocals of positive scales, 0 for infinite ones."""
    with np.errstate(over="ignore"):
        inverse: np.ndarray = np.minimum(1 / scale, _HUGE)
    return inverse


def scale_and_clip(
    X: np.ndarray, center: np.ndarray, inverse_scale: np.ndarray
) -> np.ndarray:
    """Compute ``z / sqrt(1 + (z / 3) ** 2)`` of the scaled table.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns), float64
        Numbers and NaN.
    center, inverse_scale : ndarray of shape (n_columns,)
        Of each column; an inverse scale of 0 makes it zero.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        Between -3 and 3, or NaN. NaN too where the inverse scale is 0 and the
        distance from the center no finite number.
    """
    # A difference may overflow, and then meet an inverse scale of 0.
    with np.errstate(over="ignore", invalid="ignore"):
        z: np.ndarray = X - center
        z *= inverse_scale
    np.clip(z, -1e100, 1e100, out=z)
    divisor = np.square(z)
    divisor *= 1 / 9
    divisor += 1
    np.sqrt(divisor, out=divisor)
    z /= divisor
    return z


def _center_and_scale(column: np.ndarray) -> tuple[float, float]:
    """Return median and range of one column, NaN left out."""
    present = column[~np.isnan(column)]
    if not len(present):
        return 0.0, np.inf
    # The difference of two finite numbers may overflow; that of their quarters not.
    quarters = present / 4
    low, center, high = np.percentile(quarters, [25, 50, 75]).tolist()
    scale = (high - low) or float(quarters.max() - quarters.min()) / 2
    return 4 * center, min(4 * scale, np.finfo(np.float64).max) or np.inf


class TableEncoder(TransformerMixin, BaseEstimator):
    """Encode numeric and categorical columns, with missing values in any of them.

    Numeric and boolean columns are scaled (`SmoothClipScaler`), their missing values
    become the median, and a column that had some in ``fit`` gets an indicator. If
    there are few enough of them, `RampEncoder` adds what a piecewise linear function of
    each needs.
    Categorical and text columns become one column a category, "missing" being a
    category. Of a column of more than 64, the rarest share one, and the shares of the
    classes among the rows of each category are added (`TargetEncoder` of
    scikit-learn). A category that ``fit`` has not seen is all zeros, or counts as rare
    where there are rare ones.

    Parameters
    ----------
    encoding : {'auto', 'piecewise', 'scale', 'passthrough'}, default='auto'
        ``'scale'`` leaves out the ramps, ``'passthrough'`` the scaling too. ``'auto'``
        is ``'piecewise'`` here; who trains may call `drop_ramps`.
    random_state : int, default=0
        Divides the rows for the columns that are encoded by the classes.

    Attributes
    ----------
    kinds_ : list of str
        ``'numeric'`` or ``'categorical'`` for each column of the table.
    n_features_out_ : int
        Columns of the encoded table.
    plain_columns_ : ndarray of shape (n_features_out_,), bool
        Which of these are there without ramps too.
    """

    def __init__(self, encoding: str = "auto", random_state: int = 0) -> None:
        self.encoding = encoding
        self.random_state = random_state

    def fit(self, X: Any, y: np.ndarray | None = None) -> TableEncoder:
        """Learn the kinds of the columns and how to encode each.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A validated table.
        y : ndarray of shape (n_rows,), optional
            Class codes. Without them no column is encoded by the classes.

        Returns
        -------
        TableEncoder
            Itself.
        """
        self.fit_transform(X, y, dtype=np.float32)
        return self

    def fit_transform(
        self, X: Any, y: np.ndarray | None = None, dtype: npt.DTypeLike = np.float64
    ) -> np.ndarray:
        """Learn from a table and encode it.

        What is known of the classes from a category comes from other rows here, so
        that no row's class shows in its own columns; `transform` takes all rows.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A validated table.
        y : ndarray of shape (n_rows,), optional
            Class codes.
        dtype : dtype, default=np.float64
            Of the result.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out_)
            Finite numbers.
        """
        self.kinds_ = _kinds(X)
        numeric, categories = self._split(X)
        self.numeric_: Pipeline | None = None
        self.ramps_: RampEncoder | None = None
        self.categorical_: OneHotEncoder | None = None
        if numeric.shape[1]:
            # Which columns miss values is all that the imputer learns: a row says it,
            # and the table need not be scaled in one piece.
            missing = np.where(np.isnan(numeric).any(axis=0), np.nan, 0.0)
            imputer = SimpleImputer(
                strategy="constant",
                fill_value=0.0,
                add_indicator=True,
                keep_empty_features=True,
            )
            self.numeric_ = make_pipeline(
                SmoothClipScaler().fit(numeric), imputer.fit(missing[None])
            )
            self._fold(*self.numeric_)
            self.ramps_ = self._fit_ramps(numeric)
        if categories.shape[1]:
            self.categorical_ = OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                max_categories=_MAX_CATEGORIES,
                sparse_output=False,
            ).fit(categories)
            positions = [i for i, k in enumerate(self.kinds_) if k == CATEGORICAL]
            for position, values in zip(
                positions, self.categorical_.categories_, strict=True
            ):
                _warn_of_numbers_as_text(*_column(X, position), values)
        by_class = self._fit_by_class(categories, y)
        self.n_features_out_ = self._encode(_rows(X, slice(1))).shape[1]
        self.plain_columns_ = np.ones(self.n_features_out_, dtype=bool)
        if self.ramps_ is not None:
            begin, n_ramps = numeric.shape[1], len(self.ramps_.columns_)
            self.plain_columns_[begin : begin + n_ramps] = False
        encoded = self.transform(X, dtype)
        if by_class is not None:
            encoded[:, -by_class.shape[1] :] = by_class
        return encoded

    def _fit_by_class(
        self, categories: np.ndarray, y: np.ndarray | None
    ) -> np.ndarray | None:
        """Fit and encode, by the classes, the columns of many categories."""
        # One for each class, or for the second of two.
        self.by_class_: list[TargetEncoder] = []
        # Too few rows of every class to divide them.
        if self.categorical_ is None or y is None or np.bincount(y).max() < _N_PARTS:
            return None
        sizes = [len(values) for values in self.categorical_.categories_]
        self._large_columns = np.flatnonzero(np.array(sizes) > _MAX_CATEGORIES)
        if not len(self._large_columns) or y.max() == 0:
            return None
        large = categories[:, self._large_columns]
        parts = StratifiedKFold(_N_PARTS, shuffle=True, random_state=self.random_state)
        with warnings.catch_warnings():
            # A class of fewer rows than parts is in some of them only.
            warnings.filterwarnings("ignore", message="The least populated class")
            splits = list(parts.split(large, y))
        codes = range(y.max() + 1) if y.max() > 1 else [1]
        blocks = []
        for is_class in ((y == code).astype(np.float64) for code in codes):
            encoder = TargetEncoder(target_type="continuous")
            shares = np.empty(large.shape)
            for rows, others in splits:
                encoder.fit(large[rows], is_class[rows])
                shares[others] = encoder.transform(large[others])
            blocks.append(shares)
            self.by_class_.append(encoder.fit(large, is_class))
        return np.hstack(blocks) - 0.5

    def drop_ramps(self) -> None:
        """Encode without ramps from now on."""
        self.ramps_ = None
        self.n_features_out_ = int(self.plain_columns_.sum())
        self.plain_columns_ = np.ones(self.n_features_out_, dtype=bool)

    @property
    def has_categories(self) -> bool:
        """Whether a column of the table is categorical."""
        return CATEGORICAL in self.kinds_

    def transform(self, X: Any, dtype: npt.DTypeLike = np.float64) -> np.ndarray:
        """Encode a table.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A validated table with the columns of ``fit``.
        dtype : dtype, default=np.float64
            Of the result; everything before is computed with 64 bits.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out_)
            Finite numbers.

        Raises
        ------
        ValueError
            If a column that was numeric in ``fit`` is not.
        """
        check_is_fitted(self)
        encoded = np.empty((X.shape[0], self.n_features_out_), dtype=dtype)
        for start in range(0, X.shape[0], _CHUNK):
            rows = slice(start, start + _CHUNK)
            encoded[rows] = self._encode(_rows(X, rows))
        return encoded

    def _encode(self, X: Any) -> np.ndarray:
        numeric, categories = self._split(X)
        blocks = []
        if self.numeric_ is not None:
            blocks.append(self._encode_numeric(numeric))
        if self.categorical_ is not None:
            blocks.append(self.categorical_.transform(categories))
        if self.by_class_:
            large = categories[:, self._large_columns]
            blocks += [encoder.transform(large) - 0.5 for encoder in self.by_class_]
        return blocks[0] if len(blocks) == 1 else np.hstack(blocks)

    def _fold(self, scaler: SmoothClipScaler, imputer: SimpleImputer) -> None:
        """Keep what the numeric pipeline has learned as the numbers it comes down to.

        A row then costs a few operations; scikit-learn's transformers would validate
        it again at each step, at many times the cost.
        """
        self._center, self._inverse_scale = scaler.center_, inverse_of(scaler.scale_)
        self._indicator_columns = imputer.indicator_.features_

    def _fit_ramps(self, X: np.ndarray) -> RampEncoder | None:
        """Fit knots to the scaled columns, if there is room for them."""
        n_bins = min(_MAX_RAMPS // X.shape[1], _MAX_BINS)
        if self.encoding not in ("auto", "piecewise") or n_bins < _MIN_BINS:
            return None
        scaled = scale_and_clip(X, self._center, self._inverse_scale)
        ramps = RampEncoder(n_bins).fit(scaled)
        return ramps if len(ramps.columns_) else None

    def _encode_numeric(self, X: np.ndarray) -> np.ndarray:
        """Compute what the numeric pipeline would, and the ramps."""
        is_missing = np.isnan(X)
        if self.encoding == "passthrough":
            encoded = np.where(is_missing, self._center, X)
            blocks = [np.clip(encoded, -_MAX_FLOAT32, _MAX_FLOAT32)]
        else:
            encoded = scale_and_clip(X, self._center, self._inverse_scale)
            # Not a number though none was missing: an infinite distance times zero.
            np.copyto(encoded, 0.0, where=np.isnan(encoded) & ~is_missing)
            blocks = [encoded]
        if self.ramps_ is not None:
            blocks.append(self.ramps_.transform(encoded))
        np.copyto(blocks[0], 0.0, where=np.isnan(blocks[0]))
        if len(self._indicator_columns):
            blocks.append(is_missing[:, self._indicator_columns])
        return blocks[0] if len(blocks) == 1 else np.hstack(blocks)

    def _split(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the numeric columns as floats and the others as text or None."""
        if hasattr(X, "toarray"):  # sparse
            X = X.toarray()
        if not self.has_categories and not is_mixed_table(X):
            numbers = np.asarray(X, dtype=np.float64)
            return numbers, np.empty((X.shape[0], 0), dtype=object)
        positions = [i for i, kind in enumerate(self.kinds_) if kind == NUMERIC]
        numbers = np.empty((X.shape[0], len(positions)))
        plain = _plain_numeric(X, positions)
        if plain:
            block = X.iloc[:, plain].to_numpy(dtype=np.float64, na_value=np.nan)
            assert_all_finite(block, allow_nan=True, input_name="X")
            numbers[:, np.isin(positions, plain)] = block
        for i, position in enumerate(positions):
            if position not in plain:
                numbers[:, i] = _as_numbers(*_column(X, position))
        texts = [
            _as_text(*_column(X, position))
            for position, kind in enumerate(self.kinds_)
            if kind == CATEGORICAL
        ]
        if not texts:
            return numbers, np.empty((X.shape[0], 0), dtype=object)
        return numbers, np.column_stack(texts)


def _plain_numeric(X: Any, positions: Sequence[int]) -> list[int]:
    """Return those columns of a frame that become floats all at once."""
    if not hasattr(X, "iloc"):
        return []
    kinds = [getattr(dtype, "kind", "O") for dtype in X.dtypes]
    return [position for position in positions if kinds[position] in "biuf"]


def is_mixed_table(X: Any) -> bool:
    """Tell tables that need a look at each column from plain numeric ones."""
    if hasattr(X, "iloc") and hasattr(X, "dtypes"):
        if getattr(X, "ndim", 2) != 2:
            return False
        return not all(_is_plain_numeric(dtype) for dtype in X.dtypes)
    return isinstance(X, np.ndarray) and X.dtype.kind in "OUSMm"


def _is_plain_numeric(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "biufc"


def _rows(X: Any, rows: slice) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _column(X: Any, position: int) -> tuple[Any, object]:
    """Return a column, and its name or position for messages."""
    if hasattr(X, "iloc"):
        return X.iloc[:, position], X.columns[position]
    return X[:, position], position


def _kinds(X: Any) -> list[str]:
    if not is_mixed_table(X):
        return [NUMERIC] * X.shape[1]
    return [_kind(*_column(X, position)) for position in range(X.shape[1])]


def _kind(column: Any, name: object) -> str:
    """Decide whether a column holds numbers or categories."""
    dtype = column.dtype
    if _is_plain_numeric(dtype):
        return NUMERIC
    if getattr(dtype, "kind", "O") in "US" or str(dtype) in (
        "category",
        "string",
        "str",
    ):
        return CATEGORICAL
    if dtype != object:
        raise _unsupported(name, f"has dtype {dtype}")
    values = column[~_is_missing(column)]
    kinds = {_kind_of_value(value, name) for value in values}
    return CATEGORICAL if CATEGORICAL in kinds else NUMERIC


def _warn_of_numbers_as_text(column: Any, name: object, values: np.ndarray) -> None:
    """Tell the user of a column of text whose different values look numeric."""
    texts = [value for value in values if value is not None]
    if str(column.dtype) == "category" or len(texts) <= _MAX_NUMERIC_CODES:
        return
    try:
        for text in texts:
            float(text)
    except ValueError:
        return
    warnings.warn(
        f"Column {name!r} is text, and so categorical, but all of its {len(texts)} "
        "different values read as numbers. Convert it if it is meant to be numeric.",
        UserWarning,
        stacklevel=7,
    )


def _unsupported(name: object, what: str) -> ValueError:
    return ValueError(
        f"Column {name!r} {what}, but must be numeric, boolean, categorical or text. "
        "Turn it into numbers (for dates, say, the days since the first one, the "
        "month, the weekday) or leave it out."
    )


def _kind_of_value(value: object, name: object) -> str:
    if isinstance(value, (str, bytes)):
        return CATEGORICAL
    if isinstance(value, (bool, np.bool_, int, float, np.integer, np.floating)):
        return NUMERIC
    if hasattr(value, "isoformat") or isinstance(value, np.datetime64):
        raise _unsupported(name, f"holds {value!r}")
    try:
        float(value)  # type: ignore[arg-type]  # Decimal, Fraction, 0-d arrays
    except TypeError:
        raise TypeError(
            f"Column {name!r} holds {value!r} of type {type(value).__name__}: the "
            "argument must be a string or a real number."
        ) from None
    return NUMERIC


def _is_missing(column: Any) -> np.ndarray:
    """Find None, NaN and pandas.NA."""
    if hasattr(column, "isna"):
        missing: np.ndarray = column.isna().to_numpy(dtype=bool)
        return missing
    # NA is neither equal nor unequal to itself, and has no truth value.
    return np.array(
        [
            value is None
            or type(value).__name__ in ("NAType", "NaTType")
            or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))
            for value in column
        ],
        dtype=bool,
    )


def _as_numbers(column: Any, name: object) -> np.ndarray:
    """Convert a column to floats, missing values to NaN."""
    numbers = np.full(len(column), np.nan)
    present = ~_is_missing(column)
    try:
        if getattr(column.dtype, "kind", "O") in "mM":
            raise TypeError(f"its dtype is {column.dtype}.")
        numbers[present] = np.asarray(column[present], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Column {name!r} was numeric in fit and must be numeric now: {error}"
        ) from error
    assert_all_finite(numbers, allow_nan=True, input_name="X")
    return numbers


def _as_text(column: Any, name: object) -> np.ndarray:
    """Convert a column of categories to strings, missing values to None.

    A whole number is written without decimals: 1 and 1.0 are one category, as they
    become when a missing value turns integers into floats.
    """
    text = np.full(len(column), None, dtype=object)
    present = ~_is_missing(column)
    if getattr(column.dtype, "kind", "O") in "mM":
        raise _unsupported(name, f"has dtype {column.dtype}")
    text[present] = [
        _text_of(value) for value in np.asarray(column[present], dtype=object)
    ]
    return text


def _text_of(value: object) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
