"""A space of which every architecture has been trained: see `make_lookup`.

A strategy searches on it in milliseconds, on what real trainings gave.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sknas import Outcome, SearchSpace
from sknas._space import as_proposal

# The objectives of a front.
SOUGHT = ("score", "n_parameters")

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Search:
    """What a strategy tried, in its order; one array entry for each trial."""

    index: np.ndarray  # of the architecture
    epochs: np.ndarray
    reward: np.ndarray
    cost: np.ndarray  # seconds, by the cost model

    def chosen(self, n_trials=None):
        """Return the architecture that the first trials would choose, by its index.

        The best reward of those that were trained longest; of equals the first.
        """
        part = slice(n_trials)
        rank = np.lexsort((-self.reward[part], -self.epochs[part]))
        return int(self.index[part][rank[0]])


class LookupTable:
    """The trainings of all architectures of a space.

    Parameters
    ----------
    name : {'digits', 'noisy'}
        Which table.
    epochs : int, default=15
        Of a proposal that says nothing of them, and of the accuracy that is sought.
    split : int, default=0
        What rewards are measured on.
    """

    def __init__(self, name, epochs=15, split=0):
        with np.load(DATA / f"lookup_{name}.npz") as stored:
            self.columns = dict(stored)
        self.space = SearchSpace(**json.loads(str(self.columns.pop("space"))))
        self.architectures = list(self.space)
        self.index = {each: i for i, each in enumerate(self.architectures)}
        self.epochs, self.split = epochs, split
        # What an architecture is worth: the mean over the splits, on rows that neither
        # trained nor validated it.
        self.accuracy = self.columns[f"test_score_{epochs}"].mean(axis=1)

    def rewards(self, epochs=None):
        """Return the validation score of every architecture."""
        return self.columns[f"score_{epochs or self.epochs}"][:, self.split]

    def regret(self, index):
        """Return how much less accurate an architecture is than the best one."""
        return float(self.accuracy.max() - self.accuracy[index])

    def floor(self):
        """Return the regret of the best reward of all."""
        return self.regret(int(self.rewards().argmax()))

    def outcome(self, trial, proposal):
        """Return what a proposal comes to."""
        index = self.index[proposal.candidate.architecture]
        epochs = proposal.epochs or self.epochs
        curve = self.columns[f"curve_{epochs}"][index, self.split]
        reward = float(self.rewards(epochs)[index])
        n_parameters = float(self.columns["n_parameters"][index])
        return Outcome(
            trial=trial,
            proposal=proposal,
            reward=reward,
            objectives={"score": reward, "n_parameters": n_parameters},
            curve=tuple(curve / self.columns["n_validation_rows"]),
            cost=float(self.columns["cost"][index]) * epochs,
            failed=False,
        )

    def search(self, strategy, seed, n_rounds=5, n_architectures=8, budget=np.inf):
        """Let a strategy search.

        Parameters
        ----------
        strategy : SearchStrategy
            Set up by this.
        seed : int
            Its random state.
        n_rounds, n_architectures : int
            Rounds, and proposals in each.
        budget : float, default=inf
            Seconds by the cost model, after which no round begins.
        """
        strategy.setup(self.space, seed)
        trials = []
        for _ in range(n_rounds):
            if sum(each.cost for each in trials) >= budget:
                break
            asked = strategy.ask(n_architectures)
            outcomes = [
                self.outcome(len(trials) + i, as_proposal(each))
                for i, each in enumerate(asked)
            ]
            strategy.observe(outcomes)
            strategy.tell(asked, [each.reward for each in outcomes])
            trials += outcomes
        return Search(
            np.array([self.index[each.architecture] for each in trials]),
            np.array([each.proposal.epochs or self.epochs for each in trials]),
            np.array([each.reward for each in trials]),
            np.array([each.cost for each in trials]),
        )


def hypervolume(scores, costs, reference):
    """Return the area between a front and a point that is worse than all of it."""
    area, best = 0.0, reference[0]
    # The cheapest first; each point that scores more adds a rectangle.
    for place in np.lexsort((-scores, costs)):
        gain = max(scores[place] - best, 0.0)
        area += gain * (reference[1] - costs[place])
        best += gain
    return area


def searched(strategy, table, seed, n_trials=80, n_architectures=8):
    """Return the positions of what a strategy tries."""
    strategy.setup(table.space, seed)
    tried = []
    while len(tried) < n_trials:
        asked = strategy.ask(n_architectures)
        outcomes = [
            replace(table.outcome(len(tried) + i, as_proposal(each)), sought=SOUGHT)
            for i, each in enumerate(asked)
        ]
        strategy.observe(outcomes)
        strategy.tell(asked, [outcome.reward for outcome in outcomes])
        tried += [table.index[each] for each in asked]
    return tried


def share_of_front(strategy, table, seed):
    """Return the share of the exact hypervolume that a strategy comes to.

    By the rewards that it is told, and in score and logarithm of the size, from the
    lowest score and the largest size of the table on.
    """
    scores = table.rewards().astype(float)
    costs = np.log(table.columns["n_parameters"])
    reference = scores.min(), costs.max()
    tried = searched(strategy, table, seed)
    found = hypervolume(scores[tried], costs[tried], reference)
    return found / hypervolume(scores, costs, reference)
