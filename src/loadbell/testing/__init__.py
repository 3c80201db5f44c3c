"""Real receivers to test against, for our own tests and for users."""
