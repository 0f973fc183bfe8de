"""Learning from one batch of rows after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels

from sknas._budget import Budget
from sknas._estimators.points import FrontPoints
from sknas._interrupts import deferred_interrupts
from sknas._random import SeedSource
from sknas._sklearn import fit_context, safe_indexing
from sknas._space.candidate import SETTINGS
from sknas._table.reading.tables import as_numpy

if TYPE_CHECKING:
    from typing import Self

    from sknas._fit.continuation import Continuation, EncodedRows
    from sknas._tasks.task import Task


def _learns_by_batches(estimator: Any) -> bool:
    """Tell whether the solver of an estimator takes one batch after the other.

    Raises
    ------
    AttributeError
        If it does not, as in `MLPClassifier`.
    """
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is not available with solver='lbfgs', which sees all rows at "
            "each step. Choose 'adamw', 'adam' or 'sgd'."
        )
    return True


class BatchLearner(FrontPoints):
    """Fits to a first batch, and lets the networks learn on from the others."""

    def _continue_task(self, X: Any, y: Any, sample_weight: np.ndarray | None) -> Task:
        """Validate y and return the task that this estimator has been fitted to."""
        raise NotImplementedError

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, classes: np.ndarray | None = None
    ) -> None:
        if not hasattr(self, "ensemble_"):
            self._fit(X, y, sample_weight, classes, learns_on=True)
            return
        with deferred_interrupts():
            from sknas._fit.continuation import learn_on
            from sknas._fit.settings import read_settings

        budget = Budget(self.max_time, began=time.monotonic())
        # There is no search to show the progress of.
        parameters = {**self._parameter_values(), "verbose": False}
        settings = read_settings(parameters, type(self).__name__, self._auto_decay)
        batch, task = self._next_batch(X, y, sample_weight)
        if not len(batch):
            return
        lesson = learn_on(
            self.ensemble_, self._continued(), batch, task.output, settings, budget
        )
        loss_curve = [*self.loss_curve_, *lesson.loss_curve]
        strongest = lesson.ensemble.members[0]
        n_iter = len(lesson.loss_curve)
        attributes = {
            **task.attributes(),
            "_continuation": lesson.continuation,
            "ensemble_": lesson.ensemble,
            "coefs_": strongest.coefs,
            "intercepts_": strongest.intercepts,
            "loss_curve_": loss_curve,
            "loss_": loss_curve[-1],
            "best_loss_": min(loss_curve),
            "n_iter_": self.n_iter_ + n_iter,
            "t_": self.t_ + n_iter * lesson.n_rows,
        }
        # Everything at once: an estimator is never half an old one.
        self.__dict__.update(attributes)

    def _next_batch(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[EncodedRows, Task]:
        """Validate and encode a further batch; rows of weight 0 are left out."""
        from sknas._fit.continuation import EncodedRows
        from sknas._fit.validation import check_table, check_weights, unit_of

        X, y, sample_weight = map(as_numpy, (X, y, sample_weight))
        X = check_table(self, X, reset=False, keeps_columns=self.encoder_.is_mixed)
        weights = check_weights(X, sample_weight)
        unit = unit_of(weights)
        task = self._continue_task(X, y, None if weights is None else weights / unit)
        self._check_outputs(task)
        of_rows = np.ones(task.n_rows)
        if task.sample_weight is not None:
            of_rows = task.sample_weight * unit
            rows = np.flatnonzero(of_rows)
            X, task, of_rows = safe_indexing(X, rows), task.subset(rows), of_rows[rows]
        encoded = self.encoder_.encode(X, np.float32)
        return EncodedRows(encoded, task.y, of_rows), task

    def _check_outputs(self, task: Task) -> None:
        """Refuse a target of another form than that of the first call."""
        was, now = self.n_outputs_, task.output.n_outputs
        if was != now:
            raise ValueError(
                f"y of {type(self).__name__}.partial_fit must be for as many outputs "
                f"as in the first call, {was}. Got {now} instead."
            )
        if self.out_activation_ != task.output.name:
            raise ValueError(
                f"y of {type(self).__name__}.partial_fit must have one label per row, "
                "or several, as in the first call, and loss must not change. The "
                f"activation of the output was {self.out_activation_!r}. Got "
                f"{task.output.name!r} instead."
            )

    def _continued(self) -> Continuation:
        """Return what the networks know besides their weights."""
        from sknas._fit.continuation import Continuation

        if "_continuation" in vars(self):
            known: Continuation = self._continuation
            return known
        # `fit` keeps nothing for later.
        settings = {n: v for n, v in self.best_params_.items() if n in SETTINGS}
        return Continuation(
            SeedSource(self.random_state),
            tuple(settings.items()),
            [None] * len(self.ensemble_),
        )


class ClassLearner(BatchLearner):
    """Learns classes, or several labels per row."""

    @available_if(_learns_by_batches)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Learn from one batch of rows after the other.

        The first call is a `fit` to its batch, which should be a typical one: how
        tables are encoded, the architecture and the temperature stay what they are
        then. Each later call trains the networks on its rows for five epochs, or for
        `max_iter` if that is less. Beside them they are trained on up to nine times as
        many earlier rows, so that these are not forgotten; the optimiser goes on where
        it was. Up to 10,000 earlier rows, a uniform sample of which the encoded columns
        take no more than 64 MiB, are kept for that. After `fit`, which keeps none, the
        first call continues the weights alone.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows of the table.

        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their labels, of which a batch need not have all.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, on one scale for all batches. None weights each by 1.

        classes : array-like of shape (n_classes,), default=None
            All labels that batches may have; where rows have several, the numbers of
            the columns of y. Needed in the first call only.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ValueError
            If `classes` are missing in the first call, or others in a later one; if y
            has another label, or X other columns; if `class_weight` is ``'balanced'``;
            if no network could be trained. The estimator is what it was before then.
        """
        labels = _checked_classes(self, y, as_numpy(classes))
        self._partial_fit(X, y, sample_weight, labels)
        return self

    def _continue_task(self, X: Any, y: Any, sample_weight: np.ndarray | None) -> Task:
        return self._make_task(X, y, sample_weight, self.classes_)


