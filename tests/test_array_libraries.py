"""Tensors of torch, and arrays of other libraries, in place of numpy's."""

import contextlib

import numpy as np
import pytest
import sklearn
import torch

from sknas import NASMLPClassifier, NASMLPRegressor
from sknas._table.reading.tables import as_numpy

X = np.random.default_rng(0).normal(size=(60, 4))
WEIGHTS = np.linspace(0.5, 1.5, len(X))
TARGETS = {
    NASMLPClassifier: (X[:, 0] > 0).astype(int),
    NASMLPRegressor: X[:, 0] - X[:, 1],
}


def _strict(array):
    return pytest.importorskip("array_api_strict").asarray(array)


def _tensor(array):
    return torch.from_numpy(array.copy())


LIBRARIES = {
    "torch": _tensor,
    "with a gradient": lambda array: (
        _tensor(array).requires_grad_() if array.dtype.kind == "f" else _tensor(array)
    ),
    "array_api_strict": _strict,
}


def _fit(estimator, make):
    # One network of a few epochs.
    settings = {"n_finalists": 0, "search_epochs": 2, "max_iter": 2, "n_ensemble": 1}
    y = TARGETS[estimator]
    return estimator.from_architecture(((4, "relu"),), random_state=0, **settings).fit(
        make(X), make(y), sample_weight=make(WEIGHTS)
    )


@pytest.fixture
def dispatches(request, monkeypatch):
    """Let scikit-learn compute with the library of its input, or not."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(
                sklearn.config_context(array_api_dispatch=request.param)
            )
        except (ImportError, RuntimeError) as error:
            pytest.skip(str(error))
        yield


@pytest.mark.usefixtures("dispatches")
@pytest.mark.parametrize("dispatches", [False, True], indirect=True)
@pytest.mark.parametrize("make", LIBRARIES.values(), ids=LIBRARIES)
@pytest.mark.parametrize("estimator", TARGETS)
def test_arrays_of_any_library_are_as_good_as_those_of_numpy(estimator, make):
    y = TARGETS[estimator]
    found = _fit(estimator, make)
    predicted, score = found.predict(make(X)), found.score(make(X), make(y))
    weighted = found.score(make(X), make(y), sample_weight=make(WEIGHTS))
    expected = _fit(estimator, np.array)
    assert isinstance(predicted, np.ndarray)
    np.testing.assert_array_equal(predicted, expected.predict(X))
    assert score == expected.score(X, y)
    assert weighted == expected.score(X, y, WEIGHTS)
    assert weighted != score


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.float16, torch.float32, torch.bool]
)
def test_tensors_keep_their_dtype_and_their_memory(dtype):
    tensor = torch.ones((2, 3), dtype=dtype)
    array = as_numpy(tensor)
    assert f"torch.{array.dtype}" == str(dtype)
    assert np.shares_memory(array, tensor.numpy())


def test_an_array_on_a_gpu_is_asked_for():
    class CuPy:
        def __array_namespace__(self):
            raise AssertionError

        def get(self):
            return X

    assert as_numpy(CuPy()) is X


@pytest.mark.parametrize("value", [X, np.float64(2), [[1.0]], None, 3], ids=type)
def test_what_is_no_array_of_another_library_stays_as_it_is(value):
    assert as_numpy(value) is value
