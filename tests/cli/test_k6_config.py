"""`loadbell k6-config`: what is printed can be used as it stands."""

import json
import subprocess

from tests.support.commands import loadbell

SERVER = {"LOADBELL_URL": "https://bell.example.org/", "LOADBELL_TOKEN": "lb_it's"}


def test_both_ways_are_printed() -> None:
    """Variables and a file, with the server's address and the token; nothing is asked of the server."""
    process = loadbell("k6-config", **SERVER)

    assert 0 == process.returncode
    assert "export K6_CLOUD_HOST=https://bell.example.org\n" in process.stdout
    assert "export K6_CLOUD_HOST_V6=https://bell.example.org\n" in process.stdout
    assert "k6 run --out cloud script.js" in process.stdout
    assert '"collectors"' in process.stdout


def test_a_shell_takes_the_variables() -> None:
    """As they are printed, whatever stands in the token."""
    process = loadbell("k6-config", "--env", **SERVER)
    shell = subprocess.run(
        ["sh", "-c", 'eval "$1"; printf %s "$K6_CLOUD_HOST $K6_CLOUD_TOKEN"', "sh", process.stdout],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip

    assert "https://bell.example.org lb_it's" == shell.stdout


def test_the_file_is_json() -> None:
    """The part of k6's config.json, and nothing else."""
    process = loadbell("k6-config", "--json", LOADBELL_URL="http://127.0.0.1:8025")

    assert {
        "collectors": {
            "cloud": {"host": "http://127.0.0.1:8025", "hostv6": "http://127.0.0.1:8025", "token": "YOUR_TOKEN"}
        }
    } == json.loads(process.stdout)


def test_what_is_missing_is_told() -> None:
    """Without an address, with one that is none, and with two wishes at once."""
    for words, environment, text in (
        ((), {}, "LOADBELL_URL is not set"),
        ((), {"LOADBELL_URL": "bell"}, "isn't a server's URL"),
        (("--env", "--json"), SERVER, "Choose one"),
    ):
        process = loadbell("k6-config", *words, **environment)
        assert (2, "") == (process.returncode, process.stdout)
        assert text in process.stderr
