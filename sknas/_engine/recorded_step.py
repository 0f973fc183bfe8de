"""A step that is recorded once and replayed: on a GPU, launches are what costs."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

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
