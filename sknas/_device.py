"""Where children are trained, and with how many threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Threads inside of `single_thread`, how deep each is, and what torch's count was when
# the first one came in.
_this_thread = threading.local()
_lock = threading.Lock()
_threads_inside: set[int] = set()
_n_threads_outside = 0


def resolve_device(device: str) -> torch.device:
    """Turn the parameter ``device`` into a device that exists here.

    ``'auto'`` is the first CUDA device where there is one, else the CPU.
    """
    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda"):
        raise ValueError(
            "The 'device' parameter must be 'auto', 'cpu', 'cuda' or 'cuda:N'. "
            f"Got {device!r} instead."
        )
    if resolved.type == "cuda" and not has_cuda:
        raise ValueError(
            f"device={device!r} needs a CUDA device, and torch {torch.__version__} "
            "finds none here. Write device='auto' to use one where there is one, or "
            "device='cpu'."
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} does not exist: torch finds "
            f"{torch.cuda.device_count()} CUDA device(s), counted from 0."
        )
    return resolved


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether products of bfloat16 matrices are faster here than of float32.

    True for CUDA devices with tensor cores for it, and for CPUs with AVX-512-BF16 or
    AMX, if torch was built to use them.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Questions that torch answers under private names only; without them, no.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return torch.backends.mkldnn.is_available() and any(
        getattr(torch.cpu, question, bool)() for question in questions
    )


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch compute with one thread inside, as before outside.

    A matrix product differs in its last bits between one thread and two, and results
    must not depend on ``n_jobs``. The count belongs to the calling thread, but a thread
    that torch has not met takes over what any other set last: so the count outside is
    asked for when nobody is inside, and is what everybody leaves behind. Contexts may
    be nested.
    """
    depth = getattr(_this_thread, "depth", 0)
    _this_thread.depth = depth + 1
    try:
        if depth == 0:
            _enter()
        yield
    finally:
        _this_thread.depth = depth
        if depth == 0:
            _leave()


def _enter() -> None:
    global _n_threads_outside
    with _lock:
        if not _threads_inside:
            _n_threads_outside = torch.get_num_threads()
        _threads_inside.add(threading.get_ident())
        torch.set_num_threads(1)  # noqa: TID251 (restored by _leave)


def _leave() -> None:
    with _lock:
        if threading.get_ident() in _threads_inside:
            _threads_inside.remove(threading.get_ident())
            torch.set_num_threads(_n_threads_outside)  # noqa: TID251
