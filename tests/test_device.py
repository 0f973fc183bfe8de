import threading

import pytest
import torch

from sknas import _device
from sknas._device import resolve_device, single_thread


def test_auto_is_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")


def test_a_device_that_exists_is_taken_as_written(monkeypatch):
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize("device", ["tpu", "meta", "", "cuda:x"])
def test_a_device_that_cannot_train_is_refused(device):
    with pytest.raises(ValueError, match=r"'device' parameter must be 'auto'.* Got"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_cuda_without_cuda_says_what_to_write_instead(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"needs a CUDA device.*device='auto'"):
        resolve_device(device)


def test_a_cuda_device_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        ValueError, match=r"'cuda:1' does not exist: torch finds 1 CUDA"
    ):
        resolve_device("cuda:1")


@pytest.fixture
def four_threads(monkeypatch):
    """A thread count to restore that is not one, on machines with one core too."""
    count = [4]
    monkeypatch.setattr(_device.torch, "get_num_threads", lambda: count[0])
    monkeypatch.setattr(
        _device.torch, "set_num_threads", lambda n: count.__setitem__(0, n)
    )
    yield count
    monkeypatch.undo()


def test_single_thread_restores_the_count(four_threads):
    with single_thread():
        assert four_threads == [1]
        with single_thread():
            assert four_threads == [1]
        assert four_threads == [1]
    assert four_threads == [4]


def test_single_thread_restores_the_count_after_an_error(four_threads):
    with pytest.raises(KeyboardInterrupt, match="stop"), single_thread():
        raise KeyboardInterrupt("stop")
    assert four_threads == [4]


def test_a_thread_leaves_the_count_of_others_alone():
    entered, leave, counts = threading.Event(), threading.Event(), []

    def other_fit():
        counts.append(torch.get_num_threads())
        with single_thread():
            entered.set()
            leave.wait(timeout=60)
            counts.append(torch.get_num_threads())
        counts.append(torch.get_num_threads())

    before = torch.get_num_threads()
    thread = threading.Thread(target=other_fit)
    thread.start()
    entered.wait(timeout=60)
    with single_thread():
        leave.set()
        thread.join()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert counts[1] == 1
    assert counts[2] == counts[0]


def test_threads_that_overlap_leave_the_count_behind_that_there_was():
    # A later thread takes over what was set last: it must not be somebody's 1.
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)  # noqa: TID251
    try:
        barrier = threading.Barrier(3)

        def fit():
            barrier.wait(timeout=60)
            for _ in range(50):
                with single_thread():
                    seen.append(torch.get_num_threads())

        threads = [threading.Thread(target=fit) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = []
        later = threading.Thread(target=lambda: after.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert set(seen) == {1}
        assert after == [3]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)  # noqa: TID251


def test_single_thread_really_sets_torchs_count():
    with single_thread():
        assert torch.get_num_threads() == 1
