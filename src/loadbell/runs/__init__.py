"""Use cases on runs; the only writer of a run's status."""
