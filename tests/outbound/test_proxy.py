"""The operator's forward proxy: everything goes through it, to addresses that were judged before, and end to end.

127.0.0.1 stands for a public address, 127.0.0.3 for one that is refused; ``hidden.example`` only the proxy can look up.
"""

import socket
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from loadbell.domain.deliveries import Reason
from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.messages import NoReply, Reply
from loadbell.outbound.sender import Exchange, Sender
from loadbell.outbound.transfer import Transfer
from loadbell.outbound.urls import parse_url
from loadbell.settings import Proxy
from loadbell.testing import ScriptedReceiver, close, respond
from tests.outbound.certificates import Authority
from tests.outbound.sending import message, no_reply, reply, scenario, send_all
from tests.support.forward_proxy import ForwardProxy

GOOD, FORBIDDEN = "127.0.0.1", "127.0.0.3"
PLACES = {"receiver.example": [GOOD], "bad.example": [FORBIDDEN], "mixed.example": [GOOD, FORBIDDEN],
          "two.example": ["127.0.0.2", GOOD], "proxy.example": [GOOD], "proxy-v6.example": ["::1", GOOD]}  # fmt: skip


def _resolve(host: str, _: int) -> list[str]:
    if host not in PLACES:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")
    return PLACES[host]


def _through(port: int, host: str = GOOD, *, scheme: str = "http", user: str | None = None) -> Proxy:
    return Proxy("https" if scheme == "https" else "http", host, port, user, f"p\u00e4ss:{user}" if user else None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy_host", [GOOD, "proxy.example", "proxy-v6.example"])
def test_the_proxy_gets_the_address_that_was_judged(authority: Authority, scheme: str, proxy_host: str) -> None:
    """A tunnel to it is asked for, also for plain http; nothing of the request is for the proxy, and it is kept."""
    tls = authority.context("receiver.example") if scheme == "https" else None

    async def play(sender: Sender) -> list[int]:
        url = f"{scheme}://receiver.example:{receiver.port}/secret?secret"
        return [reply(await sender.send(message(url, ("X-Secret", "secret")))).status for _ in range(3)]

    with ForwardProxy() as proxy, ScriptedReceiver([respond(201)], tls=tls) as receiver:
        through = _through(proxy.port, proxy_host)
        assert [201] * 3 == scenario(play, resolver=_resolve, ca_file=authority.ca_file, proxy=through)

        assert [f"{GOOD}:{receiver.port}"] == proxy.targets
        assert b"secret" not in proxy.heads[0]
        assert {f"receiver.example:{receiver.port}"} == {request.header("Host") for request in receiver.requests}
        assert {"secret"} == {request.header("X-Secret") for request in receiver.requests}


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its proxies, nor its exceptions from them."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "receiver.example,127.0.0.1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with ForwardProxy() as proxy, ScriptedReceiver() as receiver:
        url = f"http://receiver.example:{receiver.port}/"
        ask = lambda sender: sender.send(message(url))  # noqa: E731 - said once
        assert 200 == reply(scenario(ask, resolver=_resolve, proxy=_through(proxy.port))).status
        assert 200 == reply(scenario(ask, resolver=_resolve)).status

        assert 1 == len(proxy.heads)


@pytest.mark.parametrize("host", [FORBIDDEN, "0x7f000003", "[::ffff:127.0.0.3]", "bad.example", "mixed.example"])
def test_an_address_that_is_refused_never_comes_to_the_proxy(host: str) -> None:
    """Literal in any spelling, or what a name leads to: judged here as without a proxy."""
    with ForwardProxy() as proxy, ScriptedReceiver(host=FORBIDDEN) as forbidden:
        ask = lambda sender: sender.send(message(f"http://{host}:{forbidden.port}/"))  # noqa: E731 - said once
        result = no_reply(scenario(ask, resolver=_resolve, proxy=_through(proxy.port)))

        assert (Reason.BLOCKED_ADDRESS, [], 0) == (result.reason, proxy.heads, forbidden.connects)


def test_the_proxy_itself_may_be_anywhere() -> None:
    """The operator has chosen it: its address is not judged, and opens nothing for channels."""
    with ForwardProxy(names={"hidden.example": GOOD}) as proxy, ScriptedReceiver() as receiver:
        through = _through(proxy.port)

        def ask(url: str) -> Reply | NoReply:
            return scenario(lambda sender: sender.send(message(url)), allowed=(), resolver=_resolve, proxy=through)

        results = [ask(f"http://hidden.example:{receiver.port}/"), ask(f"http://{GOOD}:{proxy.port}/")]

        assert (200, Reason.BLOCKED_ADDRESS) == (reply(results[0]).status, no_reply(results[1]).reason)


def test_a_name_that_only_the_proxy_knows_is_handed_over(authority: Authority) -> None:
    """Whether nobody knows it here or the lookup hangs; the certificate is still checked here, against the name."""
    release = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        if host == "hanging.example":
            release.wait(30)
        return _resolve(host, port)

    async def play(sender: Sender) -> list[Reply | NoReply]:
        hosts = ("hidden.example", "hanging.example", "impostor.example")
        exchanges = [Exchange(host, message(f"https://{host}:{receiver.port}/")) for host in hosts]
        body = {exchange.key: result for _, (exchange, result) in await send_all(sender, exchanges)}
        return [body[host] for host in hosts]

    names = dict.fromkeys(("hidden.example", "hanging.example", "impostor.example"), GOOD)
    contexts = {name: authority.context(name) for name in ("hidden.example", "hanging.example")}
    tls = authority.context("hidden.example")
    tls.sni_callback = lambda connection, name, _: setattr(connection, "context", contexts.get(name, tls))
    try:
        with ForwardProxy(names=names) as proxy, ScriptedReceiver(tls=tls) as receiver:
            through = _through(proxy.port)
            hidden, hanging, impostor = scenario(
                play, resolver=resolve, ca_file=authority.ca_file, proxy=through, timeout=6.0
            )

            assert (200, 200) == (reply(hidden).status, reply(hanging).status)
            assert (Reason.TLS, True) == (no_reply(impostor).reason, "another host" in no_reply(impostor).message)
            assert {f"{name}:{receiver.port}" for name in names} == set(proxy.targets)
    finally:
        release.set()


def test_credentials_are_for_the_proxy_only() -> None:
    """They are given to it and to nobody else; with wrong ones, or none, a sentence says so and shows none."""
    with ForwardProxy(only="kim:p\u00e4ss:kim") as proxy, ScriptedReceiver() as receiver:
        url = f"http://receiver.example:{receiver.port}/"
        ask = lambda sender: sender.send(message(url))  # noqa: E731 - said once
        with capture_logs() as logs:
            results = [
                scenario(ask, resolver=_resolve, proxy=_through(proxy.port, user=user)) for user in ("kim", "lee", None)
            ]

        assert 200 == reply(results[0]).status
        (request,) = receiver.requests
        assert request.header("Proxy-Authorization") is None
    for result in results[1:]:
        failed = no_reply(result)
        assert (Reason.CONNECT, True) == (
            failed.reason,
            f"{GOOD}:{proxy.port} requires a valid user name" in failed.message,
        )
    assert not any(secret in repr((results, logs)) for secret in ("p\u00e4ss", "lee", "kim"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "requires a valid user name and password (401)"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused to connect to the receiver (403)"),
        (
            b"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\nsecret",
            "refused to connect to the receiver (502)",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.3/\r\n\r\n", "(302)"),
        (b"secret\r\n\r\n", "can't be reached or closed the connection"),
        (b"", "didn't connect to the receiver within 0.5 s"),
    ],
)
def test_a_proxy_that_gives_no_way(answer: bytes, words: str) -> None:
    """Is told apart from a receiver that fails, by its place; such a try is made again, as when nobody is there."""
    with ForwardProxy(answer=answer) as proxy, ScriptedReceiver() as receiver:
        url = f"http://receiver.example:{receiver.port}/"
        ask = lambda sender: sender.send(message(url))  # noqa: E731 - said once
        result = no_reply(
            scenario(ask, resolver=_resolve, proxy=_through(proxy.port), timeout=0.5 if not answer else 9)
        )

        assert (Reason.CONNECT, True) == (result.reason, words in result.message), result.message
        assert f"loadbell's proxy {GOOD}:{proxy.port} " in result.message
        assert ("secret" in result.message, 0) == (False, receiver.connects)


@pytest.mark.parametrize(
    ("host", "words"), [(GOOD, "can't be reached"), ("unknown.example", "has no address"), ("::1", "can't be reached")]
)
def test_a_proxy_that_is_not_there(host: str, words: str) -> None:
    """Its place is named, and nothing is sent past it."""
    with socket.socket() as taken, ScriptedReceiver() as receiver:
        taken.bind((GOOD, 0))  # and nobody listens
        ask = lambda sender: sender.send(message(f"http://receiver.example:{receiver.port}/"))  # noqa: E731 - said once
        proxy = _through(taken.getsockname()[1], host)
        result = no_reply(scenario(ask, resolver=_resolve, proxy=proxy))

        assert (Reason.CONNECT, 0) == (result.reason, receiver.connects)
        assert result.message.startswith(f"loadbell's proxy {proxy.place} {words}")


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"299 Strange"])
def test_what_fails_in_a_tunnel_is_the_receivers(status: bytes) -> None:
    """With any 2xx the proxy has given way (RFC 9110 section 9.3.6); what goes wrong after that is not its fault."""
    with ForwardProxy(opens=status) as proxy, ScriptedReceiver([close()]) as receiver:
        ask = lambda sender: sender.send(message(f"http://receiver.example:{receiver.port}/"))  # noqa: E731 - said once
        result = no_reply(scenario(ask, resolver=_resolve, proxy=_through(proxy.port)))

    assert Reason.PROTOCOL is result.reason
    assert "The receiver closed the connection without a response." == result.message


