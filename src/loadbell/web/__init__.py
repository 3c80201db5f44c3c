"""Pages, by noun. Empty until they are built."""
