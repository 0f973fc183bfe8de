"""Child-epochs per second beside MLPClassifier, skorch and plain torch.

python tests/benchmarks/bench_trainer.py [--mnist FILE.npz] [--cases a,b,c,d]
    [--n-jobs 2] [--repeats 5] [--device cpu]

a   sixteen children 64-128-64-10 on digits, batch 64
b   100 architectures of the paper's space, drawn under one seed, on digits, batch 64
c   the same on 12,000 rows of MNIST, batch 128
d   the share of the machine's matrix-multiply peak: two children 784-512-512-10 on
    12,000 rows of MNIST, batch 128

All train the same widths with relu, without dropout, with Adam 1e-3, for the same
epochs, batch size and rows; no rows are held out. Rivals train one child after the
other with as many threads as they like; ours has `n_jobs` processes, warm, with one
thread each, and for comparison one process, whose threads are those of torch. Every
repeat runs all, one after the other; a ratio is the median over the repeats of the
ratio within each. The score is the mean accuracy on the test rows of all children.

--mnist  an .npz with X_train, y_train, X_test, y_test; without it, c and d are not run
--rows   of MNIST
"""

import argparse
import itertools
import time
import warnings

import numpy as np
import torch
from machine import describe, matrix_multiply_peak
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from training import plain_adam

from sknas import Architecture
from sknas._engine.jobs import TrainingData, TrainingJob
from sknas._engine.trainer import Trainer
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._space import SearchSpace
from sknas._tasks.outputs import SoftmaxOutput

LEARNING_RATE = 1e-3


def load_digit_rows():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


def load_mnist_rows(source, n_rows):
    with np.load(source) as arrays:
        X, X_test, y, y_test = (
            arrays[key] for key in ("X_train", "X_test", "y_train", "y_test")
        )
    rows = np.random.RandomState(0).permutation(len(X))[:n_rows]
    return X[rows], X_test, y[rows], y_test


def scale(tables):
    X, X_test, y, y_test = tables
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    return X, X_test, y.astype(int), y_test.astype(int)


def draw_architectures(n):
    """Draw from the paper's space; what is compared is widths, all with relu."""
    space = SearchSpace((8, 16, 32, 64, 128, 256, 512), ("relu",), 10, dropout=False)
    generator = np.random.default_rng(0)
    return [space.sample(generator) for _ in range(n)]


class Ours:
    def __init__(self, n_jobs, device):
        self.n_jobs, self.device = n_jobs, device
        self.name = f"sknas {n_jobs} process{'es' * (n_jobs > 1)}"
        if device.type == "cuda":
            self.name = "sknas CUDA"

    def prepare(self, X, y, architectures, batch_size, epochs):
        data = TrainingData(X.astype(np.float32), y.astype(np.int64), SoftmaxOutput(10))
        settings = plain_adam(epochs, batch_size, LEARNING_RATE)
        trainer = Trainer(
            [data], settings, seed=0, device=self.device, n_jobs=self.n_jobs
        )
        jobs = [TrainingJob(a, seed) for seed, a in enumerate(architectures)]
        # Workers are started, and torch imported by them, before the clock is.
        # Children of different depths are never one stack.
        depths = range(1, 4 * self.n_jobs + 1)
        tiny = [Architecture(*[(8, "relu")] * depth) for depth in depths]
        list(trainer.train([TrainingJob(a, 0) for a in tiny]))
        return lambda: list(trainer.train(jobs))

    def score(self, results, X, y):
        return np.mean(
            [
                accuracy(
                    FittedEnsemble(
                        [Member(result.architecture, result.weights)], "softmax"
                    ).predict_log_proba(X),
                    y,
                )
                for _, result in results
            ]
        )


class Sklearn:
    def __init__(self, dtype):
        self.dtype = dtype
        self.name = f"MLPClassifier {np.dtype(dtype).name}"

    def prepare(self, X, y, architectures, batch_size, epochs):
        X = X.astype(self.dtype)
        models = [
            MLPClassifier(
                a.hidden_layer_sizes,
                alpha=0.0,
                batch_size=batch_size,
                learning_rate_init=LEARNING_RATE,
                max_iter=epochs,
                n_iter_no_change=epochs + 1,
                random_state=seed,
            )
            for seed, a in enumerate(architectures)
        ]
        return lambda: [model.fit(X, y) for model in models]

    def score(self, models, X, y):
        X = X.astype(self.dtype)
        return np.mean([model.score(X, y) for model in models])


class PlainTorch:
    """The loop of the tutorials, with the data as one tensor and a fused Adam."""

    name = "plain torch"

    def prepare(self, X, y, architectures, batch_size, epochs):
        X, y = torch.from_numpy(X.astype(np.float32)), torch.from_numpy(y)

        def train(architecture):
            model = make_module(X.shape[1], architecture)
            optimizer = torch.optim.Adam(
                model.parameters(), lr=LEARNING_RATE, fused=True
            )
            loss = torch.nn.CrossEntropyLoss()
            for _ in range(epochs):
                for rows in torch.randperm(len(X)).split(batch_size):
                    optimizer.zero_grad()
                    loss(model(X[rows]), y[rows]).backward()
                    optimizer.step()
            return model

        return lambda: [train(architecture) for architecture in architectures]

    def score(self, models, X, y):
        X = torch.from_numpy(X.astype(np.float32))
        with torch.no_grad():
            return np.mean([accuracy(model(X).numpy(), y) for model in models])


