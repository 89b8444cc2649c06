"""What must be fast: compiled loops over plain arrays."""
