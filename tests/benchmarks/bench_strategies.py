"""Compare search strategies on the lookup tables: regret against cost.

    python tests/benchmarks/bench_strategies.py lookup
    python tests/benchmarks/bench_strategies.py figure doc/_static/strategies.svg

``lookup`` prints, for each table and strategy, the mean regret after 40 trials as five
rounds of eight, its ratio to that of a random search with the same seeds, the p-value
of the paired difference, and after how much of the cost of that random search the mean
regret is as low as its. ``figure`` draws the trials of each strategy over time.
With ``--outside``, Optuna's TPE is an outside reference, where Optuna is installed.
"""

import argparse
import time

import numpy as np
from lookup import LookupTable
from machine import describe
from scipy.stats import wilcoxon

from sknas import (
    Architecture,
    BayesianStrategy,
    EvolutionStrategy,
    ProgressiveStrategy,
    RandomStrategy,
    ReinforceStrategy,
    SearchStrategy,
)

STRATEGIES = {
    "random": RandomStrategy(),
    "reinforce": ReinforceStrategy(),
    "evolution": EvolutionStrategy(),
    "progressive": ProgressiveStrategy(),
    "bayesian": BayesianStrategy(),
}
TABLES = {"digits": (5, 15), "noisy": (5, 15)}
N_ROUNDS, N_ARCHITECTURES = 5, 8


class OptunaStrategy(SearchStrategy):
    """Optuna's TPE, as an outside reference.

    An architecture is a depth and, for each layer, a width, an activation and whether
    dropout follows.
    """

    def begin(self):
        """Make a study."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        seed = int(self.generator_.integers(2**32))
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked = {}

    def draw(self, n):
        """Ask the study until enough fit into the space."""
        drawn = []
        while len(drawn) < n:
            trial = self._study.ask()
            architecture = self._architecture(trial)
            if architecture not in self.space_ or architecture in self._asked:
                self._study.tell(trial, state=_pruned())
                continue
            self._asked[architecture] = trial
            drawn.append(architecture)
        return drawn

    def _architecture(self, trial):
        space = self.space_
        layers = []
        for i in range(trial.suggest_int("depth", 1, space.max_layers - 1)):
            widths, names = space.layer_widths, space.activations
            width = trial.suggest_categorical(f"width{i}", widths)
            layers.append((width, trial.suggest_categorical(f"activation{i}", names)))
            if space.dropout and trial.suggest_categorical(f"dropout{i}", [0, 1]):
                layers.append("dropout")
        return Architecture(*layers)

    def learn(self, architectures, rewards):
        """Tell the study."""
        for architecture, reward in zip(architectures, rewards, strict=True):
            self._study.tell(self._asked[architecture], reward)


def _pruned():
    import optuna

    return optuna.trial.TrialState.FAIL


def regrets(table, strategy, n_seeds):
    """Return regrets of shape (n_seeds,) after all trials, and what each trial cost.

    Returns
    -------
    regret : ndarray of shape (n_seeds, n_trials)
        After each trial.
    cost : ndarray of shape (n_seeds, n_trials)
        Sums up to each trial.
    seconds : float
        The strategy's own, of a search.
    """
    of_seeds = []
    start = time.process_time()
    for seed in range(n_seeds):
        search = table.search(strategy, seed, N_ROUNDS, N_ARCHITECTURES)
        n_trials = len(search.index)
        after = [table.regret(search.chosen(n + 1)) for n in range(n_trials)]
        of_seeds.append((after, search.cost.cumsum()))
    seconds = (time.process_time() - start) / n_seeds
    regret, cost = np.array(of_seeds).swapaxes(0, 1)
    return regret, cost, seconds


def compare(strategies, n_seeds):
    """Print the comparison on all tables."""
    print(describe())
    print(f"{n_seeds} seeds, {N_ROUNDS} rounds of {N_ARCHITECTURES}")
    for name, of_table in TABLES.items():
        for epochs in of_table:
            table = LookupTable(name, epochs)
            print(f"\n{name}, {epochs} epochs: the best has {table.accuracy.max():.4f}")
            print(f"  exhaustive choice by the reward: {table.floor():.4f}")
            reference = None
            for label, strategy in strategies.items():
                regret, cost, seconds = regrets(table, strategy, n_seeds)
                last = regret[:, -1]
                if reference is None:
                    reference, spent = last, cost[:, -1].mean()
                    print(f"  {label:12s} regret {last.mean():.4f}, {spent:.2f} s")
                    continue
                p = wilcoxon(last, reference, alternative="less").pvalue
                # The first trial from which on it is as good as the random search.
                reached = regret.mean(axis=0) <= reference.mean()
                share = np.nan
                if reached.any():
                    share = cost.mean(axis=0)[reached.argmax()] / spent
                print(
                    f"  {label:12s} regret {last.mean():.4f}, "
                    f"ratio {last.mean() / reference.mean():.2f}, p {p:.1g}, "
                    f"cost {cost[:, -1].mean() / spent:.2f}, as good as random "
                    f"after {share:.2f}; own time {seconds:.2f} s",
                    flush=True,
                )


def draw(path, strategies, n_seeds):
    """Draw the reward of each trial, and the best so far, over the trials."""
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(
        len(TABLES),
        len(strategies),
        figsize=(2.2 * len(strategies), 2.3 * len(TABLES)),
        sharex=True,
        sharey="row",
        layout="constrained",
    )
    for row, name in zip(rows, TABLES, strict=True):
        table = LookupTable(name)
        for axes, (label, strategy) in zip(row, strategies.items(), strict=True):
            rewards = np.array(
                [
                    table.search(strategy, seed, N_ROUNDS, N_ARCHITECTURES).reward
                    for seed in range(n_seeds)
                ]
            )
            trials = np.arange(1, rewards.shape[1] + 1)
            low, high = np.quantile(rewards, (0.1, 0.9), axis=0)
            axes.fill_between(trials, low, high, color="0.85")
            axes.plot(trials, np.median(rewards, axis=0), color="0.45")
            best = np.maximum.accumulate(rewards, axis=1).mean(axis=0)
            axes.plot(trials, best, color="tab:blue")
            axes.axhline(table.rewards().max(), color="black", linestyle="--", lw=0.8)
            axes.set_title(f"{label}, {name}", fontsize=9)
            axes.set_ylim(np.quantile(table.rewards(), 0.3), None)
        row[0].set_ylabel("validation accuracy")
    for axes in rows[-1]:
        axes.set_xlabel("trial")
    figure.savefig(path)


def main():
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["lookup", "figure"])
    parser.add_argument("path", nargs="?", default="strategies.svg")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--outside", action="store_true")
    arguments = parser.parse_args()
    strategies = dict(STRATEGIES)
    if arguments.outside:
        strategies["TPE (Optuna)"] = OptunaStrategy()
    if arguments.what == "lookup":
        compare(strategies, arguments.seeds)
    else:
        draw(arguments.path, strategies, arguments.seeds)


if __name__ == "__main__":
    main()
