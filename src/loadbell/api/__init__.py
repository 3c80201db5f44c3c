"""REST v1, by noun."""
