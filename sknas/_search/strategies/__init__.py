"""What proposes architectures; nothing here loads torch before a search begins."""

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.bayesian import BayesianStrategy
from sknas._search.strategies.evolution import EvolutionStrategy
from sknas._search.strategies.progressive import ProgressiveStrategy
from sknas._search.strategies.random import RandomStrategy
from sknas._search.strategies.reinforce import ReinforceStrategy

#: Those that have a name.
STRATEGIES: dict[str, type[SearchStrategy]] = {
    "reinforce": ReinforceStrategy,
    "random": RandomStrategy,
    "evolution": EvolutionStrategy,
    "progressive": ProgressiveStrategy,
    "bayesian": BayesianStrategy,
}

__all__ = [
    "STRATEGIES",
    "BayesianStrategy",
    "EvolutionStrategy",
    "ProgressiveStrategy",
    "RandomStrategy",
    "ReinforceStrategy",
    "SearchStrategy",
]
