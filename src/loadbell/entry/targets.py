"""Requests that name the server in their first line, as those to a proxy do: that name counts, not ``Host``."""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_END_OF_HOST = re.compile(rb"[/?#]")


class TargetHost(HttpToolsProtocol):
    """uvicorn's protocol, which looks at path and query only, for ``GET http://host/path`` (RFC 9112 section 3.2.2)."""

    def on_headers_complete(self) -> None:
        """Takes the host out of the target and has it stand in ``Host``, before the request is answered."""
        scheme, _, rest = self.url.partition(b"://")
        if rest and not _END_OF_HOST.search(scheme):
            host = _END_OF_HOST.split(rest, maxsplit=1)[0]
            path = rest[len(host) :]
            self.url = path if path.startswith(b"/") else b"/" + path
            self.headers[:] = [*((name, value) for name, value in self.headers if name != b"host"), (b"host", host)]
        super().on_headers_complete()
