"""The sender and TLS: whom it trusts, what it says, and how failures read."""

import socket
import ssl
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadbell.domain.deliveries import Reason
from loadbell.outbound.sender import Sender
from loadbell.outbound.trust import system_bundle, trust_file
from loadbell.testing import ScriptedReceiver
from tests.outbound.certificates import Authority
from tests.outbound.sending import message, names, no_reply, reply, scenario

NAMES = names(receiver="127.0.0.1", other="127.0.0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_the_host_stays_for_tls_though_the_address_is_pinned(authority: Authority) -> None:
    """Name indication, certificate check and Host header go by the URL's host; the connection is kept."""
    asked = []
    context = authority.context("receiver.example")
    context.sni_callback = lambda _, name, __: asked.append(name)

    async def play(sender: Sender) -> list[int]:
        return [
            reply(await sender.send(message(f"https://receiver.example:{receiver.port}/"))).status for _ in range(3)
        ]

    with ScriptedReceiver(tls=context) as receiver:
        assert [200, 200, 200] == scenario(play, resolver=NAMES, ca_file=authority.ca_file)
        assert 1 == receiver.connects
        assert {f"receiver.example:{receiver.port}"} == {request.header("Host") for request in receiver.requests}
    assert ["receiver.example"] == asked


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    """Without the operator's CA file the tests' authority is not trusted, and the request does not go out."""
    with ScriptedReceiver(tls=authority.context("receiver.example")) as receiver:
        url = f"https://receiver.example:{receiver.port}/"
        result = no_reply(scenario(lambda sender: sender.send(message(url)), resolver=NAMES))

        assert (Reason.TLS, 0) == (result.reason, len(receiver.requests))
    assert "doesn't trust" in result.message


@pytest.mark.parametrize(
    ("host", "expired", "words"), [("other.example", False, "another host name"), ("receiver.example", True, "expired")]
)
def test_a_wrong_certificate_is_refused_and_named(
    authority: Authority, host: str, words: str, *, expired: bool
) -> None:
    """A certificate for another host, or one that has expired, fails with a sentence that says which."""
    with ScriptedReceiver(tls=authority.context("receiver.example", expired=expired)) as receiver:
        url = f"https://{host}:{receiver.port}/"
        ask = lambda sender: sender.send(message(url))  # noqa: E731 - said once
        result = no_reply(scenario(ask, resolver=NAMES, ca_file=authority.ca_file))

        assert (Reason.TLS, 0) == (result.reason, len(receiver.requests))
    assert words in result.message


def test_what_speaks_no_tls_fails_as_tls() -> None:
    """A port that answers a TLS handshake with something else is told as a failure of TLS."""

    def answer_in_clear() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_in_clear)
        thread.start()
        url = f"https://receiver.example:{server.getsockname()[1]}/"
        result = no_reply(scenario(lambda sender: sender.send(message(url)), resolver=NAMES))
        thread.join()

    assert Reason.TLS is result.reason


def test_a_tls_handshake_that_hangs_ends_at_the_deadline() -> None:
    """A receiver that never answers the handshake is a timeout that says so."""
    with ScriptedReceiver() as receiver:  # waits for the end of a request in clear
        url = f"https://receiver.example:{receiver.port}/"
        result = no_reply(scenario(lambda sender: sender.send(message(url)), resolver=NAMES, timeout=0.4))

    assert (Reason.TIMEOUT, True) == (result.reason, "TLS handshake" in result.message)


def test_an_old_tls_is_refused(authority: Authority) -> None:
    """A receiver that knows nothing newer than TLS 1.1 is not spoken to."""
    context = authority.context("receiver.example")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with ScriptedReceiver(tls=context) as receiver:
        url = f"https://receiver.example:{receiver.port}/"
        ask = lambda sender: sender.send(message(url))  # noqa: E731 - said once
        result = no_reply(scenario(ask, resolver=NAMES, ca_file=authority.ca_file))

    assert Reason.TLS is result.reason


def test_the_operators_authority_stands_beside_the_systems(authority: Authority) -> None:
    """The operator's file adds to the system's certificates; the combined file is gone afterwards."""
    with ExitStack() as lifetime:
        combined = trust_file(authority.ca_file, lifetime)
        text = combined.read_bytes()

    assert (True, True) == (system_bundle().read_bytes() in text, authority.ca_file.read_bytes() in text)
    assert not combined.exists()


def test_without_a_file_of_the_operator_the_system_is_trusted() -> None:
    """No CA file: the system's own bundle, or certifi's where there is none."""
    with ExitStack() as lifetime:
        assert system_bundle() == trust_file(None, lifetime)
    assert b"BEGIN CERTIFICATE" in system_bundle().read_bytes()


def test_a_ca_file_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    """A missing CA file is an error when the sender starts, not with the first message."""

    async def play(_: Sender) -> None:
        return None

    with pytest.raises(OSError, match=r"missing\.pem"):
        scenario(play, ca_file=tmp_path / "missing.pem")
