import dataclasses
import os
import signal
import threading
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from sknas import Architecture
from sknas._device import single_thread
from sknas._engine import trainer as _trainer
from sknas._engine import workers as _workers
from sknas._engine.jobs import TrainingData, TrainingJob, TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._tasks.outputs import SoftmaxOutput

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(
    max_iter=4,
    batch_size=16,
    learning_rate_init=0.01,
    learning_rate="constant",
    solver="adam",
    alpha="auto",
    label_smoothing=0.0,
    dropout=0.2,
    n_iter_no_change=None,
    auto_decay=0.3,
)
# Some go together, some do not; the last ones are large enough for threads.
JOBS = [
    TrainingJob(Architecture((8, "relu"), "dropout"), 1),
    TrainingJob(Architecture((16, "elu"), (8, "tanh")), 2),
    TrainingJob(Architecture((16, "sigmoid")), 3),
    TrainingJob(Architecture((16, "elu"), (8, "relu")), 4),
    TrainingJob(Architecture((512, "elu"), (512, "relu")), 5),
    TrainingJob(Architecture((512, "elu"), "dropout", (512, "tanh")), 6),
]


def _make_data():
    X, y = make_blobs(n_samples=120, centers=3, cluster_std=0.6, random_state=0)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    y = y.astype(np.int64)
    return TrainingData(X[:80], y[:80], SoftmaxOutput(3), X[80:], y[80:])


def _make_trainer(n_jobs=1, device=CPU, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return Trainer([_make_data()], settings, seed=0, device=device, n_jobs=n_jobs)


def _train(trainer, jobs=JOBS):
    """Return the results in the order of the jobs."""
    results = dict(trainer.train(jobs))
    assert sorted(results) == list(range(len(jobs)))
    return [results[position] for position in range(len(jobs))]


def _assert_same(results, others):
    for result, other in zip(results, others, strict=True):
        assert result.architecture == other.architecture
        assert result.loss_curve == other.loss_curve
        assert result.validation_scores == other.validation_scores
        np.testing.assert_array_equal(
            result.validation_predictions, other.validation_predictions
        )
        for pair, other_pair in zip(result.weights, other.weights, strict=True):
            np.testing.assert_array_equal(pair[0], other_pair[0])
            np.testing.assert_array_equal(pair[1], other_pair[1])


def test_each_job_has_its_result():
    results = _train(_make_trainer())
    assert [r.architecture for r in results] == [job.architecture for job in JOBS]
    assert _train(_make_trainer(), []) == []


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_results_do_not_depend_on_workers(backend):
    alone = _train(_make_trainer(1))
    with joblib.parallel_config(backend):
        _assert_same(_train(_make_trainer(2)), alone)


def test_results_do_not_depend_on_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)  # noqa: TID251
    try:
        threaded = _train(_make_trainer(None))
    finally:
        torch.set_num_threads(before)  # noqa: TID251
    with single_thread():
        _assert_same(_train(_make_trainer(None)), threaded)


def test_large_children_are_trained_in_threads_and_small_ones_are_not(monkeypatch):
    n_workers, original = [], _workers.ThreadPoolExecutor

    def executor(n):
        n_workers.append(n)
        return original(n)

    before = torch.get_num_threads()
    monkeypatch.setattr(_workers, "ThreadPoolExecutor", executor)
    torch.set_num_threads(2)  # noqa: TID251
    try:
        _train(_make_trainer())
        assert n_workers == [2]
        n_workers.clear()
        _train(_make_trainer(), JOBS[:4])
        assert n_workers == []
    finally:
        torch.set_num_threads(before)  # noqa: TID251


def test_what_is_stacked_equals_what_is_not_to_tolerance():
    alone = [_train(_make_trainer(), [job])[0] for job in JOBS]
    for result, other in zip(_train(_make_trainer()), alone, strict=True):
        np.testing.assert_allclose(result.loss_curve, other.loss_curve, rtol=1e-4)


def test_results_come_while_others_are_in_training():
    results = _make_trainer().train(JOBS)
    assert iter(results) is iter(results)
    first, _ = next(results)
    assert first in (4, 5)  # the dearest
    assert len(list(results)) == len(JOBS) - 1


def test_on_cuda_one_process_trains():
    assert _make_trainer(4, torch.device("cuda")).n_jobs == 1


