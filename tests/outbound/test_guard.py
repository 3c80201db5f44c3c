"""
The guard of the sender: a refused address is never connected to, whichever way it is reached.

127.0.0.1 and 127.0.0.2 stand for public addresses (the tests' policy opens them), 127.0.0.3 for one that is refused.
The proof is always the same: the listener there saw no connection, not even an empty one.
"""

import asyncio
import socket
import threading
import time
from ipaddress import ip_network
from pathlib import Path

import pycurl
import pytest
from structlog.testing import capture_logs

from loadbell.domain.deliveries import Reason
from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.engine import Engine
from loadbell.outbound.messages import NoReply, Reply
from loadbell.outbound.sender import Exchange, Sender
from loadbell.outbound.transfer import Transfer
from loadbell.outbound.urls import parse_url
from loadbell.testing import ScriptedReceiver, hang, respond
from tests.outbound.sending import alone_on_its_port, message, names, no_reply, reply, scenario, send_all
from tests.outbound.test_addresses import LOOPBACK_SPELLINGS, REFUSED

GOOD, OTHER, FORBIDDEN = "127.0.0.1", "127.0.0.2", "127.0.0.3"


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_no_spelling_of_a_literal_address_gets_through(host: str) -> None:
    """A literal loopback address is refused however it is written, and the listener there sees nothing."""
    with ScriptedReceiver() as forbidden:
        result = no_reply(
            scenario(lambda sender: sender.send(message(f"http://{host}:{forbidden.port}/")), allowed=(), timeout=2.0)
        )

        assert (Reason.BLOCKED_ADDRESS, 0) == (result.reason, forbidden.connects)


@pytest.mark.parametrize("address", [*REFUSED, "127.0.0.1%lo", "not an address"])
def test_a_name_with_a_refused_address_is_refused(address: str) -> None:
    """A name is judged by its address each time something is sent."""
    result = no_reply(
        scenario(
            lambda sender: sender.send(message("http://bad.example/")),
            allowed=(),
            resolver=names(bad=address),
            timeout=2.0,
        )
    )

    assert Reason.BLOCKED_ADDRESS is result.reason


def test_a_name_of_the_system_is_judged_too() -> None:
    """``localhost``, which the system itself resolves to loopback, is refused."""
    with ScriptedReceiver() as forbidden:
        url = f"http://localhost:{forbidden.port}/"
        result = no_reply(scenario(lambda sender: sender.send(message(url)), allowed=()))

        assert (Reason.BLOCKED_ADDRESS, 0) == (result.reason, forbidden.connects)


@pytest.mark.parametrize("addresses", [[GOOD, FORBIDDEN], [FORBIDDEN, GOOD], [GOOD, OTHER, "::1", "10.0.0.1"]])
def test_one_refused_address_among_good_ones_is_enough(addresses: list[str]) -> None:
    """A name with a good and a refused address is refused as a whole: neither is connected to."""
    with ScriptedReceiver() as good, ScriptedReceiver(host=FORBIDDEN, port=good.port) as forbidden:
        url = f"http://mixed.example:{good.port}/"
        result = no_reply(scenario(lambda sender: sender.send(message(url)), resolver=names(mixed=addresses)))

        assert (Reason.BLOCKED_ADDRESS, 0, 0) == (result.reason, good.connects, forbidden.connects)


def test_a_name_that_changes_between_check_and_connection_gains_nothing() -> None:
    """A name is looked up once an exchange; what it would say a moment later does not matter."""
    answers = iter([[GOOD], [FORBIDDEN], [FORBIDDEN], [FORBIDDEN]])
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return next(answers)

    with ScriptedReceiver() as good, ScriptedReceiver(host=FORBIDDEN, port=good.port) as forbidden:
        url = f"http://rebinding.example:{good.port}/"
        answer = reply(scenario(lambda sender: sender.send(message(url)), resolver=resolve))

        assert (200, 1, 0) == (answer.status, good.connects, forbidden.connects)
    assert [("rebinding.example", good.port)] == asked


def test_a_name_that_changes_between_deliveries_is_judged_anew() -> None:
    """A kept connection is used only for its own address: a name that moved is judged and connected to where it is."""
    places = {"moving": [GOOD]}
    results: list[Reply | NoReply] = []

    async def play(sender: Sender) -> None:
        for place in (GOOD, GOOD, OTHER, FORBIDDEN, GOOD):
            places["moving"] = [place]
            results.append(await sender.send(message(f"http://moving.example:{good.port}/")))

    with (
        ScriptedReceiver([respond(201)]) as good,
        ScriptedReceiver([respond(202)], host=OTHER, port=good.port) as other,
        ScriptedReceiver(host=FORBIDDEN, port=good.port) as forbidden,
    ):
        scenario(play, resolver=lambda host, _: places[host.partition(".")[0]])

        outcomes = [result.status if isinstance(result, Reply) else result.reason for result in results]
        assert [201, 201, 202, Reason.BLOCKED_ADDRESS, 201] == outcomes
        assert (1, 1, 0) == (good.connects, other.connects, forbidden.connects)
        assert {f"moving.example:{good.port}"} == {request.header("Host") for request in good.requests}


