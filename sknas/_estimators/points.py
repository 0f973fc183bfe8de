"""Fitting to another point of the front that a search has found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sknas._base import BaseNASMLP, parameters_of
from sknas._sklearn import fit_context
from sknas._space.candidate import SETTINGS

# What the search has found, whichever of its points is trained.
_OF_THE_SEARCH = (
    "search_results_",
    "round_results_",
    "pareto_front_",
    "search_time_",
    "continued_on_",
    "_fit_record",
)


class FrontPoints(BaseNASMLP):
    """Trains any point of `pareto_front_`."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit_point(self, X: Any, y: Any, index: int, sample_weight: Any = None) -> Any:
        """Train another point of the front, without a new search.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table, as `fit` takes it: in general the one that it was given.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, as `fit` takes them.

        index : int
            The row of `pareto_front_`.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as `fit` takes them.

        Returns
        -------
        estimator
            Itself, which predicts with that architecture now. The record of the search
            stays, and `pareto_front_` with it, so that another row can be fitted later;
            all else is of this training. A row that was a finalist is trained for as
            many epochs as it was then, so that the row that `fit` chose comes to the
            same networks. There is no `score_bound_`.

        Raises
        ------
        ValueError
            If there is no such row, or if training fails as it may in `fit`.
        """
        check_is_fitted(self, "pareto_front_")
        point = self._fit_parameters(index)
        row = int(self.pareto_front_["index"][index])
        # In place of a search, a fit of its own: this estimator stays what it is until
        # there is something to predict with.
        other = clone(self).set_params(**point)
        try:
            other.fit(X, y, sample_weight)
        except KeyboardInterrupt:
            if hasattr(other, "ensemble_"):
                self._take_over(other, row)
            raise
        self._take_over(other, row)
        return self

    def _fit_parameters(self, index: int) -> dict[str, Any]:
        """Return the parameters that train a row of the front."""
        front = self.pareto_front_
        n_points = len(front["index"])
        is_integer = isinstance(index, (int, np.integer))
        if not is_integer or isinstance(index, bool) or not 0 <= index < n_points:
            raise ValueError(
                f"index must be the number of a row of pareto_front_, an integer in "
                f"[0, {n_points}). Got {index!r} instead."
            )
        parameters = {
            **parameters_of(front["architecture"][index]),
            **_settings_of(front, index),
            # The strategy may not be able to search the space of one architecture, and
            # has nothing to propose.
            "search_strategy": "random",
            "n_finalists": min(self.n_finalists, 1),
            "max_parameters": None,
            "objectives": ("score",),
            "select": "best",
            "warm_start": False,
        }
        n_epochs = int(front["finalist_max_iter"][index])
        if n_epochs:
            parameters |= {"max_iter": n_epochs, "epoch_fractions": (1.0,)}
        return parameters

    def _take_over(self, other: Any, row: int) -> None:
        """Take what another estimator was fitted to for that row of the record."""
        fitted = {
            name: value
            for name, value in vars(other).items()
            if name not in other.get_params(deep=False)
        }
        kept = {name: vars(self)[name] for name in _OF_THE_SEARCH if name in vars(self)}
        finalists = fitted["finalist_results_"]
        finalists["index"] = np.full_like(finalists["index"], row)
        own: dict[str, Any] = {"best_index_": row}
        # It was chosen for what it did on these rows.
        if "score_bound_" in fitted:
            own["score_bound_"] = np.nan
        for name in set(vars(self)) - set(self.get_params(deep=False)):
            delattr(self, name)
        for name, value in {**fitted, **kept, **own}.items():
            setattr(self, name, value)


def _settings_of(front: Mapping[str, np.ndarray], index: int) -> dict[str, Any]:
    """Return the settings that the candidate of a row has of its own."""
    found: dict[str, Any] = {}
    for name, constraint in SETTINGS.items():
        value = front[f"param_{name}"][index] if f"param_{name}" in front else math.nan
        if isinstance(value, str):
            found[name] = str(value)
        # NaN stands for the estimator's.
        elif not math.isnan(value):
            is_whole = getattr(constraint, "type", None) is Integral
            found[name] = int(value) if is_whole else float(value)
    return found
