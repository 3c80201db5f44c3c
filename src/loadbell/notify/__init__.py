"""The core: from an event to recorded deliveries."""
