"""
What real k6 binaries said to a cloud server, and a way to say it again.

The recordings were made with k6 0.45.1 to 2.2.0 against a stub on the loopback address: method, path, headers and body
of each request, in order. Push bodies are the raw bytes (``body_hex``), or the text that was in gzip (``body``).
"""

import gzip
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.server import Answer

FOLDER = Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
_BOUNDARY = "324e5f8481c6964107e6888c1b0676d546641f5aaa0dffeb2d9077538b0d"
_OURS = {"host", "authorization", "content-length", "transfer-encoding", "content-type"}


@dataclass(frozen=True)
class Recording:
    """One conversation, from k6's side."""

    name: str
    requests: list[dict[str, Any]]

    @property
    def creates(self) -> bool:
        """Whether it begins with the announcement of a run."""
        return str(self.requests[0]["path"]).endswith("/v1/tests")

    @property
    def announcement(self) -> dict[str, Any]:
        """What the announcement says."""
        first = self.requests[0]
        fields = {part["name"]: part["value"] for part in first.get("multipart", []) if "value" in part}
        return first.get("json") or fields

    @property
    def end(self) -> dict[str, Any] | None:
        """The end report, if k6 came to send one."""
        last = self.requests[-1]
        body: dict[str, Any] | None = last["json"] if "run_status" in last.get("json", {}) else None
        return body

    @property
    def pushes(self) -> Iterator[tuple[int, bytes]]:
        """Version and bytes of each push."""
        for request in self.requests:
            if "/metrics/" in request["path"]:
                yield (2, bytes.fromhex(request["body_hex"])) if "body_hex" in request else (1, _gzip(request))


def recording(name: str) -> Recording:
    """The recording of that name."""
    return Recording(name, json.loads((FOLDER / f"{name}.json").read_text())["requests"])


def say(url: str, request: Mapping[str, Any], *, token: str, run_id: int | None, project_id: int | None) -> Answer:
    """Sends one request as it was recorded, with the ids of the server at ``url``; pushes are sent in chunks."""
    parts = urlsplit(url)
    path = str(request["path"])
    recorded = path.rsplit("/", 1)[1]
    if recorded.isdigit():
        path = path.removesuffix(recorded) + str(run_id)
    body, kind = _body(request, project_id)
    chunked = "/metrics/" in path
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    try:
        connection.putrequest(str(request["method"]), path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", parts.netloc)
        for name, value in request["headers"]:
            if name.lower() not in _OURS:
                connection.putheader(name, value)
        shown = next(value for name, value in request["headers"] if name.lower() == "authorization")
        connection.putheader("Authorization", f"{shown.split(' ')[0]} {token}")
        connection.putheader("Content-Type", kind)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(_pieces(body), encode_chunked=True)
        else:
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def _body(request: Mapping[str, Any], project_id: int | None) -> tuple[bytes, str]:
    kind = next((value for name, value in request["headers"] if name.lower() == "content-type"), "application/json")
    if "body_hex" in request:
        return bytes.fromhex(request["body_hex"]), kind
    if "body" in request:
        return _gzip(request), kind
    if "json" in request:
        said = request["json"]
        if said.get("project_id") and project_id is not None:
            said = {**said, "project_id": project_id}
        return json.dumps(said, separators=(",", ":")).encode(), kind
    lines = []
    for part in request["multipart"]:
        value = str(project_id) if part["name"] == "project_id" and part.get("value") != "0" else part.get("value", "")
        file = f'; filename="{part["filename"]}"' if "filename" in part else ""
        lines.append(f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{part["name"]}"{file}\r\n\r\n{value}\r\n')
    return ("".join(lines) + f"--{_BOUNDARY}--\r\n").encode(), f"multipart/form-data; boundary={_BOUNDARY}"


def _gzip(request: Mapping[str, Any]) -> bytes:
    return gzip.compress(str(request["body"]).encode())


def _pieces(body: bytes) -> Iterator[bytes]:
    """In three pieces, as a body comes that is written while it is made."""
    third = len(body) // 3 + 1
    for start in range(0, len(body), third):
        yield body[start : start + third]
