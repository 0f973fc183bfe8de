"""From a table of any kind to a matrix of numbers of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sknas._sklearn import check_feature_names_in
from sknas._table.advice import warn_of_text
from sknas._table.categories import CategoryEncoder
from sknas._table.encoded import EncodedTable
from sknas._table.numbers import NumberEncoder, RampEncoder
from sknas._table.reading.table_reader import TableReader
from sknas._table.reading.tables import as_float64
from sknas._table.sparse import SparseNumberEncoder, as_csr, stays_sparse
from sknas._table.targets import N_PARTS, TargetMeans
from sknas._typing import Matrix

# Encoded numbers computed at once: what lies between one operation and the next stays
# in the cache of a core.
_CHUNK = 2**17


class TableEncoder(TransformerMixin, BaseEstimator):
    """Encode numbers, dates and categories, with missing values in any of them.

    Numeric and boolean columns are scaled (`SmoothClipScaler`), their missing values
    become the median, and a column that had some in ``fit`` gets an indicator. If
    there are few enough of them, `RampEncoder` adds what a piecewise linear function of
    each needs. Dates become such numbers, days since 1970-01-01 (UTC), besides sine and
    cosine of the time of day, the day of the week and the day of the year, where these
    vary; durations become days. Text is read as numbers or dates where at least 95 % of
    a column can be.
    Categorical and all other text columns become one column per category, "missing"
    being a category. Of a column of more than 64, the rarest share one, and the means
    of the target among the rows of each category are added (`TargetMeans`). A category
    that ``fit`` has not seen is all zeros, or counts as rare where there are rare ones.
    A large sparse matrix stays sparse (`SparseNumberEncoder`), a small one is encoded
    as a dense table.

    Parameters
    ----------
    encoding : {'auto', 'piecewise', 'scale', 'passthrough'}, default='auto'
        ``'scale'`` leaves out the ramps, ``'passthrough'`` the scaling too, but for
        dates. ``'auto'`` is ``'piecewise'`` here; who trains may `restrict` the
        encoder to a view.
    random_state : int, default=0
        Divides the rows for the columns that are encoded by the target.

    Attributes
    ----------
    kinds_ : list of str
        ``'numeric'``, ``'categorical'``, ``'date'`` or ``'duration'`` for each column
        of the table, whether it came as such or as text.
    n_features_out_ : int
        Columns of the encoded table.
    views_ : dict of str to ndarray of int
        Columns of the encoded table that make a complete encoding. With ramps these
        are ``'piecewise'``, all columns, and ``'scale'``, those without ramps; else
        there is one view of all columns, named after the encoding (``'scale'`` for
        ``'auto'``).
    n_features_in_ : int
        Columns of the table.
    feature_names_in_ : ndarray of str
        Their names, if all of them are strings.

    Notes
    -----
    Two values of a column are one category if they have the same text, where equal
    numbers have the same text however they are written: ``1``, ``1.0``, ``"1"``,
    ``"1.0"``, ``True`` (which equals 1 in Python) and ``"True"`` are one category, as
    are ``0``, ``False`` and ``"False"``. Other text is taken as it is: ``"01"``,
    ``"1.50"``, ``"true"`` and ``" 1"`` are categories of their own. None, NaN, NaT and
    ``pandas.NA`` are "missing"; text such as ``"nan"`` is text among categories.
    """

    n_features_out_: int
    views_: dict[str, np.ndarray]
    reader_: TableReader
    numbers_: NumberEncoder | None
    categories_: CategoryEncoder | None
    means_: TargetMeans | None

    def __init__(self, encoding: str = "auto", random_state: int = 0) -> None:
        self.encoding = encoding
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def fit(
        self,
        X: Any,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> TableEncoder:
        """Learn the kinds of the columns and how to encode each.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A validated table.
        y : ndarray of shape (n_rows,) or (n_rows, n_targets), optional
            Class codes (integers), or numbers: standardised targets, or labels of 0
            and 1. Without it no column is encoded by the target.
        sample_weight : ndarray of shape (n_rows,), optional
            For the means of the target; a row of weight 2 counts as two rows.

        Returns
        -------
        TableEncoder
            Itself.
        """
        target, weight = _as_target(y), _as_weight(sample_weight)
        self._learn(X, target, weight, stays_sparse(X))
        return self

    def fit_table(
        self,
        X: Any,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
        keeps_sparse: bool | None = None,
    ) -> EncodedTable:
        """Learn from a table and encode it, for training on any of its rows.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A validated table.
        y : ndarray of shape (n_rows,) or (n_rows, n_targets), optional
            As for `fit`.
        sample_weight : ndarray of shape (n_rows,), optional
            As for `fit`.
        keeps_sparse : bool, optional
            Whether a sparse table is kept sparse, by default what `stays_sparse` says.

        Returns
        -------
        EncodedTable
            In float32.

        Raises
        ------
        TypeError, ValueError
            If a column holds neither numbers, nor dates, nor categories.
        """
        if keeps_sparse is None:
            keeps_sparse = stays_sparse(X)
        return self._fit_table(X, y, sample_weight, np.float32, keeps_sparse)

    def fit_transform(
        self,
        X: Any,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
        dtype: npt.DTypeLike = np.float64,
    ) -> Matrix:
        """Learn from a table and encode it.

        What is known of the target from a category comes from other rows here, so that
        no row's target shows in its own columns; `transform` takes all rows.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A validated table.
        y : ndarray of shape (n_rows,) or (n_rows, n_targets), optional
            As for `fit`.
        sample_weight : ndarray of shape (n_rows,), optional
            As for `fit`.
        dtype : dtype, default=np.float64
            Of the result.

        Returns
        -------
        ndarray or csr_array of shape (n_rows, n_features_out_)
            Finite numbers; a DataFrame if `set_output` says so. Sparse if the table of
            ``fit`` was kept so; a DataFrame of it is refused.
        """
        keeps_sparse = stays_sparse(X)
        return self._fit_table(X, y, sample_weight, dtype, keeps_sparse).all_rows()

    def transform(self, X: Any, dtype: npt.DTypeLike = np.float64) -> Matrix:
        """Check that a table has the columns of ``fit``, and encode it.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A table with the columns of ``fit``.
        dtype : dtype, default=np.float64
            Of the result; everything before is computed with 64 bits.

        Returns
        -------
        ndarray or csr_array of shape (n_rows, n_features_out_)
            Finite numbers; a DataFrame if `set_output` says so. Sparse if the table of
            ``fit`` was kept so; a DataFrame of it is refused.

        Raises
        ------
        ValueError
            If the columns are others, or hold something else than in ``fit``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, skip_check_array=True)
        return self.encode(X, dtype)

    def encode(self, X: Any, dtype: npt.DTypeLike = np.float64) -> Matrix:
        """Encode a validated table, never as a DataFrame.

        Parameters
        ----------
        X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
            A table with the columns of ``fit``.
        dtype : dtype, default=np.float64
            Of the result.

        Returns
        -------
        ndarray or csr_array of shape (n_rows, n_features_out_)
            Finite numbers.

        Raises
        ------
        ValueError
            If a column holds something else than in ``fit``.
        """
        numbers, texts = self.reader_.read(X)
        if isinstance(self.numbers_, SparseNumberEncoder):
            return self.numbers_.transform_sparse(as_csr(numbers), dtype)
        if self.categories_ is None or texts is None:
            return self._encode(numbers, None, dtype)
        codes = self.categories_.encode(texts)
        encoded = self._encode(numbers, codes, dtype)
        if self.means_ is not None:
            means = self.means_.transform(codes[:, self.categories_.large_columns_])
            encoded[:, -self.means_.n_features_out :] = means
        return encoded

    def get_feature_names_out(
        self, input_features: Sequence[str] | None = None
    ) -> np.ndarray:
        """Name the columns of the encoded table.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns of the table. By default those of the DataFrame of
            ``fit``, or ``x0``, ``x1`` ... where it was none.

        Returns
        -------
        ndarray of str of shape (n_features_out_,)
            Such as ``age``, ``age_ramp0``, ``age_missing``, ``when_day_of_week_sin``,
            ``city_Rome``, ``city_missing``, ``city_infrequent``, and ``city_target_1``
            for the mean of the target of that number, or the share of that class.
        """
        check_is_fitted(self)
        names = [str(name) for name in check_feature_names_in(self, input_features)]
        encoded: list[str] = []
        if self.numbers_ is not None:
            encoded += self.numbers_.feature_names(self.reader_.number_names(names))
        if self.categories_ is not None:
            of_texts = [names[position] for position in self.reader_.text_positions]
            encoded += self.categories_.feature_names(of_texts)
            if self.means_ is not None:
                large = [of_texts[i] for i in self.categories_.large_columns_]
                encoded += self.means_.feature_names(large)
        return np.array(_unique(encoded), dtype=object)

    def restrict(self, view: str) -> None:
        """Encode only the columns of a view from now on.

        Parameters
        ----------
        view : str
            A key of `views_`; it becomes the only one.
        """
        # Of two views, the smaller one is that without ramps.
        n_features = len(self.views_[view])
        if self.numbers_ is not None and n_features < self.n_features_out_:
            self.numbers_.ramps_ = None
        self.n_features_out_ = n_features
        self.views_ = {view: np.arange(n_features)}

    @property
    def kinds_(self) -> list[str]:
        """What each column of the table holds."""
        return self.reader_.kinds_

    @property
    def ramps_(self) -> RampEncoder | None:
        """What adds ramps to the numeric columns, None where nothing does."""
        return None if self.numbers_ is None else self.numbers_.ramps_

    @property
    def is_mixed(self) -> bool:
        """Whether columns of the table are not all plain numbers."""
        return not self.reader_.is_plain

    def _fit_table(
        self,
        X: Any,
        y: np.ndarray | None,
        sample_weight: np.ndarray | None,
        dtype: npt.DTypeLike,
        keeps_sparse: bool,
    ) -> EncodedTable:
        y, sample_weight = _as_target(y), _as_weight(sample_weight)
        # What was read in order to learn is encoded, not read again.
        numbers, codes = self._learn(X, y, sample_weight, keeps_sparse)
        if isinstance(self.numbers_, SparseNumberEncoder):
            return EncodedTable(self.numbers_.transform_sparse(numbers, dtype))
        encoded = self._encode(numbers, codes, dtype)
        if self.categories_ is None or codes is None:
            return EncodedTable(encoded)
        large = codes[:, self.categories_.large_columns_]
        return EncodedTable(encoded, large, y, self.means_, sample_weight)

    def _learn(
        self,
        X: Any,
        y: np.ndarray | None,
        sample_weight: np.ndarray | None,
        keeps_sparse: bool,
    ) -> tuple[Any, np.ndarray | None]:
        """Learn everything; return the numbers of the table and its codes."""
        validate_data(self, X, skip_check_array=True)
        self.reader_ = TableReader()
        self.numbers_ = self.categories_ = self.means_ = None
        numbers, texts = self.reader_.fit(X)
        codes = None
        if numbers is not None and keeps_sparse:
            numbers = as_csr(numbers)
            self.numbers_ = SparseNumberEncoder(self.encoding).fit_sparse(numbers)
        elif numbers is not None:
            numbers = as_float64(numbers)
            self.numbers_ = NumberEncoder(self.encoding).fit(
                numbers, self.reader_.n_whole, self.reader_.date_columns
            )
        if texts is not None:
            self.categories_ = CategoryEncoder()
            codes = self.categories_.fit(texts)
            self.means_ = self._fit_means(self.categories_, codes, y, sample_weight)
        warn_of_text(X, self.reader_, self.categories_)
        # The order of the encoded columns: numbers, ramps, indicators; one column per
        # category; means of the target.
        parts = (self.numbers_, self.categories_, self.means_)
        self.n_features_out_ = sum(p.n_features_out for p in parts if p is not None)
        self.views_ = self._views()
        return numbers, codes

    def _fit_means(
        self,
        categories: CategoryEncoder,
        codes: np.ndarray,
        y: np.ndarray | None,
        sample_weight: np.ndarray | None,
    ) -> TargetMeans | None:
        """Learn the means of the target in columns of many categories."""
        large = categories.large_columns_
        if y is None or not len(large) or not _can_be_learned(y):
            return None
        sizes = [len(categories.codes_[column]) + 1 for column in large]
        means = TargetMeans(sizes, y, self.random_state)
        return means.fit(codes[:, large], y, sample_weight)

    def _views(self) -> dict[str, np.ndarray]:
        everything = np.arange(self.n_features_out_)
        if self.numbers_ is None or self.ramps_ is None:
            return {self.encoding.replace("auto", "scale"): everything}
        if self.encoding != "auto":
            return {self.encoding: everything}
        begin = len(self.numbers_.scaler_.center_)
        ramps = np.arange(begin, begin + self.numbers_.n_ramps)
        return {"piecewise": everything, "scale": np.setdiff1d(everything, ramps)}

    def _encode(
        self, numbers: Any, codes: np.ndarray | None, dtype: npt.DTypeLike
    ) -> np.ndarray:
        """Encode what does not depend on y; the last columns may stay empty."""
        n_rows = len(codes) if codes is not None else numbers.shape[0]
        # Of the wanted dtype from the start: only a chunk is ever held with 64 bits.
        encoded = np.empty((n_rows, self.n_features_out_), dtype=dtype)
        chunk = max(_CHUNK // max(self.n_features_out_, 1), 1)
        for start in range(0, n_rows, chunk):
            rows = slice(start, start + chunk)
            rest = encoded[rows]  # Views: each part writes the columns at the left.
            if self.numbers_ is not None:
                n_columns = self.numbers_.n_features_out
                self.numbers_.transform(as_float64(numbers[rows]), rest[:, :n_columns])
                rest = rest[:, n_columns:]
            if self.categories_ is not None and codes is not None:
                n_columns = self.categories_.n_features_out
                self.categories_.one_hot(codes[rows], rest[:, :n_columns])
        return encoded


def _as_target(y: Any) -> np.ndarray | None:
    """Return class codes as they are, and numbers with two axes."""
    if y is None:
        return None
    target: np.ndarray = np.asarray(y)
    is_codes = target.ndim == 1 and target.dtype.kind in "iu"
    return target if is_codes else target.reshape(len(target), -1)


def _as_weight(sample_weight: Any) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weight: np.ndarray = np.asarray(sample_weight, dtype=np.float64)
    return weight


def _can_be_learned(y: np.ndarray) -> bool:
    """Tell targets whose means in other rows say something."""
    if y.ndim > 1:
        return len(y) >= N_PARTS and bool((y != y[0]).any())
    counts = np.bincount(y)
    # One class needs no shares, and of classes that all have fewer rows than there are
    # parts too little can be learned from other rows.
    return len(counts) > 1 and counts.max() >= N_PARTS


def _unique(names: list[str]) -> list[str]:
    """Tell equal names apart: a category may be called 'missing', say."""
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i] in taken:
            number += 1
            names[i] = f"{name}_{number}"
        taken.add(names[i])
    return names
