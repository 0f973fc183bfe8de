"""
.. _example_own_strategy:

==============================
A search strategy of one's own
==============================

The output shows an evolutionary strategy, written in the example, beside the random
search that is built in: the validation accuracy of each trial and the mean of each
round. A strategy is any object with ``setup``, ``ask`` and ``tell``. The budget is 10
rounds of 8 architectures with 6 epochs each, in a reduced space and without finalists.
"""

# %%
# The strategy. It keeps all architectures with their rewards; to propose one it takes
# one of the best and replaces, inserts or removes a layer. What comes out may be no
# architecture (dropout first), not of the space (too long), or not new: then it tries
# again, but not forever. The first round is drawn from the prior of the space.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sknas import Architecture, NASMLPClassifier


class Evolution:
    """Mutates the best architectures so far."""

    def __init__(self, n_parents=4):
        self.n_parents = n_parents

    def setup(self, space, random_state):
        self.space = space
        self.generator = np.random.default_rng(random_state)
        self.rewards = {}

    def ask(self, n):
        best_first = sorted(self.rewards, key=self.rewards.get, reverse=True)
        parents = best_first[: self.n_parents]
        proposed = []
        for _ in range(100 * n):
            if len(proposed) == n:
                break
            if parents:
                parent = parents[self.generator.integers(len(parents))]
                candidate = self.mutate(parent)
            else:
                candidate = self.space.sample(self.generator)
            if candidate not in self.rewards and candidate not in proposed:
                proposed.append(candidate)
        return proposed

    def tell(self, architectures, rewards):
        self.rewards.update(zip(architectures, rewards, strict=True))

    def mutate(self, parent):
        layers = list(parent.layers)
        position = self.generator.integers(len(layers))
        # All of the vocabulary but the end token, which is the last.
        token = self.generator.integers(self.space.n_tokens - 1)
        layer = self.space.vocabulary[token]
        mutation = self.generator.choice(["replace", "insert", "remove"])
        if mutation == "insert":
            layers.insert(position, layer)
        elif mutation == "remove":
            del layers[position]
        else:
            layers[position] = layer
        try:
            child = Architecture(*layers)
        except ValueError:  # no layer left, dropout first or twice in a row
            return parent
        return child if child in self.space else parent


# %%
# The object is given as ``search_strategy``. ``fit`` uses a deep copy of it, so that it
# stays as it is, and ``clone``, ``cross_val_score`` and ``GridSearchCV`` work.
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
# Means of a round tell how well a strategy has learned, the best trial how much it was
# worth. One run with one seed compares strategies no better than one split compares
# classifiers.
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
    print(f"{label:10} best validation accuracy {results['score'].max():.3f}")
axes.set(
    xlabel="round",
    ylabel="validation accuracy",
    title="Trials by round; the lines are means",
)
axes.legend(loc="lower right")
plt.show()
