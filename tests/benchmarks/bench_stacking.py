"""Which children go together: stacks, padding, threads and processes at three sizes.

python tests/benchmarks/bench_stacking.py [--repeats 5] [--n-jobs 2]

Sixteen children of 64 features and ten classes, 1,024 rows, batch 64: in one process
one by one, and in each other way. "padded" are sixteen children with widths drawn from
an eighth of the width to all of it, in stacks of eight, sorted by their widths. Ways
alternate; a figure is the median of the ratios of their speeds, more is better.
"""

import argparse
import time

import joblib
import numpy as np
import torch
from machine import describe
from training import plain_adam

from sknas import Architecture
from sknas._engine.jobs import TrainingData, TrainingJob
from sknas._engine.training.stack import train_stack
from sknas._tasks.outputs import SoftmaxOutput

SIZES = {
    "small, 128-64": (128, 64),
    "middle, 3 x 256": (256,) * 3,
    "large, 3 x 512": (512,) * 3,
}
N_CHILDREN, STACK = 16, 8


def make_jobs(widths):
    return [
        TrainingJob(Architecture(*((int(w), "relu") for w in widths)), seed)
        for seed in range(N_CHILDREN)
    ]


def draw_jobs(widths):
    """Draw widths of the same depth, as different as those of a search are."""
    generator = np.random.default_rng(0)
    shares = generator.choice([1, 2, 4, 8], (N_CHILDREN, len(widths)))
    drawn = sorted(tuple(np.array(widths) // row) for row in shares)
    return [
        TrainingJob(Architecture(*((int(w), "relu") for w in row)), seed)
        for seed, row in enumerate(drawn)
    ]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=2)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    X = generator.standard_normal((1024, 64)).astype(np.float32)
    data = TrainingData(X, generator.integers(0, 10, len(X)), SoftmaxOutput(10))
    device = torch.device("cpu")
    print(describe())
    print(f"medians of {arguments.repeats}\n")
    names = ["stacks of 8", "padded", "threads", "processes", "stacks and processes"]
    print(f"{'':18} {'us alone':>9} " + " ".join(f"{name:>11}" for name in names))

    for title, widths in SIZES.items():
        epochs = max(2, 24 // sum(w // 64 for w in widths))
        settings = plain_adam(epochs, 64, 1e-3)

        def run(jobs, size, settings=settings, **workers):
            start = time.perf_counter()
            joblib.Parallel(batch_size=1, **workers)(
                joblib.delayed(train_stack)(
                    data, jobs[i : i + size], settings, 0, device
                )
                for i in range(0, len(jobs), size)
            )
            return time.perf_counter() - start

        alike, drawn = make_jobs(widths), draw_jobs(widths)
        processes = {"n_jobs": arguments.n_jobs, "backend": "loky"}
        run(alike, 1, **processes)  # workers are started before the clock is
        speeds = []
        for _ in range(arguments.repeats):
            alone = run(alike, 1, n_jobs=1)
            speeds.append(
                [
                    alone,
                    alone / run(alike, STACK, n_jobs=1),
                    run(drawn, 1, n_jobs=1) / run(drawn, STACK, n_jobs=1),
                    alone / run(alike, 1, n_jobs=arguments.n_jobs, backend="threading"),
                    alone / run(alike, 1, **processes),
                    alone / run(alike, STACK, **processes),
                ]
            )
        alone, *ratios = np.median(speeds, axis=0)
        microseconds = 1e6 * alone / (N_CHILDREN * epochs * len(X) / 64)
        shown = " ".join(
            f"{ratio:{max(len(name), 11)}.2f}"
            for name, ratio in zip(names, ratios, strict=True)
        )
        print(f"{title:18} {microseconds:9.0f} {shown}", flush=True)


if __name__ == "__main__":
    main()
