"""The rows that measure, apart from those that train."""

from __future__ import annotations

import warnings

import numpy as np


def split_rows(
    y: np.ndarray, validation_fraction: float, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into training and validation, stratified as far as possible.

    Every class has rows on both sides, but a class of one row is only trained on. A
    table of one row is trained and validated on it.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Class codes from 0.
    validation_fraction : float
        Share of each class that is for validation: at least one row, but not all.
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
    if len(y) == 1:
        warnings.warn(
            "X has one row: architectures are validated on the row they are trained "
            "on.",
            UserWarning,
            stacklevel=4,
        )
        return rows, rows
    generator = np.random.default_rng(random_state)
    counts = np.bincount(y)
    if counts.max() == 1:
        warnings.warn(
            "The validation split cannot be stratified: every class has only one row.",
            UserWarning,
            stacklevel=4,
        )
        strata = [rows]
    else:
        if 1 in counts:
            warnings.warn(
                f"The validation split cannot be stratified: {(counts == 1).sum()} "
                "class(es) have only one row, which is kept for training.",
                UserWarning,
                stacklevel=4,
            )
        strata = [np.flatnonzero(y == code) for code in np.flatnonzero(counts)]
    # scikit-learn's splitters allot rows in proportion, which may leave a rare class
    # without any on one side.
    training, validation = [], []
    for stratum in strata:
        shuffled = generator.permutation(stratum)
        wanted = max(round(validation_fraction * len(stratum)), 1)
        n_validation = min(wanted, len(stratum) - 1)
        validation.append(shuffled[:n_validation])
        training.append(shuffled[n_validation:])
    return np.concatenate(training), np.concatenate(validation)
