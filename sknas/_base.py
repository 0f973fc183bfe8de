"""What every estimator shares: validate, run the stages, publish."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sknas._budget import Budget
from sknas._interrupts import deferred_interrupts
from sknas._random import SeedSource

# Everything that needs torch is imported by the methods that train, so that neither
# importing this package nor predicting from a pickle pays for it.
if TYPE_CHECKING:
    from sknas._fit.stages import FitResult
    from sknas._tasks.task import Task


class BaseNASMLP(BaseEstimator):
    """Base of the estimators; a subclass brings the parameters and the task."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def set_params(self, **params: Any) -> BaseNASMLP:
        """Set parameters of this estimator, and of a strategy that is an object.

        Parameters
        ----------
        **params : dict
            Values by the names of the parameters.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            If there is no such parameter, or `search_strategy` is a name and has none.
        """
        strategy = params.get("search_strategy", self.search_strategy)
        nested = [name for name in params if name.startswith("search_strategy__")]
        if nested and isinstance(strategy, str):
            raise ValueError(
                f"{nested[0]!r} cannot be set, since search_strategy={strategy!r} is a "
                "name. Give an object, such as search_strategy=ReinforceStrategy(), to "
                "set its parameters."
            )
        super().set_params(**params)
        return self

    def _make_task(self, X: Any, y: Any) -> Task:
        """Validate y and return the task that it sets."""
        raise NotImplementedError

    def _fit(self, X: Any, y: Any) -> None:
        """Fit, and publish only when there is something to publish.

        What an earlier fit has left stays as it is until then: a fit that fails spoils
        nothing. After an interrupt the best there is is published before it goes on.
        """
        # The time counts from here: the first import of torch takes seconds.
        budget = Budget(self.max_time, began=time.monotonic())
        before = dict(self.__dict__)
        try:
            result, device = self._run_stages(X, y, budget)
        except BaseException:
            self._restore(before)
            raise
        # Ctrl-C has nothing to stop any more; it is raised when all is published.
        with deferred_interrupts():
            try:
                attributes = {**self._attributes(result), "device_": str(device)}
            except Exception:
                self._restore(before)
                raise
            # Everything at once: an estimator is never half an old one.
            self._forget(before)
            self.__dict__.update(attributes)
        if result.interrupt is not None:
            raise result.interrupt

    def _run_stages(self, X: Any, y: Any, budget: Budget) -> tuple[FitResult, Any]:
        """Validate everything, then run the stages."""
        with deferred_interrupts():
            from sknas._fit.settings import read_settings
            from sknas._fit.stages import Fit
            from sknas._fit.validation import check_table

        # What is cheap to check comes first, and all of it before any training.
        settings = read_settings(self)
        table = check_table(self, X, reset=True)
        task = self._make_task(table, y)
        seeds = SeedSource(self.random_state)
        fit = Fit(settings, table, X, task, seeds=seeds, budget=budget)
        return fit.run(), settings.device

    def _restore(self, before: dict[str, Any]) -> None:
        """Make this estimator what it was before `fit`."""
        self.__dict__.clear()
        self.__dict__.update(before)

    def _forget(self, before: dict[str, Any]) -> None:
        """Delete what an earlier fit has left, but for what X has just been given."""
        parameters = self.get_params(deep=False)
        for name in set(before) - set(parameters):
            # `n_features_in_` and `feature_names_in_` are of this fit already.
            if name.endswith("_") and not name.endswith("_in_"):
                delattr(self, name)

    def _attributes(self, result: FitResult) -> dict[str, Any]:
        """Return the fitted attributes."""
        choice, networks, history = result.choice, result.networks, result.history
        if hasattr(self, "feature_names_in_"):
            # A plain DataFrame has lost them on its way to the encoder.
            result.encoder.feature_names_in_ = self.feature_names_in_
        # What `MLPClassifier` publishes of its one network.
        strongest = result.ensemble.members[0]
        return {
            **result.task.attributes(),
            "encoder_": result.encoder,
            "search_results_": history.trials_to_dict(),
            "round_results_": history.rounds_to_dict(),
            "finalist_results_": history.finalists_to_dict(choice.position),
            "best_index_": choice.index,
            "best_score_": choice.score,
            "best_architecture_": choice.evaluation.architecture,
            "score_bound_": result.score_bound,
            "ensemble_": result.ensemble,
            "temperature_": result.ensemble.temperature,
            "out_activation_": result.ensemble.out_activation,
            "n_outputs_": result.task.output.n_outputs,
            "n_iter_": networks.n_iter,
            "t_": networks.n_iter * networks.trained[0].n_rows,
            "loss_curve_": networks.loss_curve,
            "loss_": networks.loss_curve[-1],
            "best_loss_": min(networks.loss_curve),
            "validation_scores_": choice.evaluation.validation_scores,
            "best_validation_score_": max(choice.evaluation.validation_scores),
            "search_time_": result.search_time,
            "refit_time_": result.refit_time,
            "interrupted_": result.interrupted_stage,
            "coefs_": strongest.coefs,
            "intercepts_": strongest.intercepts,
            "n_layers_": len(strongest.coefs) + 1,
        }

    def _log_probabilities(self, X: Any) -> np.ndarray:
        """Predict the logarithms of the classes' probabilities."""
        from sknas._fit.validation import check_table

        check_is_fitted(self, "ensemble_")
        X = check_table(self, X, reset=False, keeps_columns=self.encoder_.is_mixed)
        encoded = self.encoder_.encode(X)
        log_probabilities: np.ndarray = self.ensemble_.predict_log_proba(encoded)
        return log_probabilities
