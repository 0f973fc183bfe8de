"""Warnings that point at the user's line, however deep they come from."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from types import FrameType

import sklearn.base

# Beginnings of the names of files that are not the user's. scikit-learn's decorator of
# `fit` stands between the user's line and this package. With the separator: a script
# `sknas_app.py` beside the package is the user's.
_INSIDE = (f"{Path(__file__).parent}{os.sep}", str(sklearn.base.__file__))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of something, at the first line outside of this package.

    Parameters
    ----------
    message : str
        What the user should know.
    category : type, default=UserWarning
        Class of the warning.
    """
    level = 1
    frame: FrameType | None = sys._getframe(0)
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def describe(error: Exception) -> str:
    """Return an error's class and message, without a full stop at its end."""
    return f"{type(error).__name__}: {error}".rstrip(".")
