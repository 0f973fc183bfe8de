"""Compare search strategies on the lookup tables: regret against cost.

    python tests/benchmarks/bench_strategies.py lookup
    python tests/benchmarks/bench_strategies.py fidelity
    python tests/benchmarks/bench_strategies.py figure doc/images/strategies.svg

``lookup`` prints, for each table and strategy, the mean regret after 40 trials as five
rounds of eight, its ratio to that of a random search with the same seeds, the p-value
of the paired difference, and after how much of the cost of that random search the mean
regret is as low as its. ``fidelity`` prints the regret of strategies that begin with
few epochs, at a third of the cost of 40 trials of random search. ``figure`` draws the
trials of each strategy over time.
Among ``--strategies``, ``tpe`` (Optuna) and ``smac`` are outside references, where
``optuna`` and ``smac`` are installed.
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
    HalvingStrategy,
    HyperbandStrategy,
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
OUTSIDE = ("tpe", "smac")
TABLES = ("digits", "noisy")
EPOCHS = (5, 15, 60)
N_ROUNDS, N_ARCHITECTURES = 5, 8


class OutsideStrategy(SearchStrategy):
    """An optimiser of another library, which sees a table of parameters.

    An architecture is a depth and, for each layer, a width, an activation and whether
    dropout follows; what is longer than the space allows is cut off. What the optimiser
    repeats is told its reward again, and is not tried again.
    """

    def begin(self):
        """Make the optimiser."""
        self._waiting, self._known = {}, {}
        self.make(int(self.generator_.integers(2**31)))

    def draw(self, n):
        """Ask as often as it takes, within reason."""
        drawn = []
        for _ in range(10 * n):
            asked, values = self.ask_one()
            architecture = self._architecture(values)
            if architecture in self._known:
                self.tell_one(asked, self._known[architecture])
            elif architecture in self._waiting:
                self._waiting[architecture].append(asked)
            else:
                self._waiting[architecture] = [asked]
                drawn.append(architecture)
            if len(drawn) == n:
                break
        return drawn

    def learn(self, architectures, rewards):
        """Tell what was asked for, and what was repeated meanwhile."""
        for architecture, reward in zip(architectures, rewards, strict=True):
            self._known[architecture] = reward
            for asked in self._waiting.pop(architecture, []):
                self.tell_one(asked, reward)

    def parameters(self):
        """Return the values of each parameter, by its name."""
        space = self.space_
        parameters = {"depth": list(range(1, space.max_layers))}
        for i in range(space.max_layers - 1):
            parameters[f"width{i}"] = list(space.layer_widths)
            parameters[f"activation{i}"] = list(space.activations)
            parameters[f"dropout{i}"] = [False, True]
        return parameters

    def _architecture(self, values):
        layers = []
        for i in range(values["depth"]):
            layers.append((values[f"width{i}"], values[f"activation{i}"]))
            if values[f"dropout{i}"]:
                layers.append("dropout")
        return Architecture(*layers[: self.space_.max_layers - 1])


class OptunaStrategy(OutsideStrategy):
    """The tree-structured Parzen estimator of Optuna."""

    def make(self, seed):
        """Make a study."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def ask_one(self):
        """Return a trial and its values."""
        trial = self._study.ask()
        values = {"depth": trial.suggest_int("depth", 1, self.space_.max_layers - 1)}
        for name, choices in self.parameters().items():
            # Parameters of layers that there are not have no values.
            if name != "depth" and int(name[-1]) < values["depth"]:
                values[name] = trial.suggest_categorical(name, choices)
        return trial, values

    def tell_one(self, asked, reward):
        """Tell a reward."""
        self._study.tell(asked, reward)


