"""The only SQL. See store/db.py for how a transaction is run."""