class Skorch:
    name = "skorch"

    def prepare(self, X, y, architectures, batch_size, epochs):
        from skorch import NeuralNetClassifier

        X = X.astype(np.float32)
        models = [
            NeuralNetClassifier(
                make_module,  # an instance would go on from one fit to the next
                module__n_features=X.shape[1],
                module__architecture=a,
                criterion=torch.nn.CrossEntropyLoss,
                optimizer=torch.optim.Adam,
                lr=LEARNING_RATE,
                batch_size=batch_size,
                max_epochs=epochs,
                train_split=None,
                iterator_train__shuffle=True,
                verbose=0,
            )
            for a in architectures
        ]
        return lambda: [model.fit(X, y) for model in models]

    def score(self, models, X, y):
        X = X.astype(np.float32)
        return np.mean([accuracy(model.forward(X).numpy(), y) for model in models])


def make_module(n_features, architecture):
    layers = []
    for width in architecture.hidden_layer_sizes:
        layers += [torch.nn.Linear(n_features, width), torch.nn.ReLU()]
        n_features = width
    return torch.nn.Sequential(*layers, torch.nn.Linear(n_features, 10))


def accuracy(logits, y):
    return (logits.argmax(axis=1) == y).mean()


def compare(title, tables, architectures, batch_size, epochs, rivals, repeats):
    X, X_test, y, y_test = tables
    runs = [rival.prepare(X, y, architectures, batch_size, epochs) for rival in rivals]
    seconds = np.empty((repeats, len(rivals)))
    outcomes = [None] * len(rivals)
    for repeat in range(repeats):
        for column, run in enumerate(runs):
            start = time.perf_counter()
            outcomes[column] = run()
            seconds[repeat, column] = time.perf_counter() - start
    print(
        f"\n{title}: {len(architectures)} children, {len(X):,} rows, batch "
        f"{batch_size}, {epochs} epochs, medians of {repeats}"
    )
    print(f"{'':24} {'child-epochs/s':>14} {'ours is':>9} {'accuracy':>9}")
    for column, rival in enumerate(rivals):
        rate = len(architectures) * epochs / np.median(seconds[:, column])
        ratio = np.median(seconds[:, column] / seconds[:, 0])
        score = rival.score(outcomes[column], X_test, y_test)
        print(f"{rival.name:24} {rate:14.1f} {ratio:8.1f}x {score:9.4f}", flush=True)
    return seconds


def useful_operations(architecture, n_features, n_rows):
    """Count floating-point operations of one epoch's products."""
    widths = (n_features, *architecture.hidden_layer_sizes, 10)
    shapes = list(itertools.pairwise(widths))
    forward = sum(a * b for a, b in shapes)
    # The gradient of the input is not needed.
    return 2 * n_rows * (3 * forward - shapes[0][0] * shapes[0][1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist")
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--cases", default="a,b,c,d")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--skip", default="", help="rivals not to run, by their names")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    cases, device = arguments.cases.split(","), torch.device(arguments.device)
    rivals = [
        Ours(arguments.n_jobs, device),
        Ours(1, device),
        Sklearn(np.float64),
        Sklearn(np.float32),
        PlainTorch(),
        Skorch(),
    ]
    rivals = [r for r in rivals if r.name not in arguments.skip.split(",")]
    print(describe())

    digits = scale(load_digit_rows())
    mnist = None
    if arguments.mnist:
        mnist = scale(load_mnist_rows(arguments.mnist, arguments.rows))
    if "a" in cases:
        architectures = [Architecture((128, "relu"), (64, "relu"))] * 16
        compare("a", digits, architectures, 64, 100, rivals, arguments.repeats)
    if "b" in cases:
        architectures = draw_architectures(100)
        compare("b, digits", digits, architectures, 64, 5, rivals, arguments.repeats)
    if "c" in cases and mnist is not None:
        architectures = draw_architectures(100)
        compare("c, MNIST", mnist, architectures, 128, 1, rivals, arguments.repeats)
    if "d" in cases and mnist is not None:
        architecture = Architecture((512, "relu"), (512, "relu"))
        epochs = 4
        seconds = compare(
            "d, MNIST",
            mnist,
            [architecture] * 2,
            128,
            epochs,
            rivals,
            arguments.repeats,
        )
        operations = 2 * epochs * useful_operations(architecture, 784, len(mnist[0]))
        for column, rival in enumerate(rivals):
            if not isinstance(rival, Ours):
                continue
            n_cores = rival.n_jobs if rival.n_jobs > 1 else torch.get_num_threads()
            peak = matrix_multiply_peak(n_cores, device)
            rate = operations / np.median(seconds[:, column])
            print(
                f"{rival.name}: {rate / 1e9:.0f} GFLOP/s of a measured float32 peak of "
                f"{peak / 1e9:.0f} with {n_cores} threads ({rate / peak:.0%})"
            )


if __name__ == "__main__":
    main()
