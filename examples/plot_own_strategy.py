"""
.. _example_own_strategy:

==============================
A search strategy of one's own
==============================

The output shows an evolutionary strategy, written in the example, beside the random
search that is built in: the validation accuracy of each trial and the mean of each
round. A strategy of your own inherits from ``SearchStrategy``. The budget is 10 rounds
of 8 architectures with 6 epochs each, in a reduced space and without finalists.
"""

# %%
# The strategy. It keeps all architectures with their rewards; to propose one it takes
# one of the best and replaces, inserts or removes a layer. The first round is drawn
# from the prior of the space. Duplicates and architectures that were tried before may
# be drawn: the base class removes them and asks again.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sknas import Architecture, NASMLPClassifier, SearchStrategy


class Evolution(SearchStrategy):
    """Mutates the best architectures so far."""

    def __init__(self, n_parents=4):
        self.n_parents = n_parents

    def begin(self):
        self.rewards_ = {}

    def draw(self, n):
        if not self.rewards_:
            return [self.space_.sample(self.generator_) for _ in range(n)]
        best_first = sorted(self.rewards_, key=self.rewards_.get, reverse=True)
        parents = best_first[: self.n_parents]
        chosen = self.generator_.integers(len(parents), size=n)
        return [mutate(parents[i], self.space_, self.generator_) for i in chosen]

    def learn(self, architectures, rewards):
        self.rewards_.update(zip(architectures, rewards, strict=True))


def mutate(parent, space, generator):
    """Change one layer; where that makes no architecture, return the parent."""
    layers = list(parent.layers)
    position = generator.integers(len(layers))
    # All of the vocabulary but the end token, which is the last.
    layer = space.vocabulary[generator.integers(space.n_tokens - 1)]
    n_removed, inserted = [(1, [layer]), (0, [layer]), (1, [])][generator.integers(3)]
    layers[position : position + n_removed] = inserted
    try:
        child = Architecture(*layers)
    except ValueError:  # no layer left, dropout first or twice in a row
        return parent
    return child if child in space else parent


# %%
# The object is given as ``search_strategy``. ``fit`` uses a clone of it, so that it
# stays as it is. ``cross_val_score`` and ``GridSearchCV`` work, the latter over
# ``search_strategy__n_parents`` too.
X, y = load_digits(return_X_y=True)
budget = {
    "layer_widths": (8, 32, 128),
    "activations": ("relu", "tanh", "sigmoid"),
    "max_layers": 6,
    "n_rounds": 10,
    "n_architectures": 8,
    "search_epochs": 6,
    "first_architecture": None,
    "n_finalists": 0,
    "max_iter": 20,
    "random_state": 0,
}
evolution = NASMLPClassifier(search_strategy=Evolution(), **budget).fit(X, y)
random = NASMLPClassifier(search_strategy="random", **budget).fit(X, y)
print("evolution:", evolution.best_architecture_)
print("random:   ", random.best_architecture_)

# %%
# The mean of a round shows how well the strategy has learned; the best trial shows how
# much that gained. One run with one seed compares strategies no better than one split
# compares classifiers.
figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
for classifier, color, label, shift in (
    (evolution, "tab:blue", "evolution", -0.1),
    (random, "tab:orange", "random", 0.1),
):
    results, rounds = classifier.search_results_, classifier.round_results_
    axes.plot(
        results["round"] + shift,
        results["score"],
        "o",
        color=color,
        markersize=4,
        alpha=0.5,
    )
    axes.plot(rounds["round"], rounds["mean_score"], color=color, label=label)
    print(
        f"{label:10} best validation accuracy {results['score'].max():.3f}, "
        f"mean of the last round {rounds['mean_score'][-1]:.3f}"
    )
axes.set(
    xlabel="round",
    ylabel="validation accuracy",
    title="Trials by round; the lines are means",
)
axes.legend(loc="lower right")
plt.show()
