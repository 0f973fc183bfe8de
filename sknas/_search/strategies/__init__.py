"""What proposes architectures."""

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.random import RandomStrategy
from sknas._search.strategies.reinforce import ReinforceStrategy

__all__ = ["RandomStrategy", "ReinforceStrategy", "SearchStrategy"]
