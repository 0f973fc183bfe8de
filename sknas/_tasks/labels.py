"""Labels as users give them: their kinds, their weights, and which are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def positions_of(
    estimator: Any, present: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return where the labels of a batch stand among all classes."""
    known = {label: position for position, label in enumerate(classes.tolist())}
    unknown = [label for label in present.tolist() if label not in known]
    if unknown:
        raise ValueError(
            f"y of {type(estimator).__name__}.partial_fit must have labels of "
            f"classes={classes.tolist()!r}, those of the first call. Got {unknown!r} "
            "besides."
        )
    return np.array([known[label] for label in present.tolist()], dtype=np.int64)


def weights_of_classes(
    class_weight: Mapping[Any, float] | str,
    classes: np.ndarray,
    codes: np.ndarray,
    sample_weight: np.ndarray | None,
) -> np.ndarray:
    """Return a weight for each class, 1 at most."""
    if isinstance(class_weight, Mapping):
        labels = classes.tolist()
        unknown = [label for label in class_weight if label not in labels]
        unnamed = [label for label in labels if label not in class_weight]
        # Where all are named, others may be missing from a part of the rows only.
        if unknown and unnamed:
            raise ValueError(
                f"class_weight must name labels of y. It names {unknown}, which are "
                f"none, and not {unnamed}. Got {class_weight!r} instead."
            )
        weights = np.array([class_weight.get(label, 1.0) for label in labels])
    else:
        # 'balanced': a row of weight 2 counts as two rows here too.
        totals = np.bincount(codes, sample_weight, minlength=len(classes))
        weights = np.zeros(len(classes))
        shares = len(classes) * totals
        np.divide(totals.sum(), shares, out=weights, where=totals > 0)
    if not (weights >= 0).all() or not np.isfinite(weights).all():
        raise ValueError(
            "class_weight must have no negative and no infinite value. Got "
            f"{class_weight!r} instead."
        )
    relative: np.ndarray = weights / (weights.max() or 1.0)
    return relative


def as_label_array(y: Any) -> Any:
    """Turn pandas' own kinds of columns into numpy's, and refuse missing labels.

    scikit-learn would turn nullable integers into floats.
    """
    if type(y).__module__.startswith("polars"):
        y = y.to_numpy()
    is_frame = hasattr(y, "iloc") and getattr(y, "ndim", 1) == 2
    if is_frame and y.shape[1] == 1:
        # Still a column, of which scikit-learn warns.
        return np.asarray(as_label_array(y.iloc[:, 0]))[:, None]
    if hasattr(y, "isna") and not is_frame:
        _refuse_missing(np.asarray(y.isna(), dtype=bool))
        # A nullable type names the NumPy type that holds its values.
        return np.asarray(y, dtype=getattr(y.dtype, "numpy_dtype", None))
    # NumPy would turn a NaN among strings into the label 'nan'.
    if isinstance(y, (list, tuple)) or getattr(y, "dtype", None) == object:
        _refuse_missing(np.array([_is_missing(label) for label in y], dtype=bool))
    return y


def _is_missing(label: object) -> bool:
    if isinstance(label, (float, np.floating)):
        return math.isnan(label)
    # By name, since pandas need not be installed.
    return label is None or type(label).__name__ in ("NAType", "NaTType")


def _refuse_missing(missing: np.ndarray) -> None:
    if missing.any():
        raise ValueError(
            f"Input y contains NaN, None or pd.NA in {missing.sum()} of {len(missing)} "
            f"rows, the first at position {missing.argmax()}. Drop these rows or give "
            "them a label of their own."
        )
