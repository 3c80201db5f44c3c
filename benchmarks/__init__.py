"""Benchmarks: each prints ratios against a baseline that runs beside it. Run one with ``python -m benchmarks.NAME``."""
