"""What proposes architectures."""

from sknas._strategies._base import SearchStrategy
from sknas._strategies._random import RandomStrategy
from sknas._strategies._reinforce import ReinforceStrategy

__all__ = ["RandomStrategy", "ReinforceStrategy", "SearchStrategy"]
