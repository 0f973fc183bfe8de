"""What learning from ten batches of MNIST comes to, beside one fit to all of them.

python tests/benchmarks/bench_partial_fit.py mnist.npz [--search] [--kept 10000 5000]
    [--n-test 10000] [--seed 0]

Batches have 1,200 rows. Without ``--search``, one architecture is trained; with it,
both learners search with the defaults. ``--kept`` are numbers of earlier rows to keep.
"""

import argparse
import resource
import time

import numpy as np
from machine import describe
from sklearn.metrics import log_loss

from sknas import NASMLPClassifier
from sknas._fit import continuation

LAYERS = ((256, "relu"), "dropout") * 3
N_BATCHES, N_ROWS = 10, 1200


def learner(arguments):
    """Return an estimator that is not fitted."""
    if arguments.search:
        return NASMLPClassifier(random_state=arguments.seed)
    return NASMLPClassifier.from_architecture(
        LAYERS,
        encoding="scale",
        n_splits=1,
        epoch_fractions=(0.33,),
        random_state=arguments.seed,
    )


def show(name, fitted, X, y, begin):
    """Print a line of figures."""
    loss = log_loss(y, fitted.predict_proba(X))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - begin
    print(
        f"{name:24} accuracy {fitted.score(X, y):.4f}  log loss {loss:.4f}  "
        f"{seconds:6.1f} s  peak so far {peak:.0f} MB",
        flush=True,
    )


def main():
    """Measure one fit, then batches with each number of kept rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("mnist")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--kept", type=int, nargs="*", default=[10_000])
    parser.add_argument("--n-test", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe())
    with np.load(arguments.mnist) as images:
        n_rows = N_BATCHES * N_ROWS
        X = images["X_train"][:n_rows].reshape(n_rows, -1).astype(float)
        y = images["y_train"][:n_rows]
        X_test = images["X_test"][: arguments.n_test].astype(float)
        X_test = X_test.reshape(len(X_test), -1)
        y_test = images["y_test"][: arguments.n_test]
    for kept in arguments.kept:
        continuation._MAX_KEPT_ROWS = kept
        begin = time.perf_counter()
        fitted = learner(arguments)
        for rows in np.array_split(np.arange(n_rows), N_BATCHES):
            fitted.partial_fit(X[rows], y[rows], classes=np.arange(10))
        show(f"batches, {kept} kept", fitted, X_test, y_test, begin)
    begin = time.perf_counter()
    show("one fit", learner(arguments).fit(X, y), X_test, y_test, begin)


if __name__ == "__main__":
    main()
