"""What every estimator shares: validate, run the stages, publish."""

from __future__ import annotations

import math
import time
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from sknas._budget import Budget
from sknas._interrupts import deferred_interrupts
from sknas._mlp_parameters import MLPParametersMixin
from sknas._random import SeedSource
from sknas._search.strategies import STRATEGIES, SearchStrategy
from sknas._sklearn import HasMethods, Interval, Options, StrOptions, safe_indexing
from sknas._space import Architecture
from sknas._space.candidate import SETTINGS
from sknas._table.reading.tables import as_numpy
from sknas._typing import Matrix

# Everything that needs torch is imported by the methods that train, so that neither
# importing this package nor predicting from a pickle pays for it.
if TYPE_CHECKING:
    from typing import Self

    from torch import nn

    from sknas._fit.selection import Choice
    from sknas._fit.stages import FitResult
    from sknas._tasks.task import Task


# What a fit may leave that is no fitted attribute: for the next fit to continue.
_PRIVATE = ("_fit_record", "_continuation")


def parameters_of(architecture: Any) -> dict[str, Any]:
    """Return the parameters of a search whose only trial is one architecture."""
    if not isinstance(architecture, (Architecture, tuple, list)):
        raise TypeError(
            "architecture must be an Architecture or a sequence of its layers, "
            f"such as ((64, 'relu'), 'dropout'). Got {architecture!r} instead."
        )
    if not isinstance(architecture, Architecture):
        architecture = Architecture(*architecture)
    dense_layers = architecture.dense_layers
    return {
        # The smallest space that holds it.
        "layer_widths": tuple(sorted({width for width, _ in dense_layers})),
        "activations": tuple(sorted({name for _, name in dense_layers})),
        "max_layers": len(architecture.layers) + 1,
        "skip": any(architecture.skip_after),
        "first_architecture": architecture,
        "n_rounds": 1,
        "n_architectures": 1,
        "n_finalists": 1,
    }


