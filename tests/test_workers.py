"""Workers that are killed, interrupted or out of reach, in fresh processes."""

import ast
import threading

import pytest

from sknas._engine.workers import run_threads

PREAMBLE = """
import dataclasses, os, signal, sys, threading, time, warnings
import numpy as np
import torch
from sknas import Architecture
from sknas._engine.jobs import TrainingData, TrainingJob, TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._tasks.outputs import SoftmaxOutput

def make_data(output=SoftmaxOutput(3), n_rows=300):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((n_rows, 20)).astype(np.float32)
    y = generator.integers(0, 3, n_rows)
    n = n_rows * 2 // 3
    return TrainingData(X[:n], y[:n], output, X[n:], y[n:])

def make_trainer(folds, n_jobs, max_iter=3):
    settings = TrainingSettings(
        max_iter=max_iter, batch_size=16, learning_rate_init=1e-3, solver="adam",
        learning_rate="constant", alpha="auto", label_smoothing=0.0, dropout=0.0,
        n_iter_no_change=None, auto_decay=0.3,
    )
    device = torch.device("cpu")
    return Trainer(folds, settings, seed=0, device=device, n_jobs=n_jobs)
"""

KILL = """
@dataclasses.dataclass(frozen=True)
class Lethal(SoftmaxOutput):
    parent: int = 0
    marker: str = ""

    def targets(self, y):
        if os.getpid() != self.parent and not os.path.exists(self.marker):
            if self.marker:
                open(self.marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().targets(y)

jobs = [
    TrainingJob(Architecture(*[(8, "relu")] * depth), depth, fold=depth == 2)
    for depth in (1, 2, 3)
]

def train(output, n_jobs):
    trainer = make_trainer([make_data(), make_data(output)], n_jobs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = list(trainer.train(jobs))
    assert sorted(position for position, _ in results) == [0, 1, 2]
    curves = [(r.loss_curve, r.error) for _, r in sorted(results, key=lambda p: p[0])]
    return curves, [str(warning.message) for warning in caught]

expected, _ = train(SoftmaxOutput(3), 1)
got, caught = train(Lethal(3, os.getpid(), sys.argv[1]), 2)
assert got == expected and caught == [], (got, caught)
got, caught = train(Lethal(3, os.getpid(), ""), 2)
assert got[1] == ([], "a killed worker process"), got
assert got[::2] == expected[::2]
assert len(caught) == 1 and "killed twice" in caught[0], caught
"""


def _with_argument(program, argument):
    return f"import sys\nsys.argv = ['', {argument!r}]\n{PREAMBLE}{program}"


def test_children_of_a_killed_worker_are_trained_again_once(run_python, tmp_path):
    run_python(_with_argument(KILL, str(tmp_path / "killed")))


KILL_IN_FIT = """
from sknas import NASMLPClassifier, RandomStrategy

parent, marker, told = os.getpid(), sys.argv[1], []

class Lethal(Architecture):
    # Kills the first worker that looks at it.
    @property
    def hidden_layer_sizes(self):
        if os.getpid() != parent and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().hidden_layer_sizes

class Recording(RandomStrategy):
    def draw(self, n):
        return [Lethal(*architecture.layers) for architecture in super().draw(n)]

    def learn(self, architectures, rewards):
        assert len(architectures) == len(rewards)
        told.append(list(architectures))

X, y = make_data().X, make_data().y
classifier = NASMLPClassifier(
    layer_widths=(8, 16), search_strategy=Recording(), n_rounds=3, n_architectures=4,
    search_epochs=2, max_iter=2, n_finalists=1, n_ensemble=2, n_splits=1,
    encoding="scale", first_architecture=None, n_jobs=2, random_state=0,
)
figures = []
for _ in range(2):
    told.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.fit(X, y)
    assert os.path.exists(marker) and not caught, [str(w.message) for w in caught]
    flat = [architecture for of_round in told for architecture in of_round]
    assert [len(of_round) for of_round in told] == [4, 4, 4]
    assert len(set(flat)) == 12
    assert flat == classifier.search_results_["architecture"].tolist()
    assert set(classifier.search_results_["status"]) == {"trained"}
    figures.append((classifier.search_results_["score"], classifier.predict_proba(X)))
# The second time nothing was killed.
for first, second in zip(*figures):
    np.testing.assert_array_equal(first, second)
"""


def test_a_fit_survives_a_killed_worker_and_tells_everything_once(run_python, tmp_path):
    run_python(_with_argument(KILL_IN_FIT, str(tmp_path / "killed")))


INTERRUPT = """
n_jobs, delays = int(sys.argv[1]), [0.05 + 0.003 * i for i in range(40)]
# Workers are started anew after each interrupt, which takes seconds.
if n_jobs > 1:
    delays = [0.2, 1.0, 1.8]
torch.set_num_threads(2)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.setpgrp()  # as a terminal does: workers hear the signal too
jobs = [TrainingJob(Architecture(*[(512, "relu")] * d), d) for d in (1, 2, 3)]
counts, seconds = [], []
for delay in delays:
    trainer = make_trainer([make_data(n_rows=3000)], n_jobs, max_iter=10**6)
    def press():
        pressed.append(time.monotonic())
        os.killpg(os.getpgrp(), signal.SIGINT)
    pressed = []
    timer = threading.Timer(delay, press)
    timer.start()
    try:
        list(trainer.train(jobs))
    except KeyboardInterrupt:
        seconds.append(time.monotonic() - pressed[0])
    timer.join()
    task = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    counts.append((threading.active_count(), len(open(task).read().split())))
# The pool is as good as new.
assert len(list(make_trainer([make_data()], n_jobs).train(jobs))) == 3
print((counts, seconds))
"""


@pytest.mark.skipif("sys.platform != 'linux'", reason="counts processes in /proc")
@pytest.mark.parametrize(("n_jobs", "n_interrupts"), [("1", 40), ("2", 3)])
def test_an_interrupt_is_answered_at_once_and_leaves_nothing_behind(
    run_python, n_jobs, n_interrupts
):
    counts, seconds = ast.literal_eval(run_python(_with_argument(INTERRUPT, n_jobs)))
    assert len(seconds) == n_interrupts
    assert max(seconds) < 1
    # joblib's trackers of resources stay, but no thread and no worker.
    assert {threads for threads, _ in counts} == {1}
    assert len({processes for _, processes in counts}) == 1


FULL = """
warnings.simplefilter("always")
data = make_data(n_rows=30_000)
trainer = make_trainer([data], 2, max_iter=1)
jobs = [TrainingJob(Architecture(*[(8, "relu")] * d), d) for d in (1, 2, 3)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    results = list(trainer.train(jobs))
assert sorted(position for position, _ in results) == [0, 1, 2]
messages = [str(warning.message) for warning in caught]
assert len(messages) == 1 and "temporary folder full" in messages[0], messages
"""


def test_without_a_temporary_folder_children_are_trained_here(run_python, tmp_path):
    # A folder cannot be made where there is a file.
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "folder")
    run_python(_with_argument(FULL, ""), JOBLIB_TEMP_FOLDER=folder)


def test_threads_are_told_to_end_when_nobody_waits_for_them():
    told, began = [], threading.Event()

    def wait(number, is_cancelled):
        if number:
            began.set()
            while not is_cancelled():
                pass
            told.append(number)
        began.wait(timeout=60)
        return number

    outcomes = run_threads(wait, [0, 1], 2)
    assert next(outcomes) == (0, 0)
    outcomes.close()
    assert told == [1]
