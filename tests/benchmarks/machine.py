"""What a figure is worth nothing without: the machine and the versions."""

import os
import platform
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
