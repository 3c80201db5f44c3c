"""The core: from an event to its deliveries."""
