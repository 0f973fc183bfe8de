"""Sparse tables on a device, and a first layer that computes with stored values alone.

That layer is for the CPU. Elsewhere the rows of a batch are made dense: a GPU
multiplies them quickly, and what is recorded there has tensors of fixed sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from scipy.sparse import csr_array
from torch import Tensor

from sknas._engine.layers import HiddenForward, HiddenLayer

# Numbers that are made dense at once when nothing is trained: bounds the memory.
_DENSE_CHUNK = 2**26


class SparseRows:
    """Rows of a sparse table, on a device.

    Parameters
    ----------
    matrix : csr_array of shape (n_rows, n_features), float32
        The table.
    device : torch.device
        Where its arrays are copied to, if that is not the CPU.

    Attributes
    ----------
    shape : tuple of int
        Of the table.
    """

    def __init__(self, matrix: csr_array, device: torch.device) -> None:
        self.shape = (int(matrix.shape[0]), int(matrix.shape[1]))
        self._begins = torch.from_numpy(matrix.indptr).to(device, torch.int64)
        self._columns = torch.from_numpy(matrix.indices).to(device)
        self._values = torch.from_numpy(matrix.data).to(device)

    def __len__(self) -> int:
        return self.shape[0]

    def gather(self, positions: Tensor) -> StoredValues:
        """Return what the rows at some positions store.

        Parameters
        ----------
        positions : Tensor of shape (n,), int64
            On the device of the rows.
        """
        begins = self._begins[positions]
        counts = self._begins[positions + 1] - begins
        # Where the values of each row begin among those that are gathered.
        offsets = counts.new_zeros(len(counts) + 1)
        torch.cumsum(counts, 0, out=offsets[1:])
        sources = torch.repeat_interleave(begins - offsets[:-1], counts)
        sources += torch.arange(len(sources), device=sources.device)
        columns = torch.index_select(self._columns, 0, sources).to(torch.int64)
        values = torch.index_select(self._values, 0, sources)
        return StoredValues(offsets, columns, values)

    @property
    def multiplies_sparse(self) -> bool:
        """Whether the first layer reads batches of these rows as they are."""
        return self._values.device.type == "cpu"

    def copy_to(self, batch: Tensor | SparseBatch, positions: Tensor) -> None:
        """Bring the rows at some positions into a batch.

        Parameters
        ----------
        batch : SparseBatch, or Tensor of shape (n, n_features)
            Where to write.
        positions : Tensor of shape (n,), int64
            On the device of the rows.
        """
        stored = self.gather(positions)
        if isinstance(batch, SparseBatch):
            batch.fill(stored)
            return
        batch.zero_()
        batch[stored.rows(), stored.columns] = stored.values

    def batches(self, n_rows: int) -> Iterator[Tensor | SparseBatch]:
        """Yield all rows, at most so many at a time."""
        if not self.multiplies_sparse:
            n_rows = max(min(n_rows, _DENSE_CHUNK // max(self.shape[1], 1)), 1)
        device = self._values.device
        for start in range(0, len(self), n_rows):
            end = min(start + n_rows, len(self))
            batch: Tensor | SparseBatch
            if self.multiplies_sparse:
                batch = SparseBatch(end - start)
            else:
                batch = self._values.new_empty((end - start, self.shape[1]))
            self.copy_to(batch, torch.arange(start, end, device=device))
            yield batch


class StoredValues:
    """What some rows of a sparse table store, row by row, columns in order.

    Parameters
    ----------
    offsets : Tensor of shape (n_rows + 1,), int64
        Where each row begins, and the end.
    columns, values : Tensor of shape (n_values,)
        int64 and float32.
    """

    def __init__(self, offsets: Tensor, columns: Tensor, values: Tensor) -> None:
        self.offsets, self.columns, self.values = offsets, columns, values

    def rows(self) -> Tensor:
        """Return the row of each value."""
        numbers = torch.arange(len(self.offsets) - 1, device=self.offsets.device)
        return torch.repeat_interleave(numbers, self.offsets.diff())

    def transpose(self) -> tuple[Tensor, StoredValues]:
        """Return the columns that store anything, and these as rows."""
        # Stable: sums have one order, whatever the machine.
        columns, order = torch.sort(self.columns, stable=True)
        used, counts = torch.unique_consecutive(columns, return_counts=True)
        offsets = counts.new_zeros(len(counts) + 1)
        torch.cumsum(counts, 0, out=offsets[1:])
        return used, StoredValues(offsets, self.rows()[order], self.values[order])

    def multiply(self, matrix: Tensor) -> Tensor:
        """Return the product with a dense matrix, of shape (n_rows, n_out)."""
        # A bag of embeddings is what a product with a sparse matrix is: of each row,
        # the sum of rows of the matrix, weighted by the values. Of all that torch has
        # for it, this takes the least time, and warns of nothing.
        product: Tensor = torch.embedding_bag(
            matrix,
            self.columns,
            self.offsets,
            mode=0,  # the sum
            per_sample_weights=self.values,
            include_last_offset=True,
        )[0]
        return product


class SparseBatch:
    """What the first layer reads of a batch of rows that are not made dense.

    Parameters
    ----------
    n_rows : int
        Of the batch.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self._stored: StoredValues | None = None
        self._transposed: tuple[Tensor, StoredValues] | None = None

    def fill(self, stored: StoredValues) -> None:
        """Take the rows of another batch."""
        self._stored, self._transposed = stored, None

    def multiply(self, weights: Tensor, biases: Tensor, out: Tensor) -> None:
        """Compute ``X W + b`` for each child, (n_children, n_rows, n_out)."""
        assert self._stored is not None
        for child in range(len(weights)):
            product = self._stored.multiply(weights[child])
            torch.add(product, biases[child], out=out[child])

    def multiply_transposed(self, gradient: Tensor, out: Tensor) -> None:
        """Compute ``X^T G`` for each child, (n_children, n_features, n_out)."""
        assert self._stored is not None
        if self._transposed is None:
            # Once for all children.
            self._transposed = self._stored.transpose()
        used, stored = self._transposed
        # Weights of columns that are zero in all rows have no gradient.
        out.zero_()
        for child in range(len(gradient)):
            out[child].index_copy_(0, used, stored.multiply(gradient[child]))


