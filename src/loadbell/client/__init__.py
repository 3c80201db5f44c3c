"""Runs on load generators: standard library only, and nothing of the server."""
