"""The rows of a stack's training on the device, and the targets beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sknas._engine.jobs import TrainingData
from sknas._engine.network import StackedMLP
from sknas._engine.sparse import SparseBatch, SparseRows
from sknas._typing import Matrix


class TrainingRows:
    """A table on a device: rows to train on and rows to validate on.

    Parameters
    ----------
    data : TrainingData
        The table.
    smoothing : sequence of float
        The label smoothing of each child. If all have the same, the targets are
        smoothed here, else in each step.
    device : torch.device
        Where the tensors live.

    Attributes
    ----------
    X : Tensor or SparseRows of shape (n_rows, n_features)
        Encoded rows to train on.
    targets : Tensor of shape (n_outputs, n_rows)
        What the outputs should become; rows last.
    weights : Tensor of shape (n_rows,) or None
        Factors of the rows' losses, with a mean of 1.
    is_smoothed : bool
        Whether ``targets`` are smoothed.
    """

    def __init__(
        self, data: TrainingData, smoothing: Sequence[float], device: torch.device
    ) -> None:
        self._output = data.output
        self.X = _on_device(data.X, device)
        self.targets = data.output.targets(data.y).to(device)
        # t becomes (1 - share) t + share * uniform; if children differ, in each step.
        shares = set(smoothing)
        self.is_smoothed = len(shares) == 1
        if self.is_smoothed:
            share = shares.pop()
            self.targets.mul_(1 - share).add_(share * data.output.uniform)
        self.weights = _weights(data.sample_weight, device)
        if self.weights is not None:
            self.weights /= self.weights.mean()
        self._X_validation: Tensor | SparseRows | None = None
        self._y_validation: Tensor | None = None
        if data.X_validation is not None and data.y_validation is not None:
            self._X_validation = _on_device(data.X_validation, device)
            self._y_validation = torch.from_numpy(data.y_validation).to(device)
        self._validation_weights = _weights(data.sample_weight_validation, device)
        if self._validation_weights is not None:
            self._validation_weights /= self._validation_weights.sum()

    @property
    def n_validation_rows(self) -> int:
        """How many rows there are to validate on."""
        return 0 if self._X_validation is None else len(self._X_validation)

    @property
    def multiplies_sparse(self) -> bool:
        """Whether the first layer reads batches that are not made dense."""
        return isinstance(self.X, SparseRows) and self.X.multiplies_sparse

    def copy_to(self, batch: Tensor | SparseBatch, positions: Tensor) -> None:
        """Bring the rows to train on at some positions into a batch.

        Parameters
        ----------
        batch : Tensor of shape (n, n_features), or SparseBatch
            Where to write.
        positions : Tensor of shape (n,), int64
            On the device of the rows.
        """
        if isinstance(self.X, SparseRows):
            self.X.copy_to(batch, positions)
        elif isinstance(batch, Tensor):
            torch.index_select(self.X, 0, positions, out=batch)

    def validate(self, network: StackedMLP) -> tuple[Tensor, Tensor, Tensor] | None:
        """Predict the validation rows, or return None where there are none.

        Parameters
        ----------
        network : StackedMLP
            What predicts.

        Returns
        -------
        predictions : Tensor of shape (n_children, n_columns, n_rows)
            In the form of the output.
        losses, scores : Tensor of shape (n_children,)
            Weighted means over the rows.
        """
        if self._X_validation is None or self._y_validation is None:
            return None
        predictions = self._output.predictions(network.logits(self._X_validation))
        measured = predictions, self._y_validation, self._validation_weights
        losses = self._output.validation_loss(*measured)
        scores = self._output.validation_score(*measured)
        return predictions, losses, scores


def _on_device(X: Matrix, device: torch.device) -> Tensor | SparseRows:
    if isinstance(X, np.ndarray):
        return torch.from_numpy(X).to(device)
    return SparseRows(X, device)


def _weights(weights: np.ndarray | None, device: torch.device) -> Tensor | None:
    """Bring weights to the device, as a tensor of its own with 32 bits."""
    if weights is None:
        return None
    # Scaled with 64 bits: the largest weights may not be numbers of 32 bits.
    relative = weights.astype(np.float64) / weights.max()
    return torch.from_numpy(relative).to(device, torch.float32)
