"""More connections than there is room for: whoever comes gets in, and whoever does nothing goes."""

from ipaddress import ip_network

import pytest

from loadbell.settings import Network
from tests.entry.serving import Serving, answer, request, rest, serving
from tests.support.server import wait_until

HALF_HEAD = b"GET / HTTP/1.1\r\nHost:"
HALF_BODY = request(body=b"x" * 1000)[:-1]


def get(served: Serving, source: str = "127.0.0.1") -> bytes:
    """The body of the answer to somebody new."""
    return served.get("/", source).rpartition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY, request()], ids=["silent", "head", "body", "served"])
def test_whoever_comes_gets_in(sent: bytes) -> None:
    """However many connections do nothing, a new request is answered; the number that is open stays bounded."""
    with serving(max_connections=20) as served:
        idle = [served.connect(sent) for _ in range(60)]
        said = [get(served) for _ in range(5)]
        wait_until(lambda: served.open <= 20)
        gone = [rest(one) for one in idle[:30]]  # each ends: none of them is left open
        for one in idle:
            one.close()

    assert [b"/ 0"] * 5 == said
    assert 30 == len(gone)


def test_a_connection_that_is_worked_on_is_not_touched() -> None:
    """Others that do nothing go first, though it came before all of them."""
    with serving(max_connections=10) as served, served.connect(request("/wait")) as busy:
        assert served.application.waiting.wait(20)
        idle = [served.connect() for _ in range(40)]
        assert b"/ 0" == get(served)
        served.let()
        assert b"/wait 0" == answer(busy)
        for one in idle:
            one.close()


def test_the_greediest_place_pays() -> None:
    """A few connections from elsewhere stay, however long they are idle."""
    with serving(max_connections=20) as served:
        quiet = [served.connect(request(), "127.0.0.2") for _ in range(3)]
        assert [b"/ 0"] * 3 == [answer(one) for one in quiet]
        greedy = [served.connect() for _ in range(60)]
        assert b"/ 0" == get(served)
        for one in quiet:
            one.sendall(request("/again"))
        assert [b"/again 0"] * 3 == [answer(one) for one in quiet]
        for one in (*quiet, *greedy):
            one.close()


def test_who_was_served_stays_before_those_who_never_asked() -> None:
    """From the same address, too: a client that reports now and then keeps its connection."""
    with serving(max_connections=20) as served, served.connect(request()) as honest:
        assert b"/ 0" == answer(honest)
        idle = [served.connect() for _ in range(60)]
        assert b"/ 0" == get(served)
        honest.sendall(request("/again"))
        assert b"/again 0" == answer(honest)
        for one in idle:
            one.close()


@pytest.mark.parametrize(("trusted", "stay"), [((), 5), ((ip_network("127.0.0.1"),), 12)])
def test_one_place_has_its_own_bound(trusted: tuple[Network, ...], stay: int) -> None:
    """Beyond it, its own connections go, while there is room for others; a trusted proxy has none."""
    with serving(trusted, max_connections=100, max_connections_per_network=5) as served:
        many = [served.connect() for _ in range(12)]
        assert b"/ 0" == get(served, "127.0.0.2")
        wait_until(lambda: served.open == stay)
        for one in many:
            one.close()


def test_bodies_that_are_not_whole_have_a_bound() -> None:
    """Half bodies of one place that hold too many bytes are let go, the greediest first; a small one gets through."""
    with serving(max_waiting=500_000) as served:
        small = served.connect(request("/small", body=b"x" * 500)[:-1], "127.0.0.2")
        halves = [served.connect(request(body=b"x" * 60_000)[:-1]) for _ in range(40)]
        freed = [served.application.ended.acquire(timeout=20) for _ in range(31)]
        small.sendall(b"x")
        assert b"/small 500" == answer(small)
        assert all(freed)
        for one in (small, *halves):
            one.close()


def test_it_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    """One line says that connections are closed for want of room, and whose, however many there are."""
    with serving(max_connections=5) as served:
        idle = [served.connect() for _ in range(50)]
        assert b"/ 0" == get(served)
        for one in idle:
            one.close()

    printed = capfd.readouterr()
    items = [line for line in (printed.out + printed.err).splitlines() if "The connection limit is reached" in line]
    assert 1 == len(items)
    assert "127.0.0.1" in items[0]
