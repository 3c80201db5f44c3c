"""How a transaction is run: one API on both databases, with statements, locks, secrets at rest and migrations."""
