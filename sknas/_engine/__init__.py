"""All code that trains."""
