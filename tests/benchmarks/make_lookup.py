"""Train every architecture of a space, and keep what came of it in a table.

A strategy then searches in milliseconds, on exact values, and its regret is known. Each
architecture is trained on three splits, for 2, 5, 15 and 60 epochs with a schedule of
its own each, with the classifier's defaults otherwise.

    python tests/benchmarks/make_lookup.py digits WORK tests/data/lookup_digits.npz

Each split and number of epochs is a part, stored in the work folder when it is done: a
run that was ended goes on. ``--n-jobs 2`` trains in two processes.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits, make_classification

from sknas import NASMLPClassifier, SearchSpace
from sknas._engine.grouping import epoch_cost
from sknas._engine.jobs import TrainingData, TrainingJob
from sknas._engine.trainer import Trainer
from sknas._fit.settings import read_settings
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._random import SeedSource
from sknas._table.encoder import TableEncoder
from sknas._tasks.classification import Classification

SPACE = {
    "layer_widths": (16, 64, 256),
    "activations": ("relu", "tanh"),
    "max_layers": 5,
}
EPOCHS = (2, 5, 15, 60)
N_SPLITS = 3
# Architectures trained by one call: what is lost when a run is ended.
CHUNK = 400


def load(name):
    """Return X, y and, for each split, rows to train, to validate and to test on.

    What is validated and tested on is large beside what is trained on: else the best
    of 2,316 scores would be the luckiest.
    """
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        # Each third trains, validates and tests once.
        thirds = np.array_split(np.random.default_rng(0).permutation(len(y)), N_SPLITS)
        return X, y, [(*thirds[i:], *thirds[:i]) for i in range(N_SPLITS)]
    # Noisy: a fifth of the labels is drawn at random, and half of the columns say
    # nothing.
    n_train, n_validation = 1000, 2000
    X, y = make_classification(
        n_samples=17000,
        n_features=20,
        n_informative=8,
        n_redundant=2,
        n_classes=3,
        n_clusters_per_class=3,
        class_sep=1.2,
        flip_y=0.2,
        random_state=0,
    )
    order = np.random.default_rng(0).permutation(len(y))
    sizes = [n_train, n_validation] * N_SPLITS
    *parts, test = np.split(order, np.cumsum(sizes))
    return X, y, [(parts[2 * i], parts[2 * i + 1], test) for i in range(N_SPLITS)]


class Table:
    """One table with its splits, encoded."""

    def __init__(self, name):
        X, self.y, self.splits = load(name)
        encoder = TableEncoder("scale").fit(X, self.y)
        self.X = encoder.encode(X, np.float32)
        self.task = Classification.from_target(None, X, self.y)

    def fold(self, split):
        """Return the rows of one split, in the engine's form."""
        rows, validation_rows, _ = self.splits[split]
        y = self.task.y
        return TrainingData(
            self.X[rows],
            y[rows],
            self.task.output,
            self.X[validation_rows],
            y[validation_rows],
        )

    def test_score(self, split, result):
        """Return the accuracy of one network on the rows that test a split."""
        rows = self.splits[split][2]
        member = Member(result.architecture, result.weights)
        ensemble = FittedEnsemble([member], self.task.output.name)
        p = ensemble.predict_log_proba(self.X[rows])
        return float((p.argmax(axis=1) == self.y[rows]).mean())


def train_part(table, architectures, split, epochs, n_jobs):
    """Train all architectures on one split; return columns of equal length."""
    fold = table.fold(split)
    parameters = NASMLPClassifier().get_params(deep=False)
    training = read_settings(parameters, "NASMLPClassifier", 0.3).training
    device = torch.device("cpu")
    settings = training.whole(epochs, epochs)
    trainer = Trainer([fold], settings, seed=0, device=device, n_jobs=n_jobs)
    seeds = SeedSource(0)
    rows = [None] * len(architectures)
    for start in range(0, len(architectures), CHUNK):
        part = architectures[start : start + CHUNK]
        jobs = [
            TrainingJob(each, seeds.seed("lookup", each, split, epochs))
            for each in part
        ]
        begin = time.perf_counter()
        for number, result in trainer.train(jobs):
            rows[start + number] = measured(table, fold, split, result)
        seconds = time.perf_counter() - begin
        print(f"  {start + len(part)}: {seconds:.0f} s", flush=True)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def measured(table, fold, split, result):
    """Return what the table says of one training."""
    p = result.validation_predictions
    return {
        "score": float((p.argmax(axis=1) == fold.y_validation).mean()),
        "log_loss": result.validation_loss,
        "test_score": table.test_score(split, result),
        # Right validation rows after each epoch.
        "curve": np.round(np.array(result.validation_scores) * len(p)),
    }


def costs(table, architectures):
    """Return the seconds per epoch of each architecture, by the cost model."""
    parameters = NASMLPClassifier().get_params(deep=False)
    training = read_settings(parameters, "NASMLPClassifier", 0.3).training
    fold = table.fold(0)
    n_rows = training.n_batch_rows(len(fold.X))
    return [epoch_cost(each, fold, n_rows) for each in architectures]


def main():
    """Run what is missing, and put the parts together."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("table", choices=["digits", "noisy"])
    parser.add_argument("work", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--epochs", type=int, nargs="*", default=EPOCHS)
    arguments = parser.parse_args()
    space = SearchSpace(**SPACE)
    architectures = list(space)
    table = Table(arguments.table)
    arguments.work.mkdir(parents=True, exist_ok=True)
    columns = {}
    for epochs in arguments.epochs:
        parts = []
        for split in range(N_SPLITS):
            path = arguments.work / f"{arguments.table}_{epochs}_{split}.npz"
            if not path.exists():
                print(f"{epochs} epochs, split {split}", flush=True)
                part = train_part(table, architectures, split, epochs, arguments.n_jobs)
                np.savez_compressed(path, **part)
            parts.append(np.load(path))
        for name, dtype in [
            ("score", np.float32),
            ("log_loss", np.float16),
            ("test_score", np.float32),
            ("curve", np.uint16),
        ]:
            # Of shape (n_architectures, n_splits), curves with an axis of epochs more.
            stacked = np.stack([part[name] for part in parts], axis=1)
            columns[f"{name}_{epochs}"] = stacked.astype(dtype)
    n_inputs, n_outputs = table.X.shape[1], table.task.output.n_outputs
    np.savez_compressed(
        arguments.output,
        space=json.dumps(SPACE),
        n_validation_rows=len(table.splits[0][1]),
        cost=np.array(costs(table, architectures), dtype=np.float32),
        n_parameters=np.array(
            [each.n_parameters(n_inputs, n_outputs) for each in architectures]
        ),
        **columns,
    )


if __name__ == "__main__":
    main()
