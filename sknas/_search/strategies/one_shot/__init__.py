"""Strategies that learn from one network that holds all architectures of a space."""