class SMACStrategy(OutsideStrategy):
    """SMAC3: a random forest and the expected improvement."""

    def make(self, seed):
        """Make a facade that asks and tells."""
        import tempfile

        from ConfigSpace import Categorical, ConfigurationSpace, Integer
        from smac import HyperparameterOptimizationFacade, Scenario

        choices = self.parameters()
        depth = choices.pop("depth")
        space = ConfigurationSpace(seed=seed)
        space.add(Integer("depth", (depth[0], depth[-1])))
        space.add([Categorical(name, values) for name, values in choices.items()])
        scenario = Scenario(
            space,
            n_trials=1000,
            seed=seed,
            deterministic=True,
            output_directory=tempfile.mkdtemp(),
        )
        self._smac = HyperparameterOptimizationFacade(
            scenario,
            lambda config, seed: 0.0,  # noqa: ARG005 (asked and told)
            initial_design=HyperparameterOptimizationFacade.get_initial_design(
                scenario, n_configs=10
            ),
            logging_level=False,
            overwrite=True,
        )

    def ask_one(self):
        """Return a trial and its values."""
        trial = self._smac.ask()
        return trial, dict(trial.config)

    def tell_one(self, asked, reward):
        """Tell a reward; SMAC minimises."""
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(asked, TrialValue(cost=-reward))


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


def compare(strategies, n_seeds, epochs_of_tables):
    """Print the comparison on all tables."""
    print(describe())
    print(f"{n_seeds} seeds, {N_ROUNDS} rounds of {N_ARCHITECTURES}")
    for name in TABLES:
        for epochs in epochs_of_tables:
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


def compare_fidelities(n_seeds):
    """Print what few epochs first come to, at a third of the cost of random search."""
    print(describe())
    print(f"{n_seeds} seeds, at most a third of the cost of 40 random trials")
    for name in TABLES:
        for epochs, lowest in ((15, 2), (60, 5)):
            table = LookupTable(name, epochs)
            searches = [table.search(RandomStrategy(), i) for i in range(n_seeds)]
            all_trials = np.array([table.regret(each.chosen()) for each in searches])
            third = np.mean([each.cost.sum() for each in searches]) / 3
            print(f"{name}, {epochs} epochs: random {all_trials.mean():.4f}")
            settings = {"factor": epochs / lowest, "min_resources": lowest}
            for strategy in (
                RandomStrategy(),
                HalvingStrategy(**settings),
                HyperbandStrategy(**settings),
            ):
                found = np.array(
                    [at_cost(table, strategy, seed, third) for seed in range(n_seeds)]
                )
                difference = found - all_trials
                error = difference.std(ddof=1) / np.sqrt(n_seeds)
                print(
                    f"  {type(strategy).__name__:18} {found.mean():.4f}, ratio "
                    f"{found.mean() / all_trials.mean():.2f}, error "
                    f"{error / all_trials.mean():.2f}",
                    flush=True,
                )


def at_cost(table, strategy, seed, cost):
    """Return the regret after as many trials as cost no more than that."""
    if hasattr(strategy, "set_max_resources"):
        strategy.set_max_resources(table.epochs, 1)
    search = table.search(strategy, seed, n_rounds=100, budget=cost)
    n_trials = int((search.cost.cumsum() <= cost).sum())
    return table.regret(search.chosen(max(n_trials, 1)))


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
    parser.add_argument("what", choices=["lookup", "fidelity", "figure"])
    parser.add_argument("path", nargs="?", default="strategies.svg")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS)
    parser.add_argument(
        "--strategies",
        nargs="+",
        choices=[*STRATEGIES, *OUTSIDE],
        default=list(STRATEGIES),
    )
    arguments = parser.parse_args()
    known = {**STRATEGIES, "tpe": OptunaStrategy(), "smac": SMACStrategy()}
    # Random search is what all others are compared with.
    strategies = {name: known[name] for name in ("random", *arguments.strategies)}
    if arguments.what == "lookup":
        compare(strategies, arguments.seeds, arguments.epochs)
    elif arguments.what == "fidelity":
        compare_fidelities(arguments.seeds)
    else:
        draw(arguments.path, strategies, arguments.seeds)


if __name__ == "__main__":
    main()
