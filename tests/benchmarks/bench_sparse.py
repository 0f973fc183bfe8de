"""What a default fit to a large sparse table takes, in seconds and in memory.

python tests/benchmarks/bench_sparse.py [--rows 20000] [--columns 10000]
    [--density 0.001]

A fifth of the rows is predicted. The peak memory is that of the whole process.
"""

import argparse
import resource
import time

import numpy as np
from machine import describe
from scipy import sparse

from sknas import NASMLPClassifier


def main():
    """Make a table, fit and predict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=10_000)
    parser.add_argument("--density", type=float, default=0.001)
    arguments = parser.parse_args()
    print(describe())
    shape = arguments.rows, arguments.columns
    n_values = int(arguments.density * shape[0] * shape[1])
    generator = np.random.default_rng(0)
    places = tuple(generator.integers(size, size=n_values) for size in shape)
    X = sparse.csr_array((generator.random(n_values), places), shape)
    signal = X @ generator.normal(size=shape[1])
    y = (signal > np.median(signal)).astype(int)
    n_train = shape[0] * 4 // 5
    begin = time.perf_counter()
    fitted = NASMLPClassifier(random_state=0).fit(X[:n_train], y[:n_train])
    fit_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    accuracy = fitted.score(X[n_train:], y[n_train:])
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"fit {fit_seconds:.1f} s, predict {seconds:.3f} s, accuracy {accuracy:.4f}, "
        f"peak {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
