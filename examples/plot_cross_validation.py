"""
.. _example_cross_validation:

=====================================
Side by side with scikit-learn's MLP
=====================================

The output compares ``NASMLPClassifier`` with ``MLPClassifier``, as it is and behind a
``StandardScaler``, by ``cross_val_score`` on four data sets that come with
scikit-learn: the mean accuracy of three folds, and each fold as a point. The search
runs on a reduced budget: 2 rounds of 4 architectures, one split for the finalists, and
at most 40 epochs for them and the refit.
"""

# %%
# The three estimators. ``MLPClassifier`` needs scaled inputs, ``NASMLPClassifier``
# scales them itself.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import NASMLPClassifier

estimators = {
    "NASMLPClassifier": NASMLPClassifier(
        n_rounds=2, n_architectures=4, n_splits=1, max_iter=40, random_state=0
    ),
    "StandardScaler + MLPClassifier": make_pipeline(
        StandardScaler(), MLPClassifier(random_state=0)
    ),
    "MLPClassifier": MLPClassifier(random_state=0),
}
data_sets = {
    "iris": load_iris,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
}

# %%
# The same three folds for all. On small tables ``MLPClassifier`` stops at its 200
# epochs with a ``ConvergenceWarning``, which is left out here.
folds = StratifiedKFold(n_splits=3, shuffle=True, random_state=0)
scores = {}
for data_name, load in data_sets.items():
    X, y = load(return_X_y=True)
    for estimator_name, estimator in estimators.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            scores[data_name, estimator_name] = cross_val_score(
                estimator, X, y, cv=folds
            )

print(f"{'':14}" + "".join(f"{name:>32}" for name in estimators))
for data_name in data_sets:
    means = [scores[data_name, estimator_name].mean() for estimator_name in estimators]
    print(f"{data_name:14}" + "".join(f"{mean:32.3f}" for mean in means))

# %%
# Large markers are means, small ones folds. A fold of iris has 50 rows, so that one row
# more or less is two points of accuracy: differences of that size mean nothing.
figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
colors = ["tab:blue", "tab:orange", "0.6"]
for position, (estimator_name, color) in enumerate(
    zip(estimators, colors, strict=True)
):
    shift = 0.22 * (position - 1)
    rows = np.arange(len(data_sets)) + shift
    all_scores = np.array([scores[name, estimator_name] for name in data_sets])
    axes.plot(all_scores, rows, "o", color=color, markersize=4, alpha=0.5)
    axes.plot(
        all_scores.mean(axis=1),
        rows,
        "D",
        color=color,
        markersize=8,
        label=estimator_name,
    )
for boundary in np.arange(len(data_sets) - 1) + 0.5:
    axes.axhline(boundary, color="0.9", linewidth=1)
axes.set_yticks(range(len(data_sets)), data_sets)
axes.invert_yaxis()
axes.set(xlabel="accuracy", title="Three-fold cross-validation")
axes.legend(loc="lower left")
plt.show()
