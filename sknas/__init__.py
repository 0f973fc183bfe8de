"""Multilayer perceptrons that find their own architecture, for scikit-learn users."""

from sknas._estimators import NASMLPClassifier, NASMLPRegressor
from sknas._paper import PAPER_SETTINGS
from sknas._search.strategies import (
    BayesianStrategy,
    DartsStrategy,
    EnasStrategy,
    EvolutionStrategy,
    HalvingStrategy,
    HyperbandStrategy,
    MorphNetStrategy,
    ProgressiveStrategy,
    RandomStrategy,
    ReinforceStrategy,
    SearchStrategy,
)
from sknas._space import Architecture, Candidate, Outcome, Proposal, SearchSpace

__version__ = "0.1.0"

__all__ = [
    "PAPER_SETTINGS",
    "Architecture",
    "BayesianStrategy",
    "Candidate",
    "DartsStrategy",
    "EnasStrategy",
    "EvolutionStrategy",
    "HalvingStrategy",
    "HyperbandStrategy",
    "MorphNetStrategy",
    "NASMLPClassifier",
    "NASMLPRegressor",
    "Outcome",
    "ProgressiveStrategy",
    "Proposal",
    "RandomStrategy",
    "ReinforceStrategy",
    "SearchSpace",
    "SearchStrategy",
    "__version__",
]
