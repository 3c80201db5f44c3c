"""How many connections the machine lets us have, and who is answered when all of them are at work."""

import subprocess
import sys

import pytest

from tests.entry.serving import answer, request, serving

_ROOM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from loadbell.entry.http_server import raise_capacity
capacity = raise_capacity(beside=512)
limits = capacity.limits
files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
print(files, limits.max_connections, limits.max_connections_per_network, capacity.backlog)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "files", "few"), [(256, 4_096, 4_096, False), (256, 1_024, 1_024, True), (512, 512, 512, True)]
)
def test_the_limit_of_open_files_is_raised(soft: int, hard: int, files: int, few: bool) -> None:
    """To the hard limit; what connections may take leaves descriptors for the rest, and little room is told."""
    process = subprocess.run(
        [sys.executable, "-c", _ROOM, str(soft), str(hard)], capture_output=True, text=True, check=True, timeout=60
    )
    *items, last = process.stdout.splitlines()
    raised, most, of_place, backlog = map(int, last.split())

    assert raised == files
    assert 64 <= most <= max(files - 512, 64)
    assert of_place == most // 2
    assert backlog <= files // 4
    assert few == any("few clients" in line for line in (*items, process.stderr))


def test_health_is_told_while_all_places_are_taken() -> None:
    """Beyond the requests that are worked on at once others get 503 and when to come back; health is answered."""
    with serving(at_once=2) as served:
        busy = [served.connect(request("/wait")) for _ in range(2)]
        while not served.get("/one-more").startswith(b"HTTP/1.1 503 "):
            continue  # the two have not come yet
        refused, health, ready = (served.get(path) for path in ("/runs", "/healthz", "/readyz"))
        served.let()
        assert [b"/wait 0"] * 2 == [answer(one) for one in busy]
        for one in busy:
            one.close()

    assert b"retry-after: " in refused
    assert health.endswith(b"/healthz 0")
    assert ready.endswith(b"/readyz 0")
