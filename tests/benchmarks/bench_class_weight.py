"""What ``class_weight='balanced'`` does to the accuracies on an unequal table.

python tests/benchmarks/bench_class_weight.py FOLDER [--table mammography] [--repeats 3]

3,000 rows are trained on, all others are test rows, stratified.
"""

import argparse
from pathlib import Path

import numpy as np
from machine import describe
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split
from tables import load

from sknas import NASMLPClassifier


def main():
    """Fit with and without, and print the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", default="mammography")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(describe())
    X, y = load(arguments.folder, arguments.table)
    for class_weight in (None, "balanced"):
        figures = []
        for seed in range(arguments.repeats):
            X_train, X_test, y_train, y_test = train_test_split(
                X, y, train_size=3000, random_state=seed, stratify=y
            )
            classifier = NASMLPClassifier(class_weight=class_weight, random_state=seed)
            predicted = classifier.fit(X_train, y_train).predict(X_test)
            measures = (balanced_accuracy_score, accuracy_score)
            figures.append([measure(y_test, predicted) for measure in measures])
        balanced, plain = np.mean(figures, axis=0)
        print(
            f"class_weight={class_weight!r}: balanced accuracy {balanced:.4f}, "
            f"accuracy {plain:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
