"""Tiny tables, tiny budgets, and a guard over what belongs to the user's process."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification

from sknas import ReinforceStrategy

# Programs of their own, which the search for doctests would import.
collect_ignore = ["benchmarks"]


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="torch finds no CUDA device")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(skip)


def _global_state():
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return (
        (name, keys.tobytes(), position, has_gauss, gauss),
        torch.get_rng_state().numpy().tobytes(),
        torch.get_num_threads(),
    )


@pytest.fixture(autouse=True)
def _global_state_is_untouched():
    """The global RNGs of numpy and torch and torch's thread count are the user's."""
    numpy_before, torch_before, threads_before = _global_state()
    yield
    numpy_after, torch_after, threads_after = _global_state()
    assert numpy_after == numpy_before, "numpy's global RNG moved"
    assert torch_after == torch_before, "torch's global RNG moved"
    assert threads_after == threads_before, "torch's thread count changed"


@pytest.fixture
def fast():
    """The smallest settings that still search, choose among finalists and refit."""
    return {
        "layer_widths": (8, 16),
        "n_rounds": 2,
        "n_architectures": 2,
        "search_epochs": 2,
        "n_finalists": 2,
        "n_splits": 1,
        "n_ensemble": 2,
        "encoding": "scale",
        "max_iter": 3,
        "epoch_fractions": (1.0,),
        "search_strategy": ReinforceStrategy(hidden_size=8),
        "random_state": 0,
    }


def _make_table(n_classes):
    return make_classification(
        n_samples=90,
        n_features=6,
        n_informative=4,
        n_classes=n_classes,
        class_sep=2.0,
        random_state=0,
    )


@pytest.fixture
def binary_table():
    return _make_table(2)


@pytest.fixture
def three_class_table():
    return _make_table(3)


@pytest.fixture
def mixed_frame():
    """A table with a column of every kind, and missing values in all but one."""
    generator = np.random.default_rng(0)
    n_rows = 60
    text = generator.choice(["red", "green", "blue"], n_rows)
    frame = pd.DataFrame(
        {
            "number": generator.normal(size=n_rows),
            "count": generator.integers(0, 5, n_rows),
            "flag": generator.random(n_rows) > 0.5,
            "nullable_count": pd.array(generator.integers(0, 9, n_rows), dtype="Int64"),
            "nullable_flag": pd.array(generator.random(n_rows) > 0.5, dtype="boolean"),
            "category": pd.Categorical(generator.choice(["a", "b"], n_rows)),
            "text": pd.array(text, dtype="string"),
            "object": np.asarray(text, dtype=object),
        }
    )
    missing = frame.columns.difference(["count", "flag"])
    for position, name in enumerate(missing):
        frame.loc[frame.index[position::17], name] = None
    y = (frame["count"] + (text == "red") * 3 > 3).astype(int).to_numpy()
    return frame, y


@pytest.fixture(scope="session")
def run_python():
    """Run a program in a fresh process, with a hash seed of its own."""

    def run(program, *, hash_seed="1", **environment):
        completed = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    return run


@pytest.fixture
def one_by_one(monkeypatch):
    """Train every child as a stack of its own, in the order of the proposals."""
    from sknas._engine import trainer as _trainer

    def group(architectures, cost, max_children):
        del cost, max_children
        return [[position] for position in range(len(architectures))]

    monkeypatch.setattr(_trainer, "group", group)
