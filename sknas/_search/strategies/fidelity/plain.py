"""Strategies that propose architectures alone, by their names."""

from __future__ import annotations

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.bayesian import BayesianStrategy
from sknas._search.strategies.evolution import EvolutionStrategy
from sknas._search.strategies.progressive import ProgressiveStrategy
from sknas._search.strategies.random import RandomStrategy
from sknas._search.strategies.reinforce import ReinforceStrategy

#: Those that have a name.
PLAIN_STRATEGIES: dict[str, type[SearchStrategy]] = {
    "reinforce": ReinforceStrategy,
    "random": RandomStrategy,
    "evolution": EvolutionStrategy,
    "progressive": ProgressiveStrategy,
    "bayesian": BayesianStrategy,
}
