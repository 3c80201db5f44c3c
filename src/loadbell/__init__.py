"""
loadbell rings when a load test starts or ends.

A self-hosted notification service for load tests. The layers, and what each may import, are drawn in
``docs/decisions/0001-layers.md`` and enforced by import-linter.
"""

__version__ = "0.1.0"
