"""
.. _example_quickstart:

==========
Quickstart
==========

``NASMLPClassifier`` searches for the architecture of a multilayer perceptron and trains
it. The output shows the best architectures of a search on the digits data, the one that
was chosen, and its test accuracy beside that of ``MLPClassifier`` on the same split.
All settings are the defaults; the fit takes about 20 seconds on two cores.
"""

# %%
# The data: 1797 images of handwritten digits, 8 by 8 pixels each. A quarter of the rows
# is kept for testing. Neither the search nor the training sees them.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import NASMLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.25, stratify=y, random_state=0
)

# %%
# ``fit`` searches, chooses and trains. ``verbose=1`` reports progress on stderr. The
# classifier scales its inputs itself.
classifier = NASMLPClassifier(random_state=0, verbose=1)
classifier.fit(X_train, y_train)

# %%
# ``search_results_`` holds one row for each architecture that was tried. ``score`` is
# the accuracy on the validation rows, after the short training of the search, and
# ``loss`` their log loss. Row 0 is a fixed architecture, the others come from the
# controller.
results = classifier.search_results_
best_first = np.lexsort((results["loss"], results["rank_score"]))

print("rank  trial  score    loss  parameters  round  architecture")
for row in best_first[:10]:
    layers = ", ".join(
        layer if isinstance(layer, str) else f"{layer[0]} {layer[1]}"
        for layer in results["architecture"][row].layers
    )
    print(
        f"{results['rank_score'][row]:4d}  {row:5d}  {results['score'][row]:.3f}"
        f"  {results['loss'][row]:6.3f}  {results['n_parameters'][row]:10d}"
        f"  {results['round'][row]:5d}  {layers}"
    )

# %%
# A short training only ranks. The best trials are therefore trained again, from
# scratch, for a short and a long time: they are the finalists. Row 0 has to be beaten
# by more than chance. The choice is trained without piecewise linear columns too.
finalists = classifier.finalist_results_
print("finalists: trial, encoding, epochs, validation score, validation loss")
for row, is_chosen in enumerate(finalists["chosen"]):
    print(
        f"{finalists['index'][row]:5d}  {finalists['encoding'][row]:9}"
        f"  {finalists['n_iter'][row]:3d}  {finalists['score'][row]:.3f}"
        f"  {finalists['loss'][row]:.3f}{'  <- chosen' if is_chosen else ''}"
    )

print(f"\nchosen: {classifier.best_architecture_}")
print(
    f"{len(results['score'])} trials, search {classifier.search_time_:.0f} s, "
    f"refit {classifier.refit_time_:.0f} s"
)

# %%
# The search as it went: each point is a trial, the line the best score so far. Vertical
# lines separate the rounds, after each of which the controller learns. The axis ends
# ten points below the median: the few trials that hardly learned are not shown.
trials = np.arange(len(results["score"]))
figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
for first in np.flatnonzero(np.diff(results["round"])) + 0.5:
    axes.axvline(first, color="0.85", linewidth=1)
axes.step(
    trials,
    np.fmax.accumulate(results["score"]),
    where="post",
    color="tab:orange",
    label="best so far",
)
axes.plot(trials, results["score"], "o", color="tab:blue", label="a trial")
axes.plot(
    classifier.best_index_,
    results["score"][classifier.best_index_],
    "o",
    markersize=12,
    markerfacecolor="none",
    markeredgecolor="tab:red",
    markeredgewidth=2,
    label="the chosen one",
)
lowest = max(np.nanmin(results["score"]), np.nanmedian(results["score"]) - 0.1)
axes.set_ylim(lowest - 0.005, 1)
axes.set(
    xlabel="trial",
    ylabel="validation accuracy",
    title="Architectures tried on the digits data",
)
axes.legend(loc="lower right")
plt.show()

# %%
# The chosen architecture has been refitted on all training rows. The comparison is a
# pipeline of ``StandardScaler`` and ``MLPClassifier``, both with their defaults. The
# test set has 450 rows, on which one standard error of such an accuracy is more than
# half a point.
baseline = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
baseline.fit(X_train, y_train)

print(
    f"test accuracy: NASMLPClassifier {classifier.score(X_test, y_test):.3f}, "
    f"MLPClassifier {baseline.score(X_test, y_test):.3f}"
)
