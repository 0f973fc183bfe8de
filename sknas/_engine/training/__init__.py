"""The training of one stack of children."""
