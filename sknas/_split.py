"""The rows that measure, apart from those that train."""

from __future__ import annotations

import math
import warnings

import numpy as np
from sklearn.model_selection import train_test_split


def split_rows(
    y: np.ndarray, validation_fraction: float, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into training and validation, stratified as far as possible.

    Every class is trained on. A class of one row is not validated; a table of one row
    is trained and validated on it.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Class codes from 0.
    validation_fraction : float
        Share of the validation rows, at least one a class where there are two.
    random_state : int
        Seed.

    Returns
    -------
    training : ndarray of int
        Positions of rows.
    validation : ndarray of int
        Positions of rows.
    """
    rows = np.arange(len(y))
    n_validation = math.ceil(validation_fraction * len(y))
    if len(y) == 1:
        warnings.warn(
            "X has one row: architectures are validated on the row they are trained on.",
            UserWarning,
            stacklevel=3,
        )
        return rows, rows
    is_single = np.bincount(y)[y] == 1
    if is_single.any():
        warnings.warn(
            f"The validation split cannot be stratified: {is_single.sum()} class(es) "
            "have only one row, which is kept for training.",
            UserWarning,
            stacklevel=3,
        )
    if is_single.all():
        training, validation = train_test_split(
            rows, test_size=min(n_validation, len(y) - 1), random_state=random_state
        )
        return training, validation
    single, several = rows[is_single], rows[~is_single]
    n_classes = len(np.unique(y[several]))
    training, validation = train_test_split(
        several,
        test_size=min(max(n_validation, n_classes), len(several) - n_classes),
        stratify=y[several],
        random_state=random_state,
    )
    return np.concatenate([training, single]), validation
