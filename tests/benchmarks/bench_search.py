"""What a whole fit costs: seconds, memory, and how they grow.

python tests/benchmarks/bench_search.py [--parts digits,rows,...] [--mnist FILE.npz]
    [--repeats 3] [--n-jobs 2]

digits    the default fit, each in a process of its own: seconds, of which torch's
          import, and the share of the rest that is not training (controller, encoding,
          bookkeeping)
rows      a search of fixed architectures on 2,000 to 16,000 rows
features  the same on 10 to 1,000 columns
children  the same with 10 to 80 children
workers   100 children of the paper's space with one worker and with several, warm, on
          digits and on 12,000 rows of MNIST
paper     sknas.PAPER_SETTINGS on all rows of MNIST, one run
long      the same with an LSTM of 512 units and sequences of up to 20 tokens

Memory is the peak of the proportional set size summed over the process and its
workers, sampled ten times per second.

--mnist   an .npz with X_train, y_train, X_test, y_test; without it, paper and
          long are not run
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from bench_trainer import draw_architectures, load_digit_rows, load_mnist_rows, scale
from machine import describe
from sklearn.base import clone
from sklearn.datasets import make_classification
from training import plain_adam

from sknas import PAPER_SETTINGS, NASMLPClassifier
from sknas._engine.jobs import TrainingData, TrainingJob
from sknas._engine.trainer import Trainer
from sknas._tasks.outputs import SoftmaxOutput

# Nothing but training: no finalists, hardly a refit, no early end.
FIXED = {
    "search_strategy": "random",
    "n_rounds": 2,
    "n_architectures": 10,
    "search_epochs": 4,
    "search_n_iter_no_change": None,
    "n_finalists": 0,
    "n_ensemble": 1,
    "encoding": "scale",
    "max_iter": 1,
    "batch_size": 64,
    "n_jobs": 1,
    "random_state": 0,
}

DEFAULT_FIT = """
import sys, time
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sknas import NASMLPClassifier
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
start = time.perf_counter()
import torch
imported = time.perf_counter()
classifier = NASMLPClassifier(n_jobs={n_jobs}, random_state={seed})
classifier.fit(X_train, y_train)
end = time.perf_counter()
rounds = classifier.round_results_
in_rounds = rounds["time"].sum()
training = (
    rounds["time_children"].sum()
    + (classifier.search_time_ - in_rounds)  # finalists
    + classifier.refit_time_
)
fit = end - imported
print(end - start, imported - start, 1 - training / fit)
print(classifier.score(X_test, y_test))
"""


class PeakMemory:
    """Samples the memory of this process and of all it has started."""

    def __enter__(self):
        self.gigabytes = 0.0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _sample(self):
        while not self._ends.wait(0.1):
            kilobytes = sum(map(proportional_set_size, process_tree()))
            self.gigabytes = max(self.gigabytes, kilobytes / 1e6)


def process_tree():
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # ended meanwhile
        parents[int(path.parent.name)] = int(fields[1])
    tree = {os.getpid()}
    while True:
        children = {pid for pid, parent in parents.items() if parent in tree} - tree
        if not children:
            return tree
        tree |= children


def proportional_set_size(pid):
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def median_seconds(make, repeats):
    seconds = []
    for _ in range(repeats):
        run = make()
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return np.median(seconds)


def bench_digits(arguments):
    print(f"\ndefault fit on 1,347 rows of digits, medians of {arguments.repeats}")
    print(
        f"{'':12} {'seconds':>8} {'of it torch':>12} {'not training':>13} "
        f"{'accuracy':>9}"
    )
    outcomes = {n_jobs: [] for n_jobs in (None, 1, arguments.n_jobs)}
    for seed in range(arguments.repeats):
        for n_jobs, rows in outcomes.items():
            program = DEFAULT_FIT.format(n_jobs=n_jobs, seed=seed)
            printed = subprocess.run(
                [sys.executable, "-c", program],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            rows.append([float(word) for word in printed.split()])
    for n_jobs, rows in outcomes.items():
        seconds, imported, outside, _ = np.median(rows, axis=0)
        accuracy = np.mean(rows, axis=0)[3]
        label = f"n_jobs={n_jobs}"
        print(
            f"{label:12} {seconds:8.1f} {imported:12.1f} {outside:13.1%} "
            f"{accuracy:9.4f}",
            flush=True,
        )


def bench_growth(arguments, title, unit, values, make_table, make_settings):
    print(f"\ncost against {title}, n_jobs=1, medians of {arguments.repeats}")
    print(f"{title:>9} {'seconds':>8} {'ms per ' + unit:>14}")
    for value in values:
        X, y = make_table(value)
        settings = FIXED | make_settings(value)
        seconds = median_seconds(
            lambda X=X, y=y, settings=settings: (
                lambda: NASMLPClassifier(**settings).fit(X, y)
            ),
            arguments.repeats,
        )
        print(f"{value:9,} {seconds:8.2f} {1000 * seconds / value:14.2f}", flush=True)


def make_table(n_rows=4000, n_features=30):
    return make_classification(
        n_rows, n_features, n_informative=8, n_classes=4, random_state=0
    )


def bench_workers(arguments):
    tables = {"digits": (scale(load_digit_rows()), 64, 15)}
    if arguments.mnist:
        mnist = scale(load_mnist_rows(arguments.mnist, 12000))
        tables["MNIST, 12,000 rows"] = (mnist, 128, 1)
    jobs = [TrainingJob(a, seed) for seed, a in enumerate(draw_architectures(100))]
    print(f"\n100 children of the paper's space, medians of {arguments.repeats}")
    print(f"{'':20} {'1 worker':>9} {arguments.n_jobs:>2} workers {'ratio':>6}")
    for name, ((X, _, y, _), batch_size, epochs) in tables.items():
        data = TrainingData(X.astype(np.float32), y.astype(np.int64), SoftmaxOutput(10))
        settings = plain_adam(epochs, batch_size, 1e-3)
        trainers = [
            Trainer([data], settings, seed=0, device=torch.device("cpu"), n_jobs=n_jobs)
            for n_jobs in (1, arguments.n_jobs)
        ]
        list(trainers[1].train(jobs[:20]))  # workers are started before the clock is
        seconds = np.empty((arguments.repeats, 2))
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # noqa: TID251 (one worker is one thread here)
        try:
            for repeat in range(arguments.repeats):
                for column, trainer in enumerate(trainers):
                    start = time.perf_counter()
                    list(trainer.train(jobs))
                    seconds[repeat, column] = time.perf_counter() - start
        finally:
            torch.set_num_threads(before)  # noqa: TID251
        one, several = np.median(seconds, axis=0)
        ratio = np.median(seconds[:, 0] / seconds[:, 1])
        print(f"{name:20} {one:8.2f}s {several:9.2f}s {ratio:6.2f}", flush=True)


def load_mnist(arguments):
    with np.load(arguments.mnist) as arrays:
        return [arrays[key] for key in ("X_train", "X_test", "y_train", "y_test")]


def bench_paper(arguments, title, changes):
    X, X_test, y, y_test = load_mnist(arguments)
    # A clone, since the settings hold a strategy that changes must not reach.
    classifier = clone(NASMLPClassifier(**PAPER_SETTINGS)).set_params(
        **changes, n_jobs=arguments.n_jobs, random_state=0
    )
    with PeakMemory() as memory:
        start = time.perf_counter()
        classifier.fit(X, y)
        seconds = time.perf_counter() - start
    rounds = classifier.round_results_
    outside = rounds["time"].sum() - rounds["time_children"].sum()
    n_children = len(classifier.search_results_["score"])
    test = classifier.score(X_test, y_test)
    print(
        f"\n{title} on {len(X):,} rows of MNIST, n_jobs={arguments.n_jobs}, one run: "
        f"search {classifier.search_time_:.0f} s, of it {outside:.1f} s outside "
        f"children; with refit {seconds:.0f} s; {n_children} children; peak memory "
        f"{memory.gigabytes:.2f} GB; accuracy: validation {classifier.best_score_:.4f},"
        f" test {test:.4f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", default="digits,rows,features,children,workers,paper,long"
    )
    parser.add_argument("--mnist")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--n-jobs", type=int, default=2)
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    print(describe())
    if "digits" in parts:
        bench_digits(arguments)
    growths = {
        "rows": ("row", (2000, 4000, 8000, 16000), make_table, lambda _: {}),
        "features": (
            "feature",
            (10, 100, 1000),
            lambda n: make_table(n_features=n),
            lambda _: {},
        ),
        "children": (
            "child",
            (10, 20, 40, 80),
            lambda _: make_table(),
            lambda n: {"n_rounds": n // 10},
        ),
    }
    for title, growth in growths.items():
        if title in parts:
            bench_growth(arguments, title, *growth)
    if "workers" in parts:
        bench_workers(arguments)
    if arguments.mnist and "paper" in parts:
        bench_paper(arguments, "PAPER_SETTINGS", {})
    if arguments.mnist and "long" in parts:
        bench_paper(
            arguments,
            "PAPER_SETTINGS with an LSTM of 512 and up to 20 tokens",
            {"search_strategy__hidden_size": 512, "max_layers": 20},
        )


if __name__ == "__main__":
    main()
