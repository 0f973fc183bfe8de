"""Output layers with their losses: what a network computes from its last logits.

An output and its loss are a canonical pair: the gradient of the loss with respect to
the logits is ``prediction - target``, so that one backward pass serves every task.
Tensors carry a leading axis of children and have rows last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

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

    def validation_loss(self, predictions: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of each child's predictions, of shape (n_children,)."""

    def validation_score(self, predictions: Tensor, y: Tensor) -> Tensor:
        """Return a score of each child, more is better, of shape (n_children,)."""

    def as_rows(self, predictions: Tensor) -> np.ndarray:
        """Return one child's predictions, (n_columns, n_rows), to be averaged.

        Returns
        -------
        float64 array of shape (n_rows, n_columns)
            On a scale on which the predictions of several networks are averaged.
        """


class _Classification:
    """What log-probabilities of classes, (n_children, n_classes, n_rows), tell."""

    def validation_loss(self, predictions: Tensor, y: Tensor) -> Tensor:
        """Return the log loss of each child, given class codes."""
        # (n_children, 1, n_rows): which entry along the axis of the classes to take.
        of_rows = y.expand(len(predictions), 1, -1)
        return -predictions.gather(1, of_rows)[:, 0].mean(dim=1)

    def validation_score(self, predictions: Tensor, y: Tensor) -> Tensor:
        """Return the accuracy of each child, given class codes."""
        return (predictions.argmax(dim=1) == y).float().mean(dim=1)

    def as_rows(self, predictions: Tensor) -> np.ndarray:
        """Return probabilities, one column for each class."""
        # Rows of 32-bit probabilities do not sum to 1 with 64 bits.
        probabilities = predictions.double().softmax(0)
        # As arrays of its own, in the order of the tensor: rows last.
        rows: np.ndarray = probabilities.T.cpu().numpy().copy()
        return rows


@dataclass(frozen=True)
class SigmoidOutput(_Classification):
    """One unit, the probability of the second of two classes; binary log loss."""

    name = "logistic"
    n_outputs = 1
    uniform = 0.5

    def targets(self, y: np.ndarray) -> Tensor:
        """Return 0 or 1 for each row, of shape (1, n_rows)."""
        import torch

        return torch.from_numpy(y)[None].float()

    def add_loss(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Add ``softplus(z) - z t`` and return ``sigmoid(z) - t``."""
        import torch

        # The log loss -t log p - (1 - t) log(1 - p) of p = sigmoid(z), without
        # overflow.
        loss.add_(torch.nn.functional.softplus(logits))
        loss.addcmul_(logits, targets, value=-1)
        return logits.sigmoid().sub_(targets)

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