class NumberLearner(BatchLearner):
    """Learns numbers."""

    @available_if(_learns_by_batches)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from one batch of rows after the other.

        The first call is a `fit` to its batch, which should be a typical one: how
        tables and targets are encoded and the architecture stay what they are then.
        Each later call trains the networks on its rows for five epochs, or for
        `max_iter` if that is less. Beside them they are trained on up to nine times as
        many earlier rows, so that these are not forgotten; the optimiser goes on where
        it was. Up to 10,000 earlier rows, a uniform sample of which the encoded columns
        take no more than 64 MiB, are kept for that. After `fit`, which keeps none, the
        first call continues the weights alone.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows of the table.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Finite numbers.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, on one scale for all batches. None weights each by 1.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ValueError
            If X has other columns, or y another number of outputs, than in the first
            call; if no network could be trained. The estimator is what it was before
            then.
        """
        self._partial_fit(X, y, sample_weight)
        return self

    def _continue_task(self, X: Any, y: Any, sample_weight: np.ndarray | None) -> Task:
        from sknas._tasks.regression import Regression

        task = Regression.from_target(self, X, y, sample_weight, self.loss)
        return task.continued(self.target_scaler_)


def _checked_classes(estimator: Any, y: Any, classes: Any) -> np.ndarray | None:
    """Check the classes that are given to a call of `partial_fit`.

    Parameters
    ----------
    estimator : NASMLPClassifier
        Has ``classes_`` unless this is its first call.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        The target of this call.
    classes : array-like of shape (n_classes,) or None
        What the user gave.

    Returns
    -------
    ndarray of shape (n_classes,) or None
        All labels, sorted; None if they are known or if y has several columns.

    Raises
    ------
    ValueError
        If there are none in the first call, or others in a later one; if a column of
        labels has none.
    """
    from sknas._tasks.multilabel import has_several_columns

    if estimator.class_weight == "balanced":
        raise ValueError(
            "class_weight must not be 'balanced' for partial_fit, since a batch does "
            "not tell how frequent classes are. Give a dict of weights instead."
        )
    known = getattr(estimator, "classes_", None)
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return None
    labels: np.ndarray = unique_labels(classes)
    if known is not None and not np.array_equal(known, labels):
        raise ValueError(
            f"classes must be those of the first call to partial_fit, {known}. Got "
            f"{classes!r} instead."
        )
    if has_several_columns(y):
        n_columns = np.shape(y)[1]
        if not np.array_equal(labels, np.arange(n_columns)):
            raise ValueError(
                f"classes must name the {n_columns} columns of y by their numbers, "
                f"from 0 to {n_columns - 1}. Got {classes!r} instead."
            )
        return None
    return None if known is not None else labels
