"""The client, which runs on load generators: standard library only, and no server code."""