def test_two_names_of_one_address_do_not_share_what_they_must_not() -> None:
    """A connection kept for one name is not used for another name, not even on the same address."""

    async def play(sender: Sender) -> None:
        for name in ("one", "two"):
            reply(await sender.send(message(f"http://{name}.example:{good.port}/")))

    with ScriptedReceiver() as good:
        scenario(play, resolver=names(one=GOOD, two=GOOD))

        assert [f"one.example:{good.port}", f"two.example:{good.port}"] == [r.header("Host") for r in good.requests]


def test_the_next_good_address_is_tried_when_one_refuses_the_connection() -> None:
    """Of several good addresses the first that accepts gets the message, once."""
    with alone_on_its_port("::1", GOOD, OTHER) as good:
        url = f"http://several.example:{good.port}/"
        places = names(several=[GOOD, OTHER, "::1"])
        answer = reply(scenario(lambda sender: sender.send(message(url)), resolver=places))

        assert (200, 1) == (answer.status, len(good.requests))


def test_a_message_that_went_out_is_not_sent_to_a_second_address() -> None:
    """Only a failure to connect leads to the next address, never a bad answer."""
    with ScriptedReceiver([hang()]) as good, ScriptedReceiver(host=OTHER, port=good.port) as other:
        url = f"http://several.example:{good.port}/"
        places = names(several=[GOOD, OTHER])
        result = no_reply(scenario(lambda sender: sender.send(message(url)), resolver=places, timeout=2.0))

        assert (Reason.TIMEOUT, 1, 0) == (result.reason, good.connects, other.connects)


