"""The only SQL. See store/engine/db.py for how a transaction is run."""
