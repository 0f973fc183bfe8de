"""One network whose slices are all architectures of a space."""