def test_a_user_of_the_proxy_may_have_no_password() -> None:
    """An empty one is sent then."""
    with ForwardProxy(only="kim:") as proxy, ScriptedReceiver() as receiver:
        ask = lambda sender: sender.send(message(f"http://receiver.example:{receiver.port}/"))  # noqa: E731 - said once
        through = Proxy("http", GOOD, proxy.port, "kim", None)

        assert 200 == reply(scenario(ask, resolver=_resolve, proxy=through)).status


def test_the_next_address_is_tried_when_the_proxy_can_not_reach_one() -> None:
    """As without a proxy; and the proxy's own words are not the receiver's answer."""
    with ForwardProxy(refused=("127.0.0.2",)) as proxy, ScriptedReceiver([respond(200, {"X-Ours": "1"})]) as receiver:
        url = f"http://two.example:{receiver.port}/"
        ask = lambda sender: sender.send(message(url))  # noqa: E731 - said once
        answer = reply(scenario(ask, resolver=_resolve, proxy=_through(proxy.port)))

        assert [f"127.0.0.2:{receiver.port}", f"{GOOD}:{receiver.port}"] == proxy.targets
        assert (200, None, None) == (answer.status, answer.header("Via"), answer.header("X-Cache"))


def test_a_proxy_may_speak_tls_itself(authority: Authority) -> None:
    """Its certificate is checked as a receiver's is, and a wrong one is told as the proxy's."""
    results = []
    with ScriptedReceiver(tls=authority.context("receiver.example")) as receiver:
        ask = lambda sender: sender.send(message(f"https://receiver.example:{receiver.port}/"))  # noqa: E731 - said once
        for name in ("proxy.example", "other.example"):
            with ForwardProxy(context=authority.context(name)) as proxy:
                through = _through(proxy.port, "proxy.example", scheme="https")
                results.append(scenario(ask, resolver=_resolve, ca_file=authority.ca_file, proxy=through))

    assert 200 == reply(results[0]).status
    failed = no_reply(results[1])
    assert (Reason.CONNECT, True) == (failed.reason, "the TLS handshake with it failed" in failed.message)


def test_the_socket_may_lead_to_the_proxy_and_nowhere_else(tmp_path: Path) -> None:
    """Not even to an address that the policy opens: the way past the proxy is closed."""
    transfer = Transfer(AddressPolicy(), tmp_path, lambda _: None, _through(3128))
    target = parse_url("http://93.184.215.14/")
    assert target.address is not None
    transfer.load(message("http://93.184.215.14/"), target)
    transfer.connect_to(target.address, 1_000_000, 1, [parse_url(f"http://{GOOD}/").address or target.address])
    for place, opened in (("93.184.215.14", False), ("127.0.0.2", False), (GOOD, True)):
        given = transfer._open_socket(0, (socket.AF_INET, socket.SOCK_STREAM, 6, (place, 3128)))
        assert opened == isinstance(given, socket.socket)
