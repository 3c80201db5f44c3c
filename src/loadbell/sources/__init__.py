"""Foreign protocols, one file each, exporting ROUTES. Empty until the first is built."""
