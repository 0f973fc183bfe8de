"""What proposes architectures; nothing here loads torch before a search begins."""

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.bayesian import BayesianStrategy
from sknas._search.strategies.evolution import EvolutionStrategy
from sknas._search.strategies.fidelity.halving import HalvingStrategy
from sknas._search.strategies.fidelity.hyperband import HyperbandStrategy
from sknas._search.strategies.fidelity.plain import PLAIN_STRATEGIES
from sknas._search.strategies.one_shot.base import OneShotStrategy
from sknas._search.strategies.one_shot.darts import DartsStrategy
from sknas._search.strategies.one_shot.enas import EnasStrategy
from sknas._search.strategies.one_shot.morphnet import MorphNetStrategy
from sknas._search.strategies.progressive import ProgressiveStrategy
from sknas._search.strategies.random import RandomStrategy
from sknas._search.strategies.reinforce import ReinforceStrategy

#: Those that have a name.
STRATEGIES: dict[str, type[SearchStrategy]] = {
    **PLAIN_STRATEGIES,
    "halving": HalvingStrategy,
    "hyperband": HyperbandStrategy,
    "enas": EnasStrategy,
    "darts": DartsStrategy,
    "morphnet": MorphNetStrategy,
}

__all__ = [
    "STRATEGIES",
    "BayesianStrategy",
    "DartsStrategy",
    "EnasStrategy",
    "EvolutionStrategy",
    "HalvingStrategy",
    "HyperbandStrategy",
    "MorphNetStrategy",
    "OneShotStrategy",
    "ProgressiveStrategy",
    "RandomStrategy",
    "ReinforceStrategy",
    "SearchStrategy",
]
