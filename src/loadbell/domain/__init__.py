"""The domain as pure values and tables: no I/O, no clock, no randomness of its own."""
