"""
The options of a Locust run, from every source that Locust reads.

In Locust's order, where later ones override earlier ones: ``~/.locust.conf``, ``locust.conf``, ``[tool.locust]`` of
``pyproject.toml``, the file of ``--config`` (or ``LOCUST_CONFIG``), the variables, the command line. Unreadable files
are ignored: Locust reports those itself.
"""

import os
import re

from loadbell.client.commands import Command

_MAX_FILE_SIZE = 256 * 1024
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_MAX_SPAN_LENGTH = 20
_ON_ERROR = "--exit-code-on-error"


class LocustOptions:
    """The options of a Locust run. Reads files where Locust does: in the working folder and the home folder."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._files: dict[str, str] = {}
        if command.elsewhere:
            return
        text = command.option("--config") or command.environment.get("LOCUST_CONFIG")
        home = command.environment.get("HOME", "")
        for path in (os.path.join(home, ".locust.conf") if home else "", "locust.conf", "pyproject.toml", text):  # noqa: PTH118 - pathlib is slow to import
            if path:
                self._files |= _read(path)

    @property
    def exit_code_on_error(self) -> str:
        """The exit code for failed requests; "0" if they don't change it."""
        abbreviations = tuple(_ON_ERROR[:length] for length in range(len("--exi"), len(_ON_ERROR) + 1))
        value = self._value(abbreviations, "LOCUST_EXIT_CODE_ON_ERROR") or "1"
        return value.lstrip("+0") or "0" if value.lstrip("+").isdigit() else value

    @property
    def is_worker(self) -> bool:
        """Whether it only makes load for a master."""
        return _is_true(self._value(("--worker", "--slave"), "LOCUST_MODE_WORKER"))

    @property
    def is_distributed(self) -> bool:
        """Whether workers make the load for it."""
        master = self._value(("--master",), "LOCUST_MODE_MASTER")
        return _is_true(master) or self._value(("--processes",), "LOCUST_PROCESSES") not in {None, "0"}

    @property
    def csv_prefix(self) -> str | None:
        """The prefix of its CSV files."""
        return self._value(("--csv",), "LOCUST_CSV") or None

    @property
    def json_file(self) -> str | None:
        """Its JSON results file."""
        name = self._value(("--json-file",), "")  # Locust has no variable for it
        return f"{name}.json" if name else None

    @property
    def log_file(self) -> str | None:
        """Its log file; None: the log goes to standard error."""
        return self._value(("--logfile",), "LOCUST_LOGFILE") or None

    @property
    def run_time_s(self) -> float | None:
        """The run time in seconds; None: unlimited or unknown."""
        text = (self._value(("-t", "--run-time"), "LOCUST_RUN_TIME") or "").replace(" ", "")
        match = _SPAN.fullmatch(text)
        if not text or match is None or len(text) > _MAX_SPAN_LENGTH:
            return None
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds

    @property
    def missing_file(self) -> bool:
        """Whether a locustfile is missing; doesn't check those at a URL."""
        if self._command.elsewhere:
            return False
        text = self._value(("-f", "--locustfile"), "LOCUST_LOCUSTFILE") or "locustfile.py"
        return any("://" not in path and not os.path.exists(path.strip()) for path in text.split(","))  # noqa: PTH110 - pathlib is slow to import

    def _value(self, names: tuple[str, ...], variable: str) -> str | None:
        on_line = self._command.option(*names)
        if on_line is not None:
            return on_line
        if variable in self._command.environment:
            return self._command.environment[variable]
        return next((self._files[name] for name in (text.lstrip("-") for text in names) if name in self._files), None)


def _is_true(value: str | None) -> bool:
    """Returns whether a switch is on; one without a value is."""
    return value is not None and value.strip().lower() not in {"false", "no", "off", "0"}


def _read(path: str) -> dict[str, str]:
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:  # noqa: PTH111, PTH123 - pathlib is slow to import
            text = file.read(_MAX_FILE_SIZE)
    except (OSError, ValueError):
        return {}
    return _parse_toml(text) if path.endswith(".toml") else _parse_lines(text)


def _parse_toml(text: str) -> dict[str, str]:
    if "locust" not in text:
        return {}
    import tomllib  # noqa: PLC0415 - few projects set Locust's options there

    try:
        table = tomllib.loads(text).get("tool", {}).get("locust", {})
        return {str(name): str(value) for name, value in table.items()}
    except (ValueError, AttributeError):
        return {}


def _parse_lines(text: str) -> dict[str, str]:
    """Parses Locust's formats: ``name = value``, ``name: value``, ``name value``, each also with ``--``."""
    found = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#;[" or line.startswith("---"):
            continue
        parts = re.split(r"[\s=:]", line.removeprefix("--"), maxsplit=1)
        value = parts[1].strip(" \t=:").partition(" #")[0].strip() if len(parts) > 1 else ""
        found[parts[0]] = value.strip("\"'")
    return found
