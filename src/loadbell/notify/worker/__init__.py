"""The worker: leases what is due, sends it, and records what became of it."""
