"""What a figure is worth nothing without: the machine and the versions."""

import os
import platform
import time
from pathlib import Path

import joblib
import numpy
import sklearn
import torch

import sknas


def describe() -> str:
    """Return hardware and versions in two lines."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ] or [platform.processor()]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    modules = (sknas, torch, sklearn, numpy, joblib)
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in modules)
    return (
        f"{names[0]}, {len(os.sched_getaffinity(0))} cores, {gpu}; "
        f"{torch.backends.cpu.get_cpu_capability()}\n"
        f"Python {platform.python_version()}, {versions}"
    )


def matrix_multiply_peak(n_threads: int, device: torch.device) -> float:
    """Return float32 operations per second of a large product, the best of ten."""
    n = 2048
    a, b = torch.rand(n, n, device=device), torch.rand(n, n, device=device)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)  # noqa: TID251 (restored below)
    try:
        seconds = []
        for _ in range(10):
            start = time.perf_counter()
            torch.mm(a, b)[0, 0].item()  # waits for a GPU
            seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)  # noqa: TID251
    return 2 * n**3 / min(seconds)
