"""
Snippets of the documentation that claim to run, and a shell that runs a page from top to bottom.

``<!-- run -->`` before a ``bash`` block: it is run. ``<!-- run: server -->``: it is run in the background, and the next
one starts when it says that it listens. ``<!-- run: NAME -->`` before another block: a test of that name uses it.
``<!-- needs a server -->`` anywhere on the page: a server is set up and started before the first block.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^<!-- run(?:: (\w+))? -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIMEOUT_S = 280

DOCUMENTED_PORT = "8025"
DOCUMENTED_RECEIVER = "https://hooks.example.org/loadbell"

MISSING = "needs curl: the documentation's requests are made with it. Install the package curl."

_SET_UP = "loadbell setup --organization 'Example Ltd' --email kim@example.org --json > setup.json"
_SERVE = f"loadbell serve --port {DOCUMENTED_PORT}"
_PROLOGUE = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT
"""
_AS_ITS_USER = f"""\
export LOADBELL_URL=http://127.0.0.1:{DOCUMENTED_PORT}
export LOADBELL_TOKEN=$(python3 -c 'import json; print(json.load(open("setup.json"))["token"])')
export ORGANIZATION=$(python3 -c 'import json; print(json.load(open("setup.json"))["organization_id"])')
"""


@dataclass(frozen=True)
class Snippet:
    """One block that claims to run."""

    name: str  #: what stands after ``run:``, or ""
    language: str
    code: str


def snippets(page: Path) -> list[Snippet]:
    """The blocks of ``page`` that claim to run, in order."""
    return [Snippet(*groups) for groups in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def runs(page: Path) -> bool:
    """Whether ``page`` has a block for the shell."""
    return any(snippet.language == "bash" for snippet in snippets(page))


def has_curl() -> bool:
    """Whether the documentation's requests can be made here."""
    return shutil.which("curl") is not None


def run_page(page: Path, folder: Path, receiver_url: str) -> str:
    """Runs the page's shell blocks in ``folder``, in one shell; what they wrote to stdout.

    The documented port is replaced by a free one and the documented receiver by ``receiver_url``.

    Raises:
        AssertionError: a command failed; the message has what was written.
    """
    shell_blocks = [snippet for snippet in snippets(page) if snippet.language == "bash"]
    blocks = [_background(snippet.code) if snippet.name == "server" else snippet.code for snippet in shell_blocks]
    if "<!-- needs a server -->" in page.read_text(encoding="utf-8"):
        blocks = [_SET_UP, _background(_SERVE), _AS_ITS_USER, *blocks]
    script = "\n".join([_PROLOGUE, *blocks])
    script = script.replace(DOCUMENTED_PORT, str(_free_port())).replace(DOCUMENTED_RECEIVER, receiver_url)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LOADBELL_DATA_DIR": str(folder / "data"),
        "LOADBELL_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = shell.communicate(timeout=_TIMEOUT_S)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    logs = "".join(path.read_text(errors="replace") for path in folder.glob("*.background"))
    assert shell.returncode == 0, f"exit code {shell.returncode}\n{out}\n{err}\n{logs}"
    return out


def _background(command: str) -> str:
    """``command``, one line, in the background; goes on when it says that it listens."""
    return (
        f"(exec {command.strip()}) > server.background 2>&1 &\n"
        "for _ in $(seq 300); do grep -q 'is listening on' server.background && break; sleep 0.1; done\n"
        "grep -q 'is listening on' server.background\n"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
