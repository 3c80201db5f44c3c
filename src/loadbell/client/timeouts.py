"""Timeouts of the client."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds. The defaults are documented; tests use shorter ones."""

    heartbeat_s: float = 10.0  #: between heartbeats; the server's watchdog waits two minutes
    call_s: float = 3.0  #: for one call
    heartbeat_call_s: float = 2.0  #: for a heartbeat, which must leave time for the end report
    end_s: float = 5.0  #: for everything after the tool's end
    patience_s: float = 10.0  #: before an abort escalates
