import contextlib

import pytest
import torch

from sknas._engine.training.step import RecordedStep


def test_on_a_cpu_every_call_runs():
    step, calls = RecordedStep(torch.device("cpu")), []
    for number in range(6):
        step.run(lambda number=number: calls.append(number))
    assert calls == list(range(6))


def test_elsewhere_the_fourth_call_is_recorded_and_then_replayed(monkeypatch):
    events = []

    class Graph:
        def replay(self):
            events.append("replay")

    @contextlib.contextmanager
    def record(graph, *, stream, capture_error_mode):
        assert isinstance(graph, Graph)
        assert stream == ("stream", device)
        assert capture_error_mode == "thread_local"
        events.append("record")
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    device = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "Stream", lambda where: ("stream", where))
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    step = RecordedStep(device)
    for _ in range(6):
        step.run(lambda: events.append("compute"))
    assert events == [
        *["compute"] * 3,
        *["record", "compute", "replay"],
        *["replay"] * 2,
    ]


@pytest.mark.gpu
def test_a_replayed_step_computes_what_the_function_would():
    device = torch.device("cuda")
    x, n = torch.ones(3, device=device), torch.zeros((), device=device)

    def compute():
        n.add_(1)
        x.mul_(2).sub_(n)

    step = RecordedStep(device)
    for _ in range(10):
        step.run(compute)
    expected = 1.0
    for number in range(1, 11):
        expected = 2 * expected - number
    assert x.tolist() == [expected] * 3
    assert n.item() == 10
