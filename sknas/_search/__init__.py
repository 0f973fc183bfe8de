"""Ask, train, tell, record."""
