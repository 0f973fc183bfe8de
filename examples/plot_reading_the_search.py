"""
.. _example_reading_the_search:

==================
Reading the search
==================

The output shows what a search records and how to read it: the rewards of its rounds,
the entropy of the policy, what the accuracy predictor expected against what came, and
the size of the architectures against their scores. Three searches run on the same
budget: the controller, the controller without the predictor's screening, and random
search. The budget is 20 rounds of 8 architectures with 6 epochs each, in a reduced
space. Finalists and a long refit are left out, since only the search is of interest
here.
"""

# %%
# Three searches that differ in nothing but what proposes the architectures. With 160
# trials each there is enough to learn from; a search with the default budget has only
# five rounds, too few to show a curve.
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

from sknas import NASMLPClassifier, ReinforceStrategy

X, y = load_digits(return_X_y=True)
budget = {
    "layer_widths": (8, 32, 128),
    "activations": ("relu", "tanh", "sigmoid"),
    "max_layers": 6,
    "n_rounds": 20,
    "n_architectures": 8,
    "search_epochs": 6,
    "first_architecture": None,
    "n_finalists": 0,
    "max_iter": 1,
    "random_state": 0,
}
searches = {
    "reinforce": NASMLPClassifier(search_strategy="reinforce", **budget),
    "reinforce, no screening": NASMLPClassifier(
        search_strategy=ReinforceStrategy(predictor_candidates=1), **budget
    ),
    "random": NASMLPClassifier(search_strategy="random", **budget),
}
for classifier in searches.values():
    classifier.fit(X, y)

# %%
# ``round_results_`` has one row for each round: how many trials, their mean and best
# score, and what the strategy reports of its update.
rounds = searches["reinforce"].round_results_
print("round  trials  mean score  best score  entropy  predictor_loss")
for row in range(0, len(rounds["round"]), 3):
    print(
        f"{rounds['round'][row]:5d}  {rounds['n_trials'][row]:6d}"
        f"  {rounds['mean_score'][row]:10.3f}  {rounds['best_score'][row]:10.3f}"
        f"  {rounds['entropy'][row]:7.3f}  {rounds['predictor_loss'][row]:14.4f}"
    )

# %%
# On the left, the rewards. ``reward`` in ``search_results_`` is what the strategy is
# told; with ``scoring=None`` it is the accuracy plus half the mean log-probability of
# the true classes. Random search draws every round from the same distribution, so that
# its mean goes nowhere. The controller's mean rises, sooner where the predictor screens
# its candidates.
#
# On the right, the entropy of the policy: the mean over the tokens of a round. It falls
# as the policy makes up its mind. Should it fall to zero while the rewards are still
# low, the policy has settled too early: raise ``search_strategy__entropy`` or lower
# ``search_strategy__learning_rate``. Should it not fall at all, the search was too
# short for the policy to learn, and did little more than random search with screening.
colors = {
    "reinforce": "tab:blue",
    "reinforce, no screening": "tab:green",
    "random": "tab:orange",
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for shift, (name, classifier) in zip((-0.2, 0, 0.2), searches.items(), strict=True):
    results, rounds = classifier.search_results_, classifier.round_results_
    means = [
        results["reward"][results["round"] == number].mean()
        for number in rounds["round"]
    ]
    left.plot(
        results["round"] + shift,
        results["reward"],
        "o",
        color=colors[name],
        markersize=3,
        alpha=0.4,
    )
    left.plot(rounds["round"], means, color=colors[name], linewidth=2, label=name)
    if "entropy" in rounds:
        right.plot(rounds["round"], rounds["entropy"], "o-", color=colors[name])
left.set(
    xlabel="round",
    ylabel="reward",
    title="Rewards; the lines are means",
    ylim=(0, 1.3),
    yticks=np.linspace(0, 1, 6),
)
left.legend(loc="upper left", ncols=2)
right.set(
    xlabel="round",
    ylabel="entropy in nats per token",
    title="The policy makes up its mind",
    ylim=(0, None),
)
for axes in (left, right):
    axes.set_xticks(range(0, 20, 4))
plt.show()

# %%
# ``predicted_score`` is what the predictor expected of an architecture before it was
# trained, in the units of the reward. It is NaN in the first round, when the predictor
# has seen nothing. Points on the diagonal are predicted exactly; for screening only the
# order matters, which the rank correlation measures. The search without screening is
# the fair test: what has been screened is what the predictor thought well of.
results = searches["reinforce, no screening"].search_results_
is_predicted = np.isfinite(results["predicted_score"])
predicted = results["predicted_score"][is_predicted]
reward = results["reward"][is_predicted]
correlation = spearmanr(predicted, reward).statistic
error = np.abs(predicted - reward).mean()
print(f"rank correlation {correlation:.2f}, mean absolute error {error:.3f}")

# %%
# On the left, the predictor. On the right, size against score. Above a certain size,
# more parameters do not buy more accuracy: architectures of very different size reach
# about the same score. This is why the first architecture is replaced only by one that
# is better by more than the noise.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
points = left.scatter(
    predicted, reward, c=results["round"][is_predicted], s=16, cmap="viridis"
)
ends = [min(predicted.min(), reward.min()), max(predicted.max(), reward.max())]
left.plot(ends, ends, color="0.7", zorder=0)
left.set(
    xlabel="predicted_score", ylabel="reward", title="The predictor against the truth"
)
figure.colorbar(points, ax=left, label="round")
for name, classifier in searches.items():
    results = classifier.search_results_
    right.semilogx(
        results["n_parameters"],
        results["score"],
        "o",
        color=colors[name],
        markersize=4,
        alpha=0.6,
        label=name,
    )
right.set(
    xlabel="n_parameters", ylabel="validation accuracy", title="Size against score"
)
right.legend(loc="lower right")
plt.show()
