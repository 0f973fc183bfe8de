"""From a table of any kind to a matrix of numbers."""
