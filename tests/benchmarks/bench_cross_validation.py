"""Accuracy and fit time beside MLPClassifier in ``cross_val_score``, on bundled sets.

python tests/benchmarks/bench_cross_validation.py [--sets iris,digits] [--seeds 3]
    [--n-jobs 2]

Both estimators have their defaults; MLPClassifier comes behind a StandardScaler. The
folds are the same for both and for every seed.
"""

import argparse
import warnings

import numpy as np
from machine import describe
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import NASMLPClassifier


def make_mlp(seed):
    return make_pipeline(StandardScaler(), MLPClassifier(random_state=seed))


def make_nas(seed):
    return NASMLPClassifier(random_state=seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="iris,wine,breast_cancer,digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n-jobs", type=int, default=2, help="folds at a time")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    print(describe())
    print(
        f"5 folds, {arguments.seeds} seeds, {arguments.n_jobs} folds at a time; "
        "fit s: median of all folds\n"
    )
    print(f"{'':14} {'MLPClassifier':>22} {'NASMLPClassifier':>24} {'':>10}")
    print(f"{'':14} {'accuracy':>13} {'fit s':>8} {'accuracy':>15} {'fit s':>8} diff")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for name in arguments.sets.split(","):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        scores, times = [], []
        for make in (make_mlp, make_nas):
            runs = [
                cross_validate(make(seed), X, y, cv=folds, n_jobs=arguments.n_jobs)
                for seed in range(arguments.seeds)
            ]
            scores.append([run["test_score"].mean() for run in runs])
            times.append(np.median([run["fit_time"] for run in runs]))
        mlp, nas = np.mean(scores, axis=1)
        print(
            f"{name:14} {mlp:.4f}±{np.std(scores[0]):.4f} {times[0]:8.1f} "
            f"{nas:8.4f}±{np.std(scores[1]):.4f} {times[1]:8.1f} {nas - mlp:+.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
