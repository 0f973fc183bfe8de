"""What users give, checked in scikit-learn's words."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from sknas._sklearn import InvalidParameterError
from sknas._space import ACTIVATIONS, Architecture, SearchSpace, canonical_activation
from sknas._table.columns import is_mixed_table

# Architectures differ by a percent or less: the standard error of an accuracy of 0.9
# measured on so many rows is one percent, of the difference of two networks half.
_ENOUGH_VALIDATION_ROWS = 1000
_MAX_SPLITS = 5


def _invalid(estimator: Any, parameter: str, rule: str) -> InvalidParameterError:
    return InvalidParameterError(
        f"The {parameter!r} parameter of {type(estimator).__name__} must be {rule}. "
        f"Got {getattr(estimator, parameter)!r} instead."
    )


def check_space(estimator: Any) -> SearchSpace:
    """Build the search space from an estimator's parameters.

    Parameters
    ----------
    estimator : estimator
        Has ``layer_widths``, ``activations``, ``max_layers`` and ``dropout``.

    Returns
    -------
    SearchSpace
        With dropout where its share is not 0.

    Raises
    ------
    InvalidParameterError
        If widths or activations are empty, repeated or unknown.
    """
    widths: list[Any] = list(estimator.layer_widths)
    if (
        not widths
        or not all(_is_width(width) for width in widths)
        or len(set(widths)) < len(widths)
    ):
        rule = "a non-empty sequence of different integers >= 1"
        raise _invalid(estimator, "layer_widths", rule)
    names = [canonical_activation(name) for name in estimator.activations]
    if (
        not names
        or not all(name in ACTIVATIONS for name in names)
        or len(set(names)) < len(names)
    ):
        rule = f"a non-empty sequence of different names of {list(ACTIVATIONS)}"
        raise _invalid(estimator, "activations", rule)
    return SearchSpace(
        tuple(int(width) for width in widths),
        tuple(str(name) for name in names),
        int(estimator.max_layers),
        dropout=estimator.dropout > 0,
    )


def _is_width(value: object) -> bool:
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and int(value) >= 1  # type: ignore[call-overload]


def check_first_architecture(estimator: Any, space: SearchSpace) -> Architecture | None:
    """Turn the parameter ``first_architecture`` into an architecture of the space.

    Parameters
    ----------
    estimator : estimator
        Has ``first_architecture``.
    space : SearchSpace
        Of the same estimator.

    Returns
    -------
    Architecture or None
        None where there is to be none.

    Raises
    ------
    InvalidParameterError
        If it is malformed or not in the space.
    """
    first = estimator.first_architecture
    if first is None:
        return None
    if isinstance(first, str):
        return space.strong_architecture()
    if not isinstance(first, Architecture):
        try:
            first = Architecture(*first)
        except ValueError as error:
            rule = (
                "None, 'auto', an Architecture or a sequence of its layers, such as "
                "((64, 'relu'), 'dropout')"
            )
            raise _invalid(estimator, "first_architecture", rule) from error
    if first not in space:
        rule = (
            f"in the search space: widths of layer_widths={space.layer_widths}, "
            f"activations of activations={space.activations}, 'dropout' only if "
            f"dropout > 0, and at most max_layers - 1 = {space.max_layers - 1} layers"
        )
        raise _invalid(estimator, "first_architecture", rule)
    return first


def check_n_splits(estimator: Any, n_rows: int) -> int:
    """Turn the parameter ``n_splits`` into a number.

    Parameters
    ----------
    estimator : estimator
        Has ``n_splits`` and ``validation_fraction``.
    n_rows : int
        Rows of the table.

    Returns
    -------
    int
        For ``'auto'`` as many as measure on enough rows, if there are as many.

    Raises
    ------
    InvalidParameterError
        If the validation rows of different splits could not be different ones.
    """
    fraction = estimator.validation_fraction
    most = max(int(1 / fraction + 1e-9), 1)
    n_splits = estimator.n_splits
    if isinstance(n_splits, str):
        enough = math.ceil(_ENOUGH_VALIDATION_ROWS / max(fraction * n_rows, 1))
        return int(min(enough, most, _MAX_SPLITS))
    if n_splits > most:
        rule = (
            "'auto' or at most 1 / validation_fraction, since the splits validate on "
            f"different rows: {most} for validation_fraction={fraction}"
        )
        raise _invalid(estimator, "n_splits", rule)
    return int(n_splits)


def check_epoch_fractions(estimator: Any) -> None:
    """Check the parameter ``epoch_fractions``.

    Parameters
    ----------
    estimator : estimator
        Has ``epoch_fractions``.

    Raises
    ------
    InvalidParameterError
        If it is empty or a value is no fraction.
    """
    fractions: list[Any] = list(estimator.epoch_fractions)
    are_fractions = (isinstance(f, Real) and 0 < float(f) <= 1 for f in fractions)
    if not fractions or not all(are_fractions):
        raise _invalid(estimator, "epoch_fractions", "numbers in (0, 1], at least one")


def check_table(
    estimator: Any, X: Any, *, reset: bool, has_categories: bool = False
) -> Any:
    """Validate X as far as possible by scikit-learn's own checks.

    Parameters
    ----------
    estimator : estimator
        Named by errors; gets ``n_features_in_`` and ``feature_names_in_``.
    X : array-like, sparse matrix or DataFrame
        What the user gave.
    reset : bool
        True in ``fit``; False compares with what ``fit`` saw.
    has_categories : bool, default=False
        Whether ``fit`` saw categories. A DataFrame then keeps the dtype of each column
        even if all are numbers now: True must not become 1.0 where it is a category.

    Returns
    -------
    ndarray, CSR matrix or DataFrame of shape (n_rows, n_columns)
        A DataFrame, or an array of objects, only if not all columns are plain numbers.
    """
    if isinstance(X, (list, tuple)):
        array = np.asarray(X)
        # numpy turns the numbers of a mixed list into text.
        X = np.asarray(X, dtype=object) if array.dtype.kind in "US" else array
    keeps_columns = has_categories and hasattr(X, "iloc") and X.ndim == 2
    if not (keeps_columns or is_mixed_table(X)):
        return validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            ensure_all_finite="allow-nan",
        )
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "OUS":
            X = check_array(
                X, dtype=object, ensure_all_finite=False, estimator=estimator
            )
    elif 0 in X.shape:
        kind = "sample(s)" if X.shape[0] == 0 else "feature(s)"
        raise ValueError(
            f"Found array with 0 {kind} (shape={X.shape}) while a minimum of 1 is "
            f"required by {type(estimator).__name__}."
        )
    return validate_data(estimator, X, reset=reset, skip_check_array=True)


def check_class_labels(estimator: Any, X: Any, y: Any) -> np.ndarray:
    """Validate the labels of a classifier.

    Parameters
    ----------
    estimator : estimator
        Named by errors.
    X : array-like
        The table that the labels belong to.
    y : array-like of shape (n_rows,)
        What the user gave.

    Returns
    -------
    ndarray of shape (n_rows,)
        Labels of classes.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but "
            "the target y is None."
        )
    y = column_or_1d(y, warn=True)
    check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=estimator)
    check_consistent_length(X, y)
    check_classification_targets(y)
    target: np.ndarray = y
    return target
