"""The worker: leases due deliveries, sends them, and records the results."""
