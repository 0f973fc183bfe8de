"""Output layers with their losses: what a network computes from its last logits.

An output and its loss are a canonical pair: the gradient of the loss with respect to
the logits is ``prediction - target``, so that one backward pass serves every task.
Tensors carry a leading axis of children and have rows last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sknas._model.activations import GREATEST_LOGARITHM, LEAST_LOGARITHM

# torch is imported where it is used: the package is imported without it.
if TYPE_CHECKING:
    from torch import Tensor


class OutputLoss(Protocol):
    """What the engine needs to know of a task.

    Instances are small, immutable and hashable, and travel to other processes.

    Attributes
    ----------
    name : str
        What the output layer ends in, in the words of ``MLPClassifier``.
    n_outputs : int
        Units of the output layer.
    uniform : float
        What label smoothing moves targets towards.
    """

    # Properties, because a protocol's plain attributes would have to be writable.
    @property
    def name(self) -> str: ...

    @property
    def n_outputs(self) -> int: ...

    @property
    def uniform(self) -> float: ...

    def targets(self, y: np.ndarray) -> Tensor:
        """Return targets of shape (n_outputs, n_rows), of 32 bits."""

    def add_loss(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Add each unit's loss to ``loss`` and return its gradient.

        Parameters
        ----------
        logits : Tensor of shape (n_children, n_outputs, n_rows)
            Pre-activations of the output layer.
        targets : Tensor of shape (n_children or 1, n_outputs, n_rows)
            What they should have become.
        loss : Tensor of shape (n_children, n_outputs, n_rows)
            Changed in place.

        Returns
        -------
        Tensor of shape (n_children, n_outputs, n_rows)
            Of the loss with respect to the logits.
        """

    def predictions(self, logits: Tensor) -> Tensor:
        """Return what is predicted, of shape (n_children, n_columns, n_rows)."""

    def validation_loss(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the mean loss of each child's predictions, of shape (n_children,).

        ``weights``, of shape (n_rows,), sum to 1; None weights all rows alike.
        """

    def validation_score(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return a score of each child, more is better, of shape (n_children,)."""

    def as_rows(self, predictions: Tensor) -> np.ndarray:
        """Return one child's predictions, (n_columns, n_rows), to be averaged.

        Returns
        -------
        float64 array of shape (n_rows, n_columns)
            On a scale on which the predictions of several networks are averaged.
        """


def _mean_of_rows(values: Tensor, weights: Tensor | None) -> Tensor:
    """Average over the rows, which are the last axis; weights sum to 1."""
    return values.mean(dim=-1) if weights is None else values @ weights.to(values)


class _Classification:
    """What log-probabilities of classes, (n_children, n_classes, n_rows), tell."""

    def validation_loss(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the log loss of each child, given class codes."""
        # (n_children, 1, n_rows): which entry along the axis of the classes to take.
        of_rows = y.expand(len(predictions), 1, -1)
        return -_mean_of_rows(predictions.gather(1, of_rows)[:, 0], weights)

    def validation_score(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the accuracy of each child, given class codes."""
        return _mean_of_rows((predictions.argmax(dim=1) == y).float(), weights)

    def as_rows(self, predictions: Tensor) -> np.ndarray:
        """Return probabilities, one column for each class."""
        # Rows of 32-bit probabilities do not sum to 1 with 64 bits.
        return _rows_first(predictions.double().softmax(0))


class _Sigmoids:
    """Units that each give the probability of a yes; binary log loss."""

    name = "logistic"
    uniform = 0.5

    def add_loss(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Add ``softplus(z) - z t`` and return ``sigmoid(z) - t``."""
        import torch

        # The log loss -t log p - (1 - t) log(1 - p) of p = sigmoid(z), without
        # overflow.
        loss.add_(torch.nn.functional.softplus(logits))
        loss.addcmul_(logits, targets, value=-1)
        return logits.sigmoid().sub_(targets)


@dataclass(frozen=True)
class SigmoidOutput(_Sigmoids, _Classification):
    """One unit, the probability of the second of two classes."""

    n_outputs = 1

    def targets(self, y: np.ndarray) -> Tensor:
        """Return 0 or 1 for each row, of shape (1, n_rows)."""
        import torch

        return torch.from_numpy(y)[None].float()

    def predictions(self, logits: Tensor) -> Tensor:
        """Return log-probabilities of both classes, (n_children, 2, n_rows)."""
        import torch

        # With p = sigmoid(z), log(1 - p) is -softplus(z), and log p is -softplus(-z).
        both = torch.cat([logits, -logits], dim=1)
        return -torch.nn.functional.softplus(both)


@dataclass(frozen=True)
class SoftmaxOutput(_Classification):
    """One unit for each class, probabilities that sum to 1; multi-class log loss.

    Parameters
    ----------
    n_classes : int
        How many classes there are.
    """

    n_classes: int

    name = "softmax"

    @property
    def n_outputs(self) -> int:
        """As many units as classes."""
        return self.n_classes

    @property
    def uniform(self) -> float:
        """The probability of each class, were all equal."""
        return 1 / self.n_classes

    def targets(self, y: np.ndarray) -> Tensor:
        """Return 1 for the class of each row, else 0, (n_classes, n_rows)."""
        import torch

        one_hot = torch.zeros(
            (self.n_classes, len(y)), dtype=torch.float32, device="cpu"
        )
        return one_hot.scatter_(0, torch.from_numpy(y)[None], 1.0)

    def add_loss(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Add ``-t log softmax(z)`` and return ``softmax(z) - t``."""
        log_p = logits.log_softmax(dim=1)
        loss.addcmul_(log_p, targets, value=-1)
        return log_p.exp_().sub_(targets)

    def predictions(self, logits: Tensor) -> Tensor:
        """Return log-probabilities, (n_children, n_classes, n_rows)."""
        return logits.log_softmax(dim=1)


@dataclass(frozen=True)
class MultilabelOutput(_Sigmoids):
    """One unit for each label, whose probabilities do not depend on each other.

    Losses are sums over the labels.

    Parameters
    ----------
    n_labels : int
        How many labels there are.
    """

    n_labels: int

    @property
    def n_outputs(self) -> int:
        """As many units as labels."""
        return self.n_labels

    def targets(self, y: np.ndarray) -> Tensor:
        """Return 0 or 1 for each label and row, of shape (n_labels, n_rows)."""
        return _rows_last(y)

    def predictions(self, logits: Tensor) -> Tensor:
        """Return the logits, of shape (n_children, n_labels, n_rows)."""
        return logits

    def validation_loss(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the log loss of each child, given y of shape (n_rows, n_labels)."""
        import torch

        losses = torch.nn.functional.softplus(predictions) - predictions * y.T
        return _mean_of_rows(losses.sum(dim=1), weights)

    def validation_score(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return each child's share of the rows of which all labels are right."""
        is_right = ((predictions > 0) == (y.T > 0.5)).all(dim=1)
        return _mean_of_rows(is_right.float(), weights)

    def as_rows(self, predictions: Tensor) -> np.ndarray:
        """Return the probability of each label."""
        return _rows_first(predictions.double().sigmoid())


@dataclass(frozen=True)
class IdentityOutput:
    """One unit for each number to predict; squared error.

    The loss of a row is half the squared error, averaged over the outputs.

    Parameters
    ----------
    n_targets : int
        How many numbers there are per row.
    """

    n_targets: int

    name = "identity"
    # There is no label to be smoothed.
    uniform = 0.0

    @property
    def n_outputs(self) -> int:
        """As many units as numbers."""
        return self.n_targets

    def targets(self, y: np.ndarray) -> Tensor:
        """Return the numbers, of shape (n_targets, n_rows)."""
        return _rows_last(y)

    def add_loss(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Add ``(z - t)^2 / 2k`` of k outputs and return ``(z - t) / k``."""
        error = logits - targets
        share = 1 / self.n_targets
        loss.addcmul_(error, error, value=0.5 * share)
        return error.mul_(share)

    def predictions(self, logits: Tensor) -> Tensor:
        """Return the logits, of shape (n_children, n_targets, n_rows)."""
        return logits

    def validation_loss(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return half the mean squared error, given y of shape (n_rows, n_targets)."""
        return 0.5 * self._mean_squares(predictions, y, weights).mean(dim=1)

    def validation_score(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return each child's R2, averaged over the outputs that vary."""
        # The best constant, of shape (1, n_targets, 1), is what R2 compares with.
        best_constant = _mean_of_rows(y.T, weights)[None, :, None]
        variances = self._mean_squares(best_constant, y, weights)
        errors = self._mean_squares(predictions, y, weights)
        # A constant output tells nothing: it counts as an error of 0 or of 1.
        shares = (errors / variances).nan_to_num(nan=0.0, posinf=1.0)
        return 1 - shares.mean(dim=1)

    @staticmethod
    def _mean_squares(predictions: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Return mean squared errors of shape (n_children, n_targets)."""
        return _mean_of_rows((predictions - y.T).square(), weights)

    def as_rows(self, predictions: Tensor) -> np.ndarray:
        """Return the numbers."""
        return _rows_first(predictions.double())


@dataclass(frozen=True)
class PoissonOutput(IdentityOutput):
    """One unit for the logarithm of each mean; half the Poisson deviance.

    The loss of a row is averaged over the outputs, and is 0 where a target is met.

    Parameters
    ----------
    n_targets : int
        How many numbers there are per row. None is negative, and their mean is 1.
    """

    name = "exp"

    def add_loss(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Add ``(exp(z) - t - t z + t log t) / k``, return ``(exp(z) - t) / k``."""
        z = logits.clamp(LEAST_LOGARITHM, GREATEST_LOGARITHM)
        means = z.exp()
        share = 1 / self.n_targets
        loss.add_(_half_deviances(z, means, targets), alpha=share)
        return means.sub_(targets).mul_(share)

    def predictions(self, logits: Tensor) -> Tensor:
        """Return logarithms of the means, (n_children, n_targets, n_rows)."""
        return logits.clamp(LEAST_LOGARITHM, GREATEST_LOGARITHM)

    def validation_loss(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return half the mean deviance, given y of shape (n_rows, n_targets)."""
        losses = _half_deviances(predictions, predictions.exp(), y.T)
        return _mean_of_rows(losses, weights).mean(dim=1)

    def validation_score(
        self, predictions: Tensor, y: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return each child's R2, averaged over the outputs that vary."""
        return super().validation_score(predictions.exp(), y, weights)

    def as_rows(self, predictions: Tensor) -> np.ndarray:
        """Return the means."""
        return _rows_first(predictions.double().exp())


def _half_deviances(z: Tensor, means: Tensor, targets: Tensor) -> Tensor:
    """Return half the Poisson deviance of means exp(z), above 0 but for rounding."""
    return means - targets - targets * z + targets.xlogy(targets)


def _rows_last(y: np.ndarray) -> Tensor:
    """Return (n_rows, n_outputs) as a tensor of shape (n_outputs, n_rows)."""
    import torch

    return torch.from_numpy(y).T.float().contiguous()


def _rows_first(predictions: Tensor) -> np.ndarray:
    """Return (n_columns, n_rows) as an array of shape (n_rows, n_columns)."""
    # An array of its own, in the order of the tensor: rows last.
    rows: np.ndarray = predictions.T.cpu().numpy().copy()
    return rows