class BaseNASMLP(MLPParametersMixin):
    """Base of the estimators; a subclass brings the parameters and the task."""

    # What `alpha='auto'` is where weight decay is decoupled.
    _auto_decay: ClassVar[float] = 0.3

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "layer_widths": ["array-like"],
        "activations": ["array-like"],
        "max_layers": [Interval(Integral, 2, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "skip": ["boolean"],
        "search_strategy": [
            StrOptions(set(STRATEGIES)),
            HasMethods(["setup", "ask", "tell"]),
        ],
        "objectives": ["array-like"],
        "select": [StrOptions({"best", "knee"}), callable],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "n_architectures": [Interval(Integral, 1, None, closed="left")],
        "search_epochs": [Interval(Integral, 1, None, closed="left")],
        "search_n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"extrapolation"}),
            None,
        ],
        "n_finalists": [Interval(Integral, 0, None, closed="left")],
        "n_ensemble": [Interval(Integral, 1, None, closed="left")],
        "first_architecture": [StrOptions({"auto"}), Architecture, tuple, list, None],
        "max_parameters": [Interval(Integral, 1, None, closed="left"), None],
        "weight_sharing": ["boolean"],
        "solver": [SETTINGS["solver"]],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "learning_rate": [SETTINGS["learning_rate"]],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "epoch_fractions": ["array-like"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_splits": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {math.inf}),
            None,
        ],
        "refit": [StrOptions({"scratch", "fine-tune"})],
        "scoring": [str, callable, None],
        "encoding": [StrOptions({"auto", "piecewise", "scale", "passthrough"})],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "device": [str],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
    }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    @classmethod
    def from_architecture(
        cls, architecture: Architecture | tuple[Any, ...], **parameters: Any
    ) -> Self:
        """Make an estimator whose `fit` trains one architecture, without a search.

        Parameters
        ----------
        architecture : Architecture or tuple
            The hidden layers.
        **parameters : dict
            Other parameters of the estimator, by their names.

        Returns
        -------
        estimator
            Not fitted. Its search has one trial, and its finalist is that.

        Raises
        ------
        ValueError
            If the architecture is malformed.

        Examples
        --------
        >>> from sknas import NASMLPClassifier
        >>> classifier = NASMLPClassifier.from_architecture(
        ...     ((64, "relu"), "dropout"), max_iter=30
        ... )
        >>> classifier.max_iter
        30
        """
        return cls(**{**parameters_of(architecture), **parameters})

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
            # Whether there is one of that name, `fit` finds out.
            own = STRATEGIES.get(strategy, SearchStrategy).__name__
            raise ValueError(
                f"{nested[0]!r} cannot be set, since search_strategy={strategy!r} is a "
                f"name. Give an object, such as search_strategy={own}(), to set its "
                "parameters."
            )
        super().set_params(**params)
        return self

    def to_torch(self) -> nn.Module:
        """Return what this fitted estimator computes, as a module of PyTorch.

        The module holds all members of the ensemble, the calibration and, for tables of
        plain numbers, the preprocessing. For other tables it takes what
        ``encoder_.transform(X)`` returns. It takes dense tensors, after a fit to a
        sparse matrix too: ``torch.from_numpy(X[rows].toarray())``.

        Returns
        -------
        torch.nn.Module
            Of float64. Called with a tensor of shape (n_rows, n_columns), it returns
            what ``predict_proba``, or of a regressor ``predict``, does for these rows,
            within 1e-6, always of shape (n_rows, n_outputs). It shares no memory with
            the estimator.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from sknas import NASMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = NASMLPClassifier(n_rounds=1, n_architectures=2, max_iter=2)
        >>> module = classifier.fit(X, y).to_torch()
        >>> p = module(torch.from_numpy(X)).detach().numpy()
        >>> bool(np.allclose(p, classifier.predict_proba(X), atol=1e-6))
        True
        """
        check_is_fitted(self, "ensemble_")
        from sknas._export.torch_module import TorchEstimator

        encoder = self.encoder_
        return TorchEstimator(
            self.ensemble_,
            None if encoder.is_mixed else encoder.numbers_,
            getattr(self, "target_scaler_", None),
        )

    def _make_task(
        self,
        X: Any,
        y: Any,
        sample_weight: np.ndarray | None,
        classes: np.ndarray | None = None,
    ) -> Task:
        """Validate y and return the task that it sets.

        ``classes`` are those of all batches; None takes those of y.
        """
        raise NotImplementedError

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        classes: np.ndarray | None = None,
        learns_on: bool = False,
    ) -> None:
        """Fit, and publish only when there is something to publish.

        What an earlier fit has left stays as it is until then: a fit that fails spoils
        nothing. After an interrupt, the best result so far is published before the
        interrupt is raised again.
        """
        # The time counts from here: the first import of torch takes seconds.
        budget = Budget(self.max_time, began=time.monotonic())
        before = dict(self.__dict__)
        try:
            result, device = self._run_stages(
                X, y, sample_weight, budget, classes, learns_on
            )
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

    def _run_stages(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        budget: Budget,
        classes: np.ndarray | None,
        learns_on: bool,
    ) -> tuple[FitResult, Any]:
        """Validate everything, then run the stages."""
        with deferred_interrupts():
            from sknas._fit.settings import read_settings
            from sknas._fit.stages import Fit
            from sknas._fit.validation import (
                check_same_target,
                check_table,
                check_weights,
                rows_to_train,
                total_weight,
                unit_of,
                warn_of_constants,
            )
            from sknas._fit.warm_start import FitRecord

        X, y, sample_weight = map(as_numpy, (X, y, sample_weight))
        # What is cheap to check comes first, and all of it before any training.
        settings = read_settings(
            self._parameter_values(), type(self).__name__, self._auto_decay
        )
        record = vars(self).get("_fit_record") if settings.warm_start else None
        earlier = None if record is None else FitRecord.from_bytes(record)
        table = check_table(self, X, reset=earlier is None)
        # Of some formats rows cannot be taken.
        X = table if issparse(X) else X
        weights = check_weights(table, sample_weight)
        unit = unit_of(weights)
        task = self._make_task(
            table, y, None if weights is None else weights / unit, classes
        )
        rows, reduced = rows_to_train(
            self, table, task, weights, keeps_classes=classes is not None
        )
        if rows is not None:
            X, table = safe_indexing(X, rows), safe_indexing(table, rows)
            unit *= total_weight(task) / total_weight(reduced)
        if earlier is not None:
            check_same_target(self, reduced)
        if learns_on:
            warn_of_constants(table)
        seeds = SeedSource(self.random_state) if earlier is None else earlier.seeds
        fit = Fit(
            settings,
            table,
            X,
            reduced,
            seeds=seeds,
            budget=budget,
            earlier=earlier,
            weight_unit=unit if learns_on else None,
        )
        return fit.run(), settings.device

    def _restore(self, before: dict[str, Any]) -> None:
        """Make this estimator what it was before `fit`."""
        self.__dict__.clear()
        self.__dict__.update(before)

    def _forget(self, before: dict[str, Any]) -> None:
        """Delete what an earlier fit has left, except what X's validation has set."""
        parameters = self.get_params(deep=False)
        for name in set(before) - set(parameters):
            # `n_features_in_` and `feature_names_in_` are of this fit already.
            is_fitted = name.endswith("_") and not name.endswith("_in_")
            if is_fitted or name in _PRIVATE:
                delattr(self, name)

    def _attributes(self, result: FitResult) -> dict[str, Any]:
        """Return the fitted attributes."""
        choice, networks, history = result.choice, result.networks, result.history
        if hasattr(self, "feature_names_in_"):
            # A plain DataFrame has lost them on its way to the encoder.
            result.encoder.feature_names_in_ = self.feature_names_in_
        # What `MLPClassifier` publishes of its one network.
        strongest = result.ensemble.members[0]
        record = None if result.record is None else result.record.to_bytes()
        private = {"_fit_record": record, "_continuation": result.continuation}
        return {
            **result.task.attributes(),
            # Of fits that are to be continued only.
            **{name: value for name, value in private.items() if value is not None},
            "encoder_": result.encoder,
            "search_results_": history.trials_to_dict(),
            "round_results_": history.rounds_to_dict(),
            "pareto_front_": result.front,
            "finalist_results_": history.finalists_to_dict(choice.position),
            "best_index_": choice.index,
            "best_score_": choice.score,
            "best_architecture_": choice.evaluation.architecture,
            "best_params_": self._best_params(choice),
            "ensemble_": result.ensemble,
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
            "continued_on_": result.continued_on,
            "coefs_": strongest.coefs,
            "intercepts_": strongest.intercepts,
            "n_layers_": len(strongest.coefs) + 1,
        }

    def _best_params(self, choice: Choice) -> dict[str, Any]:
        """Return what `from_architecture` needs to fit the choice again."""
        best: dict[str, Any] = {
            "architecture": choice.evaluation.architecture,
            **dict(choice.evaluation.candidate.settings),
            "encoding": choice.view,
        }
        if choice.position is None:
            epochs = {"search_epochs": choice.max_iter, "max_iter": self.max_iter}
            return {**best, **epochs, "n_finalists": 0}
        # The length of training that was chosen is the only one.
        return {**best, "max_iter": choice.max_iter, "epoch_fractions": (1.0,)}

    def _encode(self, X: Any) -> Matrix:
        """Validate a table to predict for, and encode it."""
        from sknas._fit.validation import check_table

        check_is_fitted(self, "ensemble_")
        keeps_columns = self.encoder_.is_mixed
        X = check_table(self, as_numpy(X), reset=False, keeps_columns=keeps_columns)
        encoded: Matrix = self.encoder_.encode(X)
        return encoded
