"""The way out: what a channel says and hears (``contract``), and the only code that opens a connection (``sender``)."""
