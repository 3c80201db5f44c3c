"""
Does the time of a refused sign-in reveal whether the e-mail address has an account?

A real server (SQLite, its own process) has 20 users. A round sends POST /sessions with a wrong password for each of
them and for 20 addresses without an account, one after the other in random order. Between the rounds the token buckets
are refilled in the database, so that nothing is rate-limited. Prints the medians, their ratio, and how far apart the
distributions are: the Kolmogorov-Smirnov distance (0: the same, 1: no overlap; beside it the value that chance alone
gives in 19 of 20 cases), and how often a known address takes longer than an unknown one (50 %: the time reveals
nothing).

    python -m benchmarks.sign_in [ROUNDS]
"""

import math
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from contextlib import closing
from pathlib import Path

from loadbell.settings import load_settings
from tests.support.server import Client, Server, set_up

PEOPLE = 20
"""Of each kind: 40 attempts a round stay below the 50 that one place has at once."""


def main() -> None:
    """Runs the rounds and prints the comparison."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    items, unknown = measure(rounds)
    for name, times in (("known", items), ("unknown", unknown)):
        quarters = statistics.quantiles(times, n=4)
        print(
            f"{name:8} median {quarters[1]:7.2f} ms, quartiles {quarters[0]:.2f} and {quarters[2]:.2f}, n={len(times)}"
        )
    distance = max(abs(_share(items, at) - _share(unknown, at)) for at in items + unknown)
    by_chance = 1.358 * math.sqrt((len(items) + len(unknown)) / (len(items) * len(unknown)))
    longer = sum((bisect_left(unknown, at) + bisect_right(unknown, at)) / 2 for at in items)
    print(f"known to unknown: medians x{statistics.median(items) / statistics.median(unknown):.3f}")
    print(f"Kolmogorov-Smirnov distance {distance:.3f}; by chance alone up to {by_chance:.3f}")
    print(f"a known address takes longer in {longer / len(items) / len(unknown):.1%}")


def measure(rounds: int) -> tuple[list[float], list[float]]:
    """The times of all attempts in ms, sorted: for addresses that are known, and for others."""
    times: dict[bool, list[float]] = {True: [], False: []}
    chance = random.Random(8025)
    attempts = [
        (f"{kind}{number}@example.org", kind == "known") for kind in ("known", "other") for number in range(PEOPLE)
    ]
    with tempfile.TemporaryDirectory() as folder:
        set_up(Path(folder))
        path = load_settings({"LOADBELL_DATA_DIR": folder}).sqlite_path
        assert path is not None
        with Server(Path(folder)) as server, closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as behind:
            behind.executemany(
                "INSERT INTO users (email, name, password_hash, created_at) SELECT ?, name, password_hash, created_at "
                "FROM users WHERE id = 1",
                [(email,) for email, known in attempts if known],
            )
            client = Client(server.url)
            for number in range(rounds + 1):
                behind.execute("DELETE FROM attempt_paces")
                for email, known in chance.sample(attempts, len(attempts)):
                    began = time.perf_counter()
                    answer = client.call("POST", "/sessions", {"email": email, "password": "wrong horse"})
                    took = (time.perf_counter() - began) * 1000
                    assert answer.status == 401, answer
                    if number:  # the first round warms up
                        times[known].append(took)
    return sorted(times[True]), sorted(times[False])


def _share(ordered: list[float], at: float) -> float:
    """Which share of the times is not above ``at``."""
    return bisect_right(ordered, at) / len(ordered)


if __name__ == "__main__":
    main()
