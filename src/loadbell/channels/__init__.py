"""One file per kind of channel, each exporting CHANNEL. Pure: they import the outbound contract and the domain only."""
