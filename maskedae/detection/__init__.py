"""Finding things on pictures."""