class _SparseForward(HiddenForward):
    """The forward pass of a first hidden layer that reads a sparse batch.

    Parameters
    ----------
    batch : SparseBatch
        Takes the place of the layer's input.
    weights, activations, mask
        See `HiddenLayer`.
    """

    def __init__(
        self,
        batch: SparseBatch,
        weights: tuple[Tensor, Tensor],
        activations: Sequence[tuple[str, slice]],
        mask: Tensor | None = None,
    ) -> None:
        super().__init__(_shaped(batch, weights[0]), weights, activations, mask)
        self._batch = batch

    def _multiply(self) -> None:
        self._batch.multiply(self._weights, self._biases, self._hidden)


def first_layer(
    batch: Tensor | SparseBatch,
    weights: tuple[Tensor, Tensor],
    activations: Sequence[tuple[str, slice]],
) -> HiddenForward:
    """Make the forward pass of a first hidden layer, without dropout.

    Parameters
    ----------
    batch : Tensor of shape (n_rows, n_features), or SparseBatch
        What every child reads.
    weights, activations
        See `HiddenLayer`.
    """
    if isinstance(batch, SparseBatch):
        return _SparseForward(batch, weights, activations)
    # For each child, without copies.
    n_children = len(weights[0])
    return HiddenForward(batch.expand(n_children, -1, -1), weights, activations)


class SparseHiddenLayer(HiddenLayer):
    """A first hidden layer's part in a training step that reads a sparse batch.

    Parameters
    ----------
    batch : SparseBatch
        Takes the place of the layer's input.
    weights, activations, mask, gradients
        See `HiddenLayer`.
    """

    def __init__(
        self,
        batch: SparseBatch,
        weights: tuple[Tensor, Tensor],
        activations: Sequence[tuple[str, slice]],
        mask: Tensor | None,
        *,
        gradients: tuple[Tensor, Tensor],
    ) -> None:
        super().__init__(
            _shaped(batch, weights[0]),
            weights,
            activations,
            mask,
            input_gradient=None,
            gradients=gradients,
        )
        self._batch = batch

    def _multiply(self) -> None:
        self._batch.multiply(self._weights, self._biases, self._hidden)

    def _multiply_back(self) -> None:
        self._batch.multiply_transposed(self.gradient, self._weight_gradients)


def _shaped(batch: SparseBatch, weights: Tensor) -> Tensor:
    """Return a tensor of the shape of a dense batch that takes no memory."""
    n_children, n_features, _ = weights.shape
    return weights.new_zeros(()).expand(n_children, batch.n_rows, n_features)