def _limit_memory(monkeypatch, n_children):
    """Let stacks of more than so many children not fit the device's memory."""
    original, sizes = _trainer.train_stack, []

    def train_stack(data, jobs, *rest):
        sizes.append(len(jobs))
        if len(jobs) > n_children:
            raise torch.OutOfMemoryError("no room")
        return original(data, jobs, *rest)

    monkeypatch.setattr(_trainer, "train_stack", train_stack)
    return sizes


def test_a_stack_too_large_for_the_memory_is_halved_and_the_user_told_once(
    monkeypatch,
):
    jobs = [TrainingJob(Architecture((8, "relu")), seed) for seed in range(10)]
    expected = _train(_make_trainer(), jobs)
    sizes = _limit_memory(monkeypatch, 1)
    trainer = _make_trainer()
    with pytest.warns(UserWarning, match=r"memory of cpu was full: 8 .* in 8 parts"):
        results = _train(trainer, jobs)
    assert sizes == [8, 4, 2, 1, 1, 2, 1, 1, 4, 2, 1, 1, 2, 1, 1, 2, 1, 1]
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.loss_curve, other.loss_curve, rtol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _train(trainer, jobs)


def test_one_child_too_large_for_the_memory_fails_and_the_user_is_told_once(
    monkeypatch,
):
    _limit_memory(monkeypatch, 0)
    trainer = _make_trainer()
    with pytest.warns(UserWarning, match="memory of cpu does not hold a network"):
        (result,) = _train(trainer, JOBS[:1])
    assert result.error == "out of memory"
    assert result.failed
    assert result.weights == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _train(trainer, JOBS[:1])


def test_a_cpu_whose_memory_is_full_fails_a_child_and_goes_on():
    huge = TrainingJob(Architecture((2**20, "relu"), (2**20, "relu")), 1)
    with pytest.warns(UserWarning, match="memory of cpu does not hold a network"):
        failed, trained = _train(_make_trainer(), [huge, JOBS[1]])
    assert failed.error == "out of memory"
    assert not trained.failed


def test_results_do_not_depend_on_how_a_worker_holds_the_table():
    # Tables of more than a megabyte are mapped from a file, at an offset of their own.
    generator = np.random.default_rng(0)
    X = generator.standard_normal((4000, 101)).astype(np.float32)
    y = generator.integers(0, 3, len(X))
    data = TrainingData(X[:2500], y[:2500], SoftmaxOutput(3), X[2500:], y[2500:])
    settings = dataclasses.replace(SETTINGS, batch_size=128, max_iter=2)

    def train(n_jobs, data=data):
        trainer = Trainer([data], settings, seed=0, device=CPU, n_jobs=n_jobs)
        return _train(trainer, JOBS[:4])

    _assert_same(train(2), train(1))
    shifted = np.empty(X[2500:].size + 1, np.float32)[1:].reshape(-1, 101)
    shifted[:] = X[2500:]
    _assert_same(train(1, dataclasses.replace(data, X_validation=shifted)), train(1))


def test_threads_have_ended_when_an_interrupt_comes_through():
    # A thread that trains while the interpreter ends would abort it.
    n_before = threading.active_count()
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # noqa: TID251
    # A process in the background may have been told to ignore Ctrl-C.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        settings = dataclasses.replace(SETTINGS, max_iter=5000)
        data = dataclasses.replace(_make_data())
        trainer = Trainer([data], settings, seed=0, device=CPU, n_jobs=1)
        results = trainer.train(JOBS[4:])
        interrupter = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
        interrupter.start()
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            next(results)
        interrupter.join()
        assert threading.active_count() == n_before
    finally:
        signal.signal(signal.SIGINT, handler)
        torch.set_num_threads(before)  # noqa: TID251


@pytest.mark.gpu
def test_on_cuda_results_equal_those_on_a_cpu_to_tolerance():
    # Two sizes of batches, both recorded; an early end for some.
    changes = {
        "allow_bfloat16": False,
        "batch_size": 18,
        "max_iter": 12,
        "n_iter_no_change": 2,
    }
    on_cpu = _train(_make_trainer(**changes))
    for name in ("cuda", f"cuda:{torch.cuda.device_count() - 1}"):
        on_cuda = _train(_make_trainer(device=torch.device(name), **changes))
        for result, other in zip(on_cuda, on_cpu, strict=True):
            n_iter = min(result.n_iter, other.n_iter)
            np.testing.assert_allclose(
                result.loss_curve[:n_iter], other.loss_curve[:n_iter], rtol=0.02
            )
