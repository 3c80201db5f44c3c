"""
A libcurl handle and its current exchange.

Every handle allows only HTTP/1.1, and no proxy except the operator's, redirects, cookies, decompression or ``Expect``.
Options: https://curl.se/libcurl/c/curl_easy_setopt.html. The callbacks never raise: pycurl would print the exception
and lose it.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pycurl

from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import Micros
from loadbell.outbound.addresses import AddressPolicy
from loadbell.outbound.failures import BLOCKED, HEADERS_TOO_LONG, INTERNAL, Failure, Phase, explain, no_tunnel
from loadbell.outbound.messages import Message, Reply
from loadbell.outbound.urls import Address, Target, parse_literal
from loadbell.settings import Proxy

MAX_BODY_SIZE = 64 * 1024
"""Bytes of a response body that are read; for a longer one, the connection is closed."""

MAX_HEADERS_SIZE = 64 * 1024
"""Most bytes of response headers, including those of interim (1xx) responses; more is a failure."""

_SUPPRESS_CONNECT_HEADERS = 265  # CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl does not name
_FIRST_FINAL_STATUS = 200
_FIRST_SERVER_ERROR = 500
_UPLOAD_BUFFER_SIZE = 32 * 1024  # libcurl writes up to 64 KiB, headers included, in one go
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x20-\x7e\t]*")  # RFC 9110 section 5
_OURS = ("host:", "content-length:", "transfer-encoding:")
_ADDED_BY_LIBCURL = ("Accept", "Content-Type", "Expect", "User-Agent")


class _DuplicateSocket(socket.socket):
    """A socket that pycurl duplicates and then drops."""

    def __del__(self) -> None:
        self.close()


class Transfer:
    """Carries one exchange at a time. With a ``proxy``, it uses a CONNECT tunnel, even for plain http.

    Opening a socket checks ``policy`` once more and calls ``watch`` with the socket's descriptor.
    """

    def __init__(
        self, policy: AddressPolicy, ca_file: Path, watch: Callable[[int], None], proxy: Proxy | None = None
    ) -> None:
        self._policy = policy
        self._watch = watch
        self._proxy = proxy
        self._pinned: Collection[Address] = ()
        self.curl: Any = pycurl.Curl()
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, "*"),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.HTTP_CONTENT_DECODING, 0),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
            (pycurl.CAINFO, str(ca_file)),
            (pycurl.OPENSOCKETFUNCTION, self._open_socket),
            (pycurl.HEADERFUNCTION, self._on_header),
            (pycurl.WRITEFUNCTION, self._on_body),
        ):
            self.curl.setopt(option, value)
        if proxy is not None:
            self._tunnel_through(proxy, ca_file)
        self._clear()

    def load(self, message: Message, target: Target) -> None:
        """Prepares the handle to send ``message`` to ``target``.

        Raises:
            ValueError: a header isn't valid; the error doesn't show its value.
        """
        self._secure = target.scheme == "https"
        self.bulky = len(message.body) > _UPLOAD_BUFFER_SIZE
        self.curl.setopt(pycurl.URL, target.origin + target.path)
        if message.method == "GET":
            self.curl.setopt(pycurl.HTTPGET, 1)
        else:
            self.curl.setopt(pycurl.POST, 1)
            self.curl.setopt(pycurl.POSTFIELDS, message.body)
        self.curl.setopt(pycurl.CUSTOMREQUEST, message.method)
        self.curl.setopt(pycurl.HTTPHEADER, _header_lines(message.headers))

    def connect_to(
        self, host: Address | str, remaining: Micros, hosts_left: int, proxies: Collection[Address] = ()
    ) -> None:
        """Pins the exchange to ``host``, a permitted address, with ``remaining`` of its deadline.

        If more hosts are left, connecting to this one gets only its share of the time. With a proxy, whose addresses
        are ``proxies``, the host may be a name that only the proxy can look up.
        """
        self._clear()
        self._pinned = (host,) if self._proxy is None and not isinstance(host, str) else proxies
        text = str(host) if isinstance(host, str) or host.version != 6 else f"[{host}]"  # noqa: PLR2004 - IPv6
        milliseconds = max(1, remaining // 1000)
        self.curl.setopt(pycurl.CONNECT_TO, [f"::{text}:"])
        if self._proxy is not None and parse_literal(self._proxy.host) is None:
            places = ",".join(map(str, proxies))
            self.curl.setopt(pycurl.RESOLVE, [f"{self._proxy.host}:{self._proxy.port}:{places}"])
        self.curl.setopt(pycurl.TIMEOUT_MS, milliseconds)
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, milliseconds // hosts_left))

    @property
    def sent_nothing(self) -> bool:
        """Whether certainly no byte of the request was sent, so that another address may be tried."""
        before = {Phase.PROXY, Phase.TUNNEL, Phase.CONNECT, Phase.TLS}
        return not self._blocked and not self._no_socket and self._phase() in before

    @property
    def refused_by_proxy(self) -> bool:
        """Whether the proxy responded that it can't reach this host, so that another may be tried."""
        status: int = self.curl.getinfo(pycurl.HTTP_CONNECTCODE)
        return self._phase() is Phase.TUNNEL and status >= _FIRST_SERVER_ERROR

    def reply(self, duration: Micros) -> Reply:
        """Returns the response, once the transfer is complete or was cut off at :data:`MAX_BODY_SIZE`."""
        return Reply(self._status, tuple(self._headers), bytes(self._body), self._truncated, duration)

    def failure(self, code: int, text: str, timeout: Micros) -> Failure | None:
        """Explains libcurl's ``code``; None if :data:`MAX_BODY_SIZE` ended the transfer, so that there is a reply."""
        if self._truncated:
            return None
        if self._blocked:
            return Failure(Reason.BLOCKED_ADDRESS, BLOCKED)
        if self._no_socket:
            return Failure(Reason.INTERNAL, INTERNAL)
        if self._header_bytes > MAX_HEADERS_SIZE:
            return Failure(Reason.PROTOCOL, HEADERS_TOO_LONG)
        phase = self._phase()
        if self._proxy is not None and phase in {Phase.PROXY, Phase.TUNNEL}:
            return no_tunnel(code, self.curl.getinfo(pycurl.HTTP_CONNECTCODE), self._proxy.place, timeout)
        return explain(code, text, self.curl.getinfo(pycurl.OS_ERRNO), phase, timeout)

    def _tunnel_through(self, proxy: Proxy, ca_file: Path) -> None:
        for option, value in (
            (pycurl.PROXY, f"{proxy.scheme}://{proxy.place}"),
            (pycurl.NOPROXY, ""),
            (pycurl.HTTPPROXYTUNNEL, 1),
            (pycurl.HEADEROPT, pycurl.HEADER_SEPARATE),  # our headers are not for the proxy
            (_SUPPRESS_CONNECT_HEADERS, 1),  # and the proxy's headers are not part of the response
            (pycurl.PROXYAUTH, pycurl.HTTPAUTH_BASIC),
            (pycurl.PROXY_SSL_VERIFYPEER, 1),
            (pycurl.PROXY_SSL_VERIFYHOST, 2),
            (pycurl.PROXY_SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
            (pycurl.PROXY_CAINFO, str(ca_file)),
        ):
            self.curl.setopt(option, value)
        if proxy.user is not None:
            self.curl.setopt(pycurl.PROXYUSERNAME, proxy.user.encode())
            self.curl.setopt(pycurl.PROXYPASSWORD, (proxy.password or "").encode())

    def _clear(self) -> None:
        self._opened = False
        self._blocked = False
        self._no_socket = False
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._head_is_over = True
        self._header_bytes = 0
        self._body = bytearray()
        self._truncated = False

    def _phase(self) -> Phase:
        if self._status:
            return Phase.BODY
        if self._opened and self._proxy is not None and not self._has_tunnel():
            return Phase.TUNNEL if self.curl.getinfo(pycurl.HTTP_CONNECTCODE) else Phase.PROXY
        if self._opened and not self.curl.getinfo(pycurl.CONNECT_TIME):
            return Phase.CONNECT
        if self._opened and self._secure and not self.curl.getinfo(pycurl.APPCONNECT_TIME):
            return Phase.TLS
        return Phase.ANSWER

    def _has_tunnel(self) -> bool:
        status: int = self.curl.getinfo(pycurl.HTTP_CONNECTCODE)
        return status // 100 == 2  # noqa: PLR2004 - 2xx

    def _open_socket(self, _: int, wanted: Any) -> Any:
        """Opens a socket if libcurl is about to connect to the permitted address or the proxy: our last check."""
        self._opened = True
        family, kind, protocol, place = wanted
        is_open = self._proxy is not None or self._policy.permits(place[0])
        if not is_open or ipaddress.ip_address(place[0]) not in self._pinned:
            self._blocked = True
            return pycurl.SOCKET_BAD
        try:
            opened = _DuplicateSocket(family, kind, protocol)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MAX_BODY_SIZE)  # limits the kernel's buffer, too
            self._watch(opened.fileno())
        except OSError:
            self._no_socket = True
            return pycurl.SOCKET_BAD
        return opened

    def _on_header(self, line: bytes) -> int:
        self._header_bytes += len(line)
        if self._header_bytes > MAX_HEADERS_SIZE:
            return 0
        if self._head_is_over:
            if self._status < _FIRST_FINAL_STATUS:  # the first line, or the one after an interim response
                self._status = int(line[9:12]) if line[9:12].isdigit() else 0
                self._headers.clear()
                self._head_is_over = False
            return len(line)  # otherwise it is a trailer, which is ignored
        text = line.decode("latin-1")
        if not text.strip():
            self._head_is_over = True
        elif text[0] in " \t" and self._headers:  # a folded line (RFC 9112 section 5.2)
            name, value = self._headers[-1]
            self._headers[-1] = (name, f"{value} {text.strip()}")
        else:
            name, _, value = text.partition(":")
            self._headers.append((name, value.strip()))
        return len(line)

    def _on_body(self, block: bytes) -> int:
        room = MAX_BODY_SIZE - len(self._body)
        self._truncated = len(block) > room
        self._body += block[:room]
        return 0 if self._truncated else len(block)


def _header_lines(headers: Sequence[tuple[str, str]]) -> list[str]:
    """Returns the headers in libcurl's format, with its automatic headers switched off.

    Raises:
        ValueError: a header would break out of its line, or is one that the sender sets itself.
    """
    lines = [f"{name}: {value}" for name, value in headers]
    for line in lines:
        if not _HEADER.fullmatch(line) or line.lower().startswith(_OURS):
            raise ValueError("a header can't be sent as it stands")
    items = {name.lower() for name, _ in headers}
    absent = [f"{name}:" for name in _ADDED_BY_LIBCURL if name.lower() not in items]
    return [f"{line[:-2]};" if line.endswith(": ") else line for line in lines] + absent
