"""``python -m tests.channels.golden``: writes the golden files anew."""

from tests.channels.golden import rewrite

rewrite()
