"""Strategies that try many proposals at little cost, and go on with the best."""
