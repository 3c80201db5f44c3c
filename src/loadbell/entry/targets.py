"""Requests with the server's name in the first line, as sent to proxies: it overrides ``Host``."""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_END_OF_HOST = re.compile(rb"[/?#]")


class TargetHost(HttpToolsProtocol):
    """Extends uvicorn's protocol to ``GET http://host/path`` (RFC 9112 section 3.2.2)."""

    def on_headers_complete(self) -> None:
        """Moves the host from the target to ``Host`` before the request is handled."""
        scheme, _, rest = self.url.partition(b"://")
        if rest and not _END_OF_HOST.search(scheme):
            host = _END_OF_HOST.split(rest, maxsplit=1)[0]
            path = rest[len(host) :]
            self.url = path if path.startswith(b"/") else b"/" + path
            self.headers[:] = [*((name, value) for name, value in self.headers if name != b"host"), (b"host", host)]
        super().on_headers_complete()
