"""Tables as users give them, checked by scikit-learn as far as it goes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sknas._fit.copies import keys_of, merge_copies
from sknas._sklearn import check_sample_weight, safe_indexing
from sknas._table.reading.tables import column_of, is_mixed_table
from sknas._tasks.task import Task
from sknas._warnings import warn


def check_table(
    estimator: Any, X: Any, *, reset: bool, keeps_columns: bool = False
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
    keeps_columns : bool, default=False
        Whether ``fit`` saw more than plain numbers. A DataFrame then keeps the dtype of
        each column even if all are numbers now: True must not become 1.0 where it is a
        category, and a date is missed by the name of its column.

    Returns
    -------
    ndarray, CSR matrix or DataFrame of shape (n_rows, n_columns)
        A DataFrame, or an array of objects, only if not all columns are plain numbers.
    """
    if isinstance(X, (list, tuple)):
        array = np.asarray(X)
        # numpy turns the numbers of a mixed list into text.
        X = np.asarray(X, dtype=object) if array.dtype.kind in "US" else array
    if hasattr(X, "collect") and type(X).__module__.startswith("polars."):
        raise ValueError(f"X is a {type(X).__name__} of polars. Give X.collect().")
    keeps_columns = keeps_columns and hasattr(X, "iloc") and X.ndim == 2
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


def check_weights(X: Any, sample_weight: Any) -> np.ndarray | None:
    """Validate weights of rows.

    Parameters
    ----------
    X : ndarray, CSR matrix or DataFrame of shape (n_rows, n_columns)
        The table that the weights belong to.
    sample_weight : array-like of shape (n_rows,), number or None
        What the user gave.

    Returns
    -------
    float64 array of shape (n_rows,) or None
        None if there are no weights.

    Raises
    ------
    ValueError
        If a weight is negative, missing or infinite, if all are zero, or if there is
        not one for each row.
    """
    if sample_weight is None:
        return None
    weights: np.ndarray = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError(
            "sample_weight must have an entry above 0. All sample weights are zero."
        )
    return weights


def unit_of(weights: np.ndarray | None) -> float:
    """Return the largest weight, 1 without weights: weights are divided by it.

    Sums of large weights would overflow.
    """
    return 1.0 if weights is None else float(weights.max())


def total_weight(task: Task) -> float:
    """Return the sum of the rows' weights, 1 each where there are none."""
    weights = task.sample_weight
    return float(task.n_rows if weights is None else weights.sum())


def rows_to_train(
    estimator: Any,
    X: Any,
    task: Task,
    sample_weight: np.ndarray | None,
    *,
    keeps_classes: bool,
) -> tuple[np.ndarray | None, Task]:
    """Leave out rows without weight, and rows that are copies of others.

    A row without weight is as good as none: it must not even be encoded.

    Parameters
    ----------
    estimator : estimator
        Named by errors.
    X : ndarray, CSR matrix or DataFrame of shape (n_rows, n_columns)
        The validated table.
    task : Task
        Its target.
    sample_weight : ndarray of shape (n_rows,) or None
        What the user gave.
    keeps_classes : bool
        Whether the task keeps classes that no row has.

    Returns
    -------
    rows : ndarray of int or None
        Positions of the rows that are left; None for all.
    task : Task
        Of these rows.

    Raises
    ------
    ValueError
        If no row has a weight above 0.
    """
    rows = None
    if task.sample_weight is not None and not task.sample_weight.all():
        rows = _positive_rows(estimator, task.sample_weight)
        X, task = safe_indexing(X, rows), _part(task, rows, keeps_classes)
        sample_weight = None if sample_weight is None else sample_weight[rows]
    merged = merge_copies(X, task, sample_weight, keeps_classes=keeps_classes)
    if merged is None:
        return rows, task
    firsts, task = merged
    return firsts if rows is None else rows[firsts], task


def _part(task: Task, rows: np.ndarray, keeps_classes: bool) -> Task:
    return task.subset(rows) if keeps_classes else task.restrict(rows)


def _positive_rows(estimator: Any, weights: np.ndarray) -> np.ndarray:
    """Return the positions of the rows that have a weight above 0.

    Raises
    ------
    ValueError
        If there is none.
    """
    rows = np.flatnonzero(weights)
    if not len(rows):
        raise ValueError(
            f"A row given to {type(estimator).__name__}.fit must have a weight above "
            "0, by sample_weight and by class_weight. All weights are zero."
        )
    return rows


def check_same_target(estimator: Any, task: Task) -> None:
    """Refuse a target that the networks of an earlier fit do not predict.

    Raises
    ------
    ValueError
        If the classes, or the numbers of outputs, are others.
    """
    classes = task.attributes().get("classes_")
    if classes is not None and not np.array_equal(classes, estimator.classes_):
        raise ValueError(
            "warm_start=True continues with the classes of the last fit alone: y must "
            f"have the classes {estimator.classes_}. Got {classes} instead."
        )
    was = estimator.n_outputs_, estimator.out_activation_
    output = task.output.n_outputs, task.output.name
    if output != was:
        raise ValueError(
            "warm_start=True continues with the outputs of the last fit alone: y must "
            f"have {was[0]} with the activation {was[1]!r}. Got {output[0]} with "
            f"{output[1]!r} instead."
        )


def warn_of_constants(X: Any) -> None:
    """Warn of columns of a DataFrame that a first batch tells nothing of.

    In arrays they are nothing special: images have many.

    Parameters
    ----------
    X : ndarray, CSR matrix or DataFrame of shape (n_rows, n_columns)
        The validated table of the batch.
    """
    if isinstance(X, np.ndarray) or issparse(X) or X.shape[0] < 2:
        return
    columns = [column_of(X, position) for position in range(X.shape[1])]
    names = [c.name for c in columns if (keys_of(c) == keys_of(c)[0]).all()]
    if names:
        warn(
            f"The first batch has one value in all rows of the columns {names}: what "
            "later batches hold there is not learned from."
        )
