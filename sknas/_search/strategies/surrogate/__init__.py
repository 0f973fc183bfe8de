"""A model of the rewards of architectures that were not tried."""
