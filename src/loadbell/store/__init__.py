"""The store: all of loadbell's SQL. See store/engine/db.py for how a transaction runs."""
