"""
What every test stands on: a clean environment, hypothesis profiles, both databases, and no silent skips in CI.

Profiles: ``default`` (random), ``ci`` (the same examples each time), ``soak`` (many more; ``make soak``).
"""

import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import MISSING, Databases, PostgresServer, find_binaries

pytest_plugins = ("tests.support.stores",)

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
K6 = os.environ.get("K6_BIN") or shutil.which("k6")
POSTGRES_URL = os.environ.get("LOADBELL_TEST_POSTGRES_URL", "")

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("soak", settings.get_profile("default"), max_examples=5_000)
settings.load_profile("ci" if IN_CI else "default")

_FOREIGN = re.compile(
    r"LOADBELL_.*|PG[A-Z]+|K6_.*|LOCUST_.*|(?:http|https|all|no|ftp)_proxy"
    # what tells that we are in CI, which `loadbell wrap` reads
    r"|CI|CI_.*|CONTINUOUS_INTEGRATION|BUILD_.*|GITHUB_.*|GITLAB_.*|JENKINS_.*|BUILDKITE.*|CIRCLE.*|TRAVIS.*|TEAMCITY_.*|TF_BUILD"
    # what changes how a terminal is written to
    r"|FORCE_COLOR|NO_COLOR|CLICOLOR.*|COLUMNS|LINES|TERMINAL_WIDTH",
    re.IGNORECASE,
)
"""Variables of the caller that would change what the code under test does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds our own options."""
    parser.addoption(
        "--durable-postgres",
        action="store_true",
        help="let the test PostgreSQL write every commit to the disk, as in production (slower)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Takes the caller's variables and ignored signals away from the code under test, before anything reads them."""
    config.pluginmanager.register(_ThreadsLeft(), "loadbell-threads-left")
    if config.getoption("numprocesses", None):  # pytest-xdist: the tests run in processes that inherit our variables
        config.pluginmanager.register(_Skips(in_ci=IN_CI), "loadbell-skips")
        return
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Skips(in_ci=IN_CI), "loadbell-skips")
    for name in [name for name in os.environ if _FOREIGN.fullmatch(name)]:
        del os.environ[name]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:  # under nohup; the processes that tests start would inherit it
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


class _Skips:
    """Says at the end what was skipped and why. In CI, a run that skipped for want of anything but k6 has failed."""

    def __init__(self, *, in_ci: bool) -> None:
        self._in_ci = in_ci
        self._reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Looks at a test that was skipped."""
        self._check(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Looks at a module that was skipped as a whole."""
        self._check(report)

    def _check(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._reasons[reason.removeprefix("Skipped: ")] += 1

    def _unwanted(self, reason: str) -> bool:
        return self._in_ci and re.search(r"\bk6\b", reason) is None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turns a passed run with unwanted skips into a failed one."""
        if session.exitstatus == pytest.ExitCode.OK and any(self._unwanted(reason) for reason in self._reasons):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line for each reason, before pytest's own closing line."""
        if not self._reasons:
            return
        terminalreporter.section("skipped")
        for reason, count in self._reasons.most_common():
            verdict = "FAILED, CI must not skip" if self._unwanted(reason) else "SKIPPED"
            terminalreporter.line(f"{verdict} [{count}] {reason}")


class _ThreadsLeft:
    """Fails a run whose tests left a thread that Python would wait for at its exit, and shows what it does.

    Where pytest-xdist spreads the tests over processes, each of them looks at itself and the first process tells.
    """

    def __init__(self) -> None:
        self._left: list[str] = []

    @pytest.hookimpl(trylast=True)  # after the fixtures of the whole session were torn down
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Gives threads that are about to end a moment, then looks."""
        deadline = time.monotonic() + 5
        frames = sys._current_frames()  # there is no public way to see where a thread is
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    stack = "".join(traceback.format_stack(frames.get(thread.ident or 0)))
                    self._left.append(f"{thread.name} is still running:\n{stack}")
        told = getattr(session.config, "workeroutput", None)
        if told is not None:
            told["threads_left"] = self._left
        if self._left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Takes what another process of this run has seen."""
        self._left += getattr(node, "workeroutput", {}).get("threads_left", [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says which, before pytest's own closing line."""
        if not self._left:
            return
        terminalreporter.section("threads that the tests left behind", red=True)
        for what in self._left:
            terminalreporter.line(f"FAILED: {what}")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Ends the process all the same: nobody shall wait for a thread that never ends."""
        if self._left:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


@pytest.fixture(autouse=True, scope="session")
def _no_data_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that names no data folder gets an empty one, never the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config-home")))
        yield


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the admin database of a real PostgreSQL: LOADBELL_TEST_POSTGRES_URL, else one started here."""
    if POSTGRES_URL:
        yield POSTGRES_URL
        return
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(MISSING)
    with PostgresServer(binaries, durable=request.config.getoption("--durable-postgres")) as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator[Databases]:
    """Makes and drops databases on the test server."""
    databases = Databases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database, dropped afterwards."""
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database whose file does not exist yet."""
    return f"sqlite:///{quote(str(tmp_path / 'loadbell.sqlite3'))}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database; the test runs once on each engine."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url