@pytest.mark.parametrize(
    "host", ["[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "127.0.0.1.", "good.example", "mapped.example"]
)
def test_what_the_operator_opened_is_reached(host: str) -> None:
    """An address in an allowed network is connected to, as a literal in any spelling and by name."""
    places = names(good=GOOD, mapped="::ffff:127.0.0.1")
    with ScriptedReceiver(host="::1" if host == "[::1]" else GOOD) as receiver:
        url = f"http://{host}:{receiver.port}/"

        assert 200 == reply(scenario(lambda sender: sender.send(message(url)), resolver=places)).status


def test_the_socket_itself_is_checked_once_more(tmp_path: Path) -> None:
    """Should libcurl ever be about to connect elsewhere than to the address that was judged, no socket is opened."""
    with ScriptedReceiver() as good, ScriptedReceiver(host=FORBIDDEN, port=good.port) as forbidden:
        for pinned, opened in ((FORBIDDEN, FORBIDDEN), (GOOD, OTHER)):
            transfer = Transfer(AddressPolicy(), tmp_path, lambda _: None)
            target = parse_url(f"http://{pinned}:{good.port}/")
            assert target.address is not None
            transfer.load(message(f"http://{pinned}:{good.port}/"), target)
            transfer.connect_to(target.address, 1_000_000, 1)
            if pinned == opened:
                with pytest.raises(pycurl.error):
                    transfer.curl.perform()
            else:
                place = (socket.AF_INET, socket.SOCK_STREAM, 6, (opened, good.port))
                assert pycurl.SOCKET_BAD == transfer._open_socket(0, place)
            failure = transfer.failure(pycurl.E_COULDNT_CONNECT, "", 1_000_000)
            assert failure is not None
            assert Reason.BLOCKED_ADDRESS is failure.reason

        assert (0, 0) == (good.connects, forbidden.connects)


def test_the_socket_is_checked_against_the_address_that_was_judged(tmp_path: Path) -> None:
    """Should libcurl ever connect to another address than that, it is refused, also one that the policy permits."""
    with ScriptedReceiver() as good, ScriptedReceiver(host=OTHER, port=good.port) as other:
        url = f"http://{GOOD}:{good.port}/"
        transfer = Transfer(AddressPolicy((ip_network("127.0.0.0/8"),)), tmp_path, lambda _: None)
        target = parse_url(url)
        assert target.address is not None
        transfer.load(message(url), target)
        transfer.connect_to(target.address, 5_000_000, 1)
        transfer.curl.setopt(pycurl.CONNECT_TO, [f"::{OTHER}:"])
        with pytest.raises(pycurl.error):
            transfer.curl.perform()

        failure = transfer.failure(pycurl.E_COULDNT_CONNECT, "", 5_000_000)
        assert failure is not None
        assert (Reason.BLOCKED_ADDRESS, 0, 0) == (failure.reason, good.connects, other.connects)


def test_a_refusal_tells_the_customer_nothing_and_the_operator_all() -> None:
    """The sentence for the customer shows no address; the operator's log names host and addresses, but no path."""
    with capture_logs() as logs:
        url = "http://internal.example:8080/secret?secret"
        result = no_reply(
            scenario(lambda sender: sender.send(message(url)), resolver=names(internal=["8.8.8.8", "10.1.2.3"]))
        )

    assert ("10.1.2.3" in result.message, "internal" in result.message) == (False, False)
    (entry,) = (entry for entry in logs if entry["event"] == "address_refused")
    assert ("http://internal.example:8080", ["10.1.2.3"]) == (entry["origin"], entry["addresses"])
    assert "secret" not in repr(logs)


def test_a_resolver_that_hangs_delays_no_other_host() -> None:
    """While lookups of one host hang, others go through; the deadline covers the lookup; a late answer is dropped."""
    release = threading.Event()

    def resolve(host: str, _: int) -> list[str]:
        if host == "hanging.example":
            release.wait(60)
        return [GOOD]

    async def play(sender: Sender) -> tuple[list[NoReply], list[Reply], Reply]:
        hanging = [Exchange(n, message(f"http://hanging.example:{late.port}/")) for n in range(100)]
        stuck = asyncio.create_task(send_all(sender, hanging))
        fast = [Exchange(n, message(f"http://fast-{n}.example:{good.port}/")) for n in range(20)]
        items = await send_all(sender, fast)
        assert not stuck.done()
        failed = await stuck
        release.set()
        await asyncio.sleep(0.1)
        after = reply(await sender.send(message(f"http://hanging.example:{good.port}/")))
        return [no_reply(result) for _, (_, result) in failed], [reply(result) for _, (_, result) in items], after

    with ScriptedReceiver() as good, ScriptedReceiver() as late:
        failed, responses, after = scenario(play, resolver=resolve, timeout=3.0)

        assert 0 == late.connects
    assert {Reason.TIMEOUT} == {result.reason for result in failed}
    assert {"The receiver's host name couldn't be resolved within 3 s."} == {result.message for result in failed}
    assert [200] * 21 == [answer.status for answer in (*responses, after)]


def test_an_address_that_is_seen_after_the_deadline_is_not_used() -> None:
    """Also if the lookup ended before it, and the thread only had no time to look: nothing is connected any more."""
    asked = threading.Event()
    done: list[NoReply | Reply] = []

    def resolve(_host: str, _port: int) -> list[str]:
        assert asked.wait(30)
        return [GOOD]

    with ScriptedReceiver() as good:
        engine = Engine(
            policy=AddressPolicy((ip_network("127.0.0.1/32"),)),
            resolver=resolve,
            timeout=1,
            ca_file=None,
            proxy=None,
            max_in_flight=1,
            hand_over=lambda results: done.extend(result for _, (_, result) in results),
        )
        engine.submit([Exchange(1, message(f"http://good.example:{good.port}/"))], lambda _: None)
        engine._turn()  # after which the deadline of a microsecond is over
        asked.set()
        while not engine._answers:
            time.sleep(0.001)
        engine._turn()
        engine.stop()
        engine.run()

        assert 0 == good.connects
    (result,) = (no_reply(result) for result in done)
    assert (Reason.TIMEOUT, True) == (result.reason, "couldn't be resolved within" in result.message)


def test_a_resolver_that_never_returns_does_not_hold_up_the_end() -> None:
    """Closing the sender does not wait for a stuck resolver, which would take a minute."""
    release = threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        release.wait(60)
        return [GOOD]

    async def play(sender: Sender) -> float:
        no_reply(await sender.send(message("http://hanging.example/")))
        started = time.monotonic()
        await sender.close()
        return time.monotonic() - started

    try:
        assert scenario(play, resolver=resolve, timeout=0.1) < 10.0
    finally:
        release.set()


def test_messages_to_one_host_share_a_lookup_under_way() -> None:
    """A burst to one host asks the resolver a few times, not once for each message."""
    asked = []
    all_wait = threading.Event()

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        assert all_wait.wait(30)
        return [GOOD]

    def watch(sender: Sender) -> None:
        assert sender._engine is not None
        while len(sender._engine._resolving) < 100:
            time.sleep(0.001)
        all_wait.set()

    async def play(sender: Sender) -> None:
        watching = asyncio.create_task(asyncio.to_thread(watch, sender))
        await send_all(sender, [Exchange(n, message(f"http://good.example:{good.port}/")) for n in range(100)])
        await watching

    with ScriptedReceiver() as good:
        scenario(play, resolver=resolve, timeout=30.0)

        assert 100 == len(good.requests)
    assert len(asked) == 1
