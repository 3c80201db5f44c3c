"""Commands in poor surroundings: no home, no name, no place to write to, a terminal that shows ASCII only.

Each either works or says in a sentence what is amiss; none ends in an error that nobody expected.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import certifi
import pytest

from tests.support.commands import Completed, loadbell

SETUP = ("setup", "--organization", "Érable ☎", "--email", "kim@example.org")
HERE = {"LOADBELL_URL": "http://127.0.0.1:1", "LOADBELL_TOKEN": "lb_x"}
_CAPABILITY = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
NOBODY = ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", *_CAPABILITY)
"""Runs a program as somebody without a name, who may read our files all the same, as in a container."""


def _run(words: Sequence[str], *, prefix: Sequence[str] = (), redirected: str = "", **environment: str) -> Completed:
    """Runs ``loadbell`` with nothing in its environment but ``environment``; ``redirected``: as a shell does that."""
    command = [*prefix, sys.executable, "-m", "loadbell", *words]
    if redirected:
        command = ["sh", "-c", f'exec "$@" {redirected}', "sh", *command]
    return subprocess.run(
        command, env=environment, capture_output=True, timeout=60, text=True, errors="replace", check=False, cwd="/"
    )


def _nobody_can_be() -> bool:
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


@pytest.mark.skipif(not _nobody_can_be(), reason="only root may run a program as somebody else, by setpriv")
@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        (("--help",), {}, 0, ""),
        (("serve", "--port", "0"), {}, 4, "LOADBELL_DATA_DIR: there is no home folder for the default."),
        (SETUP, {"HOME": "/nonexistent"}, 4, "can't be used: Permission denied"),
        (SETUP, {"LOADBELL_DATA_DIR": "~/lb"}, 4, "LOADBELL_DATA_DIR: ~ can't be resolved here."),
        (("migrate",), {"LOADBELL_DATABASE_URL": "postgresql://127.0.0.1/d"}, 4, "the user is missing"),
        (("users", "reset-password", "a@b.example"), {"HOME": "/nonexistent"}, 4, "There is no database /nonexistent/"),
        (("channels", "list"), HERE, 3, "can't be reached"),
        (("k6-config",), HERE, 0, ""),
        (("wrap", "--", "true"), {"PATH": os.environ["PATH"]}, 0, "this run isn't reported"),
    ],
)
def test_somebody_without_a_name_or_a_home(
    words: tuple[str, ...], environment: dict[str, str], code: int, said: str
) -> None:
    """A container's ``--user 12345``: what needs no home works, the rest says which setting to give."""
    process = _run(words, prefix=NOBODY, **environment)

    assert (code, True) == (process.returncode, said in process.stderr), process.stderr
    assert "unexpected" not in process.stderr


@pytest.mark.skipif(not _nobody_can_be(), reason="only root may run a program as somebody else, by setpriv")
def test_somebody_without_a_name_sets_a_server_up(tmp_path: Path) -> None:
    """With a folder of his own that is all that is needed."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    process = _run(SETUP, prefix=NOBODY, LOADBELL_DATA_DIR=str(folder))

    assert (0, "") == (process.returncode, process.stderr)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("words", [("--help",), ("wrap", "--help"), ("channels", "--help"), SETUP])
def test_a_terminal_that_can_not_show_it_all(words: tuple[str, ...], encoding: str, tmp_path: Path) -> None:
    """What it lacks is shown as a question mark, in output and in errors."""
    process = _run(words, PYTHONIOENCODING=encoding, LOADBELL_DATA_DIR=str(tmp_path))

    assert (0, "") == (process.returncode, process.stderr)


@pytest.mark.parametrize(
    ("words", "redirected", "code", "said"),
    [
        (("--help",), ">/dev/full", 1, "can't write the output: No space left on device"),
        (("wrap", "--help"), ">/dev/full", 1, "can't write the output: No space left on device"),
        (("k6-config",), ">/dev/full", 1, "can't write the output: No space left on device"),
        (("k6-config",), "| true", 0, ""),
        (("k6-config",), ">&-", 0, ""),
        (("channels", "list"), "2>/dev/full", 3, ""),
        (("channels", "list"), "2>&-", 3, ""),
        ((*SETUP, "--password-stdin"), "<&-", 1, "password: use 10 to 1000 characters"),
        (("channels", "add", "--kind", "slack", "--name", "n", "--set", "url=-"), "<&-", 3, "can't be reached"),
    ],
)
def test_a_stream_that_leads_nowhere(words: tuple[str, ...], redirected: str, code: int, said: str) -> None:
    """A full disk, a reader who has gone, a closed stream: a sentence if one can be said, and the right code."""
    process = _run(words, redirected=redirected, **HERE, PATH=os.environ["PATH"])

    assert (code, True) == (process.returncode, said in process.stderr), process.stderr
    assert "unexpected" not in process.stderr
    assert "Exception" not in process.stderr


@pytest.mark.parametrize("folder", ["/proc/loadbell", "/dev/null/loadbell"])
@pytest.mark.parametrize("words", [SETUP, ("serve", "--port", "0"), ("users", "reset-password", "a@b.example")])
def test_a_folder_that_can_not_be_written(words: tuple[str, ...], folder: str) -> None:
    """A read-only one, or none at all."""
    process = loadbell(*words, LOADBELL_DATA_DIR=folder)

    assert (4, True) == (process.returncode, f"{folder}" in process.stderr)
    assert "unexpected" not in process.stderr


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-"])
def test_a_server_whose_log_can_not_be_written_serves(redirected: str, tmp_path: Path) -> None:
    """Its lines are lost, its work is not."""
    server = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "loadbell", "serve", "--port", "0"],
        env=os.environ | {"LOADBELL_DATA_DIR": str(tmp_path), "LOADBELL_DATADIR": "misspelt: told on stderr"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().removeprefix("loadbell is listening on ").strip()
        process = loadbell("channels", "list", LOADBELL_URL=url, LOADBELL_TOKEN="lb_x")
        assert "LOADBELL_TOKEN was rejected" in process.stderr
        server.send_signal(signal.SIGTERM)
        assert 0 == server.wait(20)
    finally:
        server.kill()
        server.communicate()


def test_without_a_folder_for_temporary_files(tmp_path: Path) -> None:
    """What needs one says so."""
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    lines = [
        "import tempfile",
        "tempfile._candidate_tempdir_list = lambda: ['/dev/null/x']",
        "from loadbell.cli import main",
        "main(['serve', '--port', '0'])",
    ]
    process = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=os.environ | {"LOADBELL_DATA_DIR": str(tmp_path), "LOADBELL_CA_FILE": str(tmp_path / "ca.pem")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (4, True) == (process.returncode, "The sender can't be started: No usable temporary" in process.stderr)
