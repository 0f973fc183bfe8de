"""An optimizer step; on a GPU it is recorded once and replayed.

There, the launches of many small kernels are what costs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sknas._engine.batch import Batch
from sknas._engine.network import StackedMLP
from sknas._engine.training.optimizer import StackedOptimizer
from sknas._engine.training.rows import TrainingRows
from sknas._tasks.outputs import OutputLoss

# A recording needs a device on which everything has run before.
_N_WARMUP = 3
_recording = threading.Lock()


class RecordedStep:
    """Runs a function of tensors that stay where they are; on CUDA, as one graph.

    The first calls run as they are, the next is recorded, and from then on replayed.
    Elsewhere every call runs as it is.

    Parameters
    ----------
    device : torch.device
        Where these tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        self._n_calls = 0
        self._device = device
        self._records = device.type == "cuda"

    def run(self, compute: Callable[[], None]) -> None:
        """Run, record or replay.

        Parameters
        ----------
        compute : callable
            The same each time: takes nothing, reads and writes the same tensors, and
            never waits for the device.
        """
        if self._graph is not None:
            self._graph.replay()
            return
        if not self._records or self._n_calls < _N_WARMUP:
            self._n_calls += 1
            compute()
            return
        graph = torch.cuda.CUDAGraph()
        # Recording does not run anything. The stream is one of this device, which need
        # not be torch's current one, and of this recording: only one may be under way.
        with _recording, torch.cuda.device(self._device):
            stream = torch.cuda.Stream(self._device)
            with torch.cuda.graph(
                graph, stream=stream, capture_error_mode="thread_local"
            ):
                compute()
        self._graph = graph
        graph.replay()


class TrainingStep:
    """One update from a batch of one size: tensors that stay where they are.

    Parameters
    ----------
    network : StackedMLP
        What is trained.
    optimizer : StackedOptimizer
        Moves its parameters.
    output : OutputLoss
        Makes losses and gradients of logits and targets.
    table : TrainingRows
        All rows, with targets and weights.
    n_rows : int
        How many of them a batch has.
    smoothing : sequence of float or None, default=None
        Each child's label smoothing. None where the targets are as they should be.
    """

    def __init__(
        self,
        network: StackedMLP,
        optimizer: StackedOptimizer,
        output: OutputLoss,
        table: TrainingRows,
        n_rows: int,
        smoothing: Sequence[float] | None = None,
    ) -> None:
        self._optimizer, self._output = optimizer, output
        self._table = table
        self._batch = Batch(network, n_rows, is_sparse=table.multiplies_sparse)
        logits = self._batch.logits
        self._loss = torch.zeros_like(logits)
        # Targets of the batch, (1, n_outputs, n_rows), the same for every child unless
        # these smooth them by shares of their own.
        self._given = self._targets = logits.new_empty((1, *logits.shape[1:]))
        self._smooths = smoothing is not None
        if smoothing is not None:
            self._targets = torch.empty_like(logits)
            kept = [[[1 - share]] for share in smoothing]
            added = [[[share * output.uniform]] for share in smoothing]
            # Of shape (n_children, 1, 1).
            self._kept, self._added = logits.new_tensor(kept), logits.new_tensor(added)
        self._weights = logits.new_empty((1, 1, n_rows))
        # Where a batch is copied to, without the axis of the children. A view costs a
        # microsecond: those of every step are made here.
        X = self._batch.X
        self._X_batch = X[0] if isinstance(X, Tensor) else X
        self._target_batch = self._given[0]
        self._weight_batch = self._weights[0, 0]
        self._recorded = RecordedStep(network.device)

    def run(self, positions: Tensor) -> None:
        """Take the update for the rows at these positions, of shape (n_rows,)."""
        table = self._table
        table.copy_to(self._X_batch, positions)
        torch.index_select(table.targets, 1, positions, out=self._target_batch)
        if table.weights is not None:
            torch.index_select(table.weights, 0, positions, out=self._weight_batch)
        self._recorded.run(self._compute)

    def _compute(self) -> None:
        if self._smooths:
            torch.mul(self._given, self._kept, out=self._targets)
            self._targets.add_(self._added)
        logits = self._batch.forward()
        if self._table.weights is None:
            gradient = self._output.add_loss(logits, self._targets, self._loss)
        else:
            loss = torch.zeros_like(self._loss)
            gradient = self._output.add_loss(logits, self._targets, loss)
            gradient.mul_(self._weights)
            self._loss.addcmul_(loss, self._weights)
        # The mean over the rows of a batch.
        self._batch.backward(gradient.mul_(1 / self._batch.n_rows))
        self._optimizer.step(self._batch.n_rows)

    def take_loss(self) -> Tensor:
        """Return the loss summed since the last time, of shape (n_children,)."""
        loss = self._loss.sum((1, 2))
        self._loss.zero_()
        return loss
