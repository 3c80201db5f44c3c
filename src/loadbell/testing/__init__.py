"""Fake receivers on real ports, for loadbell's own tests, its demo, and users' tests."""

from loadbell.testing.hipchat import FakeHipChat
from loadbell.testing.receiver import (
    Behaviour,
    Received,
    ScriptedReceiver,
    close,
    cut_off,
    drip,
    endless_body,
    endless_headers,
    gzip_bomb,
    hang,
    informational_flood,
    raw,
    redirect,
    reset,
    respond,
)
from loadbell.testing.slack import FakeSlack

__all__ = [
    "Behaviour",
    "FakeHipChat",
    "FakeSlack",
    "Received",
    "ScriptedReceiver",
    "close",
    "cut_off",
    "drip",
    "endless_body",
    "endless_headers",
    "gzip_bomb",
    "hang",
    "informational_flood",
    "raw",
    "redirect",
    "reset",
    "respond",
]
