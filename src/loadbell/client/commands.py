"""
Finds the load tool in a command line, behind any runners, and a name for the run that contains no secrets.

Command lines contain secrets. So a name consists only of a program's base name and a script's file name, and words with
``=``, ``@``, ``:`` or white space are neither.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from loadbell.client import runners
from loadbell.client.processes import SHELLS
from loadbell.client.runners import RUNNERS, Words
from loadbell.client.shell import split_simple, without_prelude

_SCRIPTED = frozenset({"k6", "locust", "artillery", "gatling", "bzt", "jmeter", "jmeter-server", "tsung", "goose"})

WITHOUT_SCRIPT = frozenset(
    {
        *("vegeta", "wrk", "wrk2", "hey", "oha", "ab", "siege", "autocannon", "h2load", "bombardier", "drill"),
        *("fortio", "ghz", "plow", "cassowary", "ddosify", "anteon", "nighthawk_client", "httperf", "weighttp"),
        *("baton", "rewrk", "slapper"),
    }
)
"""Load tools that need only the command line, no script."""

KNOWN = _SCRIPTED | WITHOUT_SCRIPT

NAMELESS = "command"
"""Name for a program whose own name can't be shown."""

_ALIASES = {"taurus": "bzt", "ApacheJMeter.jar": "jmeter", "ApacheJMeter": "jmeter"}
_VERSION = re.compile(r"latest|next|beta|canary|[\^~v]?\d[\w.+-]*|")
_PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}")
_SCRIPT = re.compile(r"\w[\w.+-]{0,200}\.(?:js|mjs|cjs|ts|py|jmx|ya?ml|json|lua|scala|java|kt|sh|txt)", re.IGNORECASE)
_ENDINGS = (".exe", ".cmd", ".bat", ".sh")
_BUILDS = {"mvn": "mvn", "mvnw": "mvn", "gradle": "gradle", "gradlew": "gradle", "sbt": "sbt"}
_GATLING_GOALS = {
    "mvn": ("gatling:", "io.gatling:gatling-maven-plugin:"),
    "gradle": ("gatlingrun",),
    "sbt": ("gatling/", "gatling:", "gatlingit/", "gatling-it:"),
}
_LOCUSTFILE = "locustfile.py"
_MAX_LAYERS = 12
_SCRIPT_OPTIONS = frozenset({"-f", "--locustfile", "-t", "--testfile", "-s", "--script", "--config", "--"})


@dataclass(frozen=True)
class Command:
    """A tool with its arguments and environment."""

    tool: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    elsewhere: bool = False  #: in a container or another folder: its files can't be read
    build: str | None = None  #: the build tool that calls it, with its own exit codes
    under_timeout: bool = False

    @property
    def name(self) -> str:
        """The name for its runs: the tool and the script's file name."""
        return f"{self.tool} {self.script}" if self.script else self.tool

    @property
    def is_named(self) -> bool:
        """Whether the name distinguishes this test from others of the same tool."""
        return self.script is not None

    @property
    def script(self) -> str | None:
        """The file name of its script: of the first word that names a file and looks like a script."""
        former = ""
        for word in self.arguments:
            value = word.partition("=")[2] if word.startswith("--") else word
            path = value.partition(",")[0]
            is_there = (
                not former.startswith("-") or former in _SCRIPT_OPTIONS if self.elsewhere else os.path.isfile(path)  # noqa: PTH113 - it never raises
            )
            if is_there and not _is_unsafe(path) and _SCRIPT.fullmatch(base_name(path)):
                return base_name(path)
            former = word
        if self.tool == "locust" and not self.elsewhere and os.path.isfile(_LOCUSTFILE):  # noqa: PTH113 - as above
            return _LOCUSTFILE
        return None

    def option(self, *names: str) -> str | None:
        """Returns the value of the last of these options; "" without a value, None if absent."""
        value = None
        for word, following in zip(self.arguments, (*self.arguments[1:], ""), strict=False):
            name, equals, inline = word.partition("=")
            if name in names:
                value = inline if equals else ("" if following.startswith("-") else following)
            elif len(word) > len("-t") and word[0] == "-" != word[1] and word[:2] in names:
                value = word[2:]
        return value


def read_command(words: Sequence[str], environment: Mapping[str, str]) -> Command:
    """Returns the innermost command that these words call, as far as it can be found."""
    command = Command("", tuple(words), environment)
    for _ in range(_MAX_LAYERS):
        inner = _unwrap(command)
        if inner is None:
            break
        command = inner
    return _with_resolved_path(command)


def base_name(path: str) -> str:
    """Returns the file name of ``path``, without its folders."""
    return path.replace("\\", "/").rpartition("/")[2]


def program_name(word: str) -> str:
    """Returns the program's name without folder, ending and version; "" if it can't be shown."""
    if _is_unsafe(word):
        return ""
    path, _, version = base_name(word).partition("@")
    if not _VERSION.fullmatch(version):
        return ""
    for ending in _ENDINGS:
        path = path.removesuffix(ending) or path
    path = _ALIASES.get(path, path)
    return path if _PROGRAM.fullmatch(path) else ""


def _is_unsafe(word: str) -> bool:
    return "=" in word or "://" in word or any(character.isspace() for character in word)


def _with_resolved_path(command: Command) -> Command:
    words = command.arguments
    return replace(command, tool=(program_name(words[0]) if words else "") or NAMELESS, arguments=words[1:])


def _unwrap(command: Command) -> Command | None:
    """Returns the command without its outermost layer; None if there is none, or its inside is unknown."""
    if not command.arguments:
        return None
    called, rest = program_name(command.arguments[0]), list(command.arguments[1:])
    layer = _in_python if called.startswith(("python", "pypy")) else _LAYERS.get(called)
    return layer(command, called, rest) if layer else None


def _behind(command: Command, words: Words) -> Command | None:
    """Returns the command that ``words`` call; if their roles aren't certain, only a known tool counts."""
    rest = words.words
    if not words.is_certain:
        while rest and program_name(rest[0]) not in KNOWN:
            rest = rest[1:]
    if not rest or not program_name(rest[0]):
        return None
    environment = {**command.environment, **words.assigned} if words.assigned else command.environment
    return replace(command, arguments=tuple(rest), environment=environment)


def _behind_runner(command: Command, called: str, rest: list[str]) -> Command | None:
    if called in runners.OF_ONE_WORD and (inner := _in_one_word(command, called, rest)):
        return inner
    runner, words = RUNNERS[called], Words(rest)
    takes_value = runners.runner_takes_value(runner)
    options: dict[str, str] = {}
    if runner.subcommands:
        options |= words.skip_options(takes_value)
        after = _after_subcommand(called, words.words)
        if after is None:
            return None
        words.words = after
    options |= words.skip_options(_with_module(takes_value) if runner.module else takes_value)
    _insert_named(called, words, options)
    if runner.assigns:
        words.skip_assignments()
    del words.words[: runner.own_words]
    if called == "uv" and words.words and words.words[0].endswith(".py"):
        words.words.insert(0, "python")
    if called == "hatch" and words.words:
        words.words[0] = words.words[0].rpartition(":")[2]
    inner = _behind(command, words)
    if inner is None:
        return None
    moved, under_timeout = runners.changes_folder(called, options), called in runners.TIMEOUTS
    return replace(inner, elsewhere=moved or inner.elsewhere, under_timeout=under_timeout or inner.under_timeout)


def _after_subcommand(called: str, words: list[str]) -> list[str] | None:
    """Returns the words after the subcommand; some runners take a tool's name instead of one."""
    after = runners.after_subcommand(RUNNERS[called], words)
    if after is None and called in runners.WITHOUT_SUBCOMMAND and words and program_name(words[0]) in KNOWN:
        return words
    return after


def _insert_named(called: str, words: Words, options: Mapping[str, str]) -> None:
    """Inserts the program that an option of the runner names before the words."""
    if RUNNERS[called].module and (module := options.get("-m") or options.get("--module")):
        words.words.insert(0, module)
    if called == "env" and (string := options.get("-S") or options.get("--split-string")):
        words.words[:0] = split_simple(string)
        words.is_certain = True


def _with_module(takes_value: Callable[[str], bool | None]) -> Callable[[str], bool | None]:
    return lambda option: True if option in {"-m", "--module"} else takes_value(option)


def _behind_dashes(command: Command, _: str, rest: list[str]) -> Command | None:
    return _behind(command, Words(rest[rest.index("--") + 1 :])) if "--" in rest else None


def _in_cluster(command: Command, _: str, rest: list[str]) -> Command | None:
    if "--" not in rest:
        return None
    own, inner = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    if "exec" not in own:  # run: the words are for the image's own program
        image = Command("", tuple(own), {}).option("--image")
        inner = [tool, *inner] if (tool := _image_name(image or "")) in KNOWN else []
    found = _behind(command, Words(inner))
    return replace(found, environment={}, elsewhere=True) if found else None


def _in_one_word(command: Command, _: str, rest: list[str]) -> Command | None:
    """Returns the command in ``su -c 'a simple command' NAME`` and similar, if it calls a known tool."""
    for option, value in pairwise(rest):
        if option == "--command" or (option[:1] == "-" != option[1:2] and option.endswith("c")):
            return _in_shell(command, "", ["-c", value])
    return None


def _in_interpreter(command: Command, _: str, rest: list[str]) -> Command | None:
    return replace(command, arguments=tuple(rest)) if rest and program_name(rest[0]) in KNOWN else None


def _in_container(command: Command, called: str, rest: list[str]) -> Command | None:
    words, is_compose = Words(rest), called == "docker-compose"
    words.skip_options(runners.container_takes_value)
    if words.words[:1] == ["container"]:
        words.words.pop(0)
    if words.words[:1] == ["compose"]:
        is_compose = True
        words.words.pop(0)
        words.skip_options(runners.container_takes_value)
    if words.words[:1] not in (["run"], ["exec"]):
        return None
    is_exec = words.words.pop(0) == "exec"
    options = words.skip_options(runners.container_takes_value)
    if not words.words:
        return None
    place, inner = _image_name(words.words[0]), words.words[1:]
    inside = dict(value.partition("=")[::2] for name, value in options if name in {"-e", "--env"} and "=" in value)
    items = {value for name, value in options if name in {"-e", "--env"} and "=" not in value}
    inside |= {name: value for name, value in command.environment.items() if name in items}
    entry = next((value for name, value in options if name == "--entrypoint"), None)
    if entry:
        inner = [entry, *inner]
    elif not is_exec and place in KNOWN and not (inner and program_name(inner[0]) == place):
        inner = [place, *inner]
    elif not inner or not (is_exec or is_compose or program_name(inner[0]) in KNOWN | SHELLS | set(RUNNERS)):
        return None
    found = _behind(command, Words(inner, is_certain=is_exec or bool(entry) or place in KNOWN))
    return replace(found, environment=inside, elsewhere=True) if found else None


def _image_name(image: str) -> str:
    name = base_name(image.partition("@")[0]).partition(":")[0]
    name = _ALIASES.get(name, name)
    return name if _PROGRAM.fullmatch(name) else ""


def _in_shell(command: Command, _: str, rest: list[str]) -> Command | None:
    """Returns the command in ``sh -c 'cd FOLDER && a simple command'`` or ``sh tool.sh``, if it calls a known tool."""
    words, moved = Words(rest), False
    while words.words and words.words[0].startswith(("-", "+")):
        option = words.words.pop(0)
        if "c" in option[1:] and not option.startswith("--"):
            text, moved = without_prelude(words.words[0] if words.words else "")
            words.words = split_simple(text)
            break
        if option.endswith("o") and words.words:
            words.words.pop(0)
    words.skip_assignments()
    inner = _behind(command, words)
    if inner is None or read_command(inner.arguments, inner.environment).tool not in KNOWN:
        return None
    return replace(inner, elsewhere=moved or inner.elsewhere)


def _in_python(command: Command, _: str, rest: list[str]) -> Command | None:
    words = Words(rest)
    while words.words and words.words[0].startswith("-") and words.words[0] not in {"-m", "-c", "-"}:
        option = words.words.pop(0)
        if option in {"-W", "-X"} and words.words:
            words.words.pop(0)
    if words.words[:1] == ["-m"]:
        return _behind(command, Words(words.words[1:]))
    return _behind(command, words) if words.words and program_name(words.words[0]) in KNOWN else None


def _in_java(command: Command, _: str, rest: list[str]) -> Command | None:
    for place, word in enumerate(rest):
        tool = "gatling" if word.startswith("io.gatling.app.") else program_name(base_name(word).partition("-")[0])
        if tool in {"gatling", "jmeter"} and (
            word.startswith("io.gatling.app.") or rest[place - 1 : place] == ["-jar"]
        ):
            return replace(command, arguments=(tool, *rest[place + 1 :]))
    return None


def _in_build(command: Command, called: str, rest: list[str]) -> Command | None:
    build = _BUILDS[called]
    goals = [word.lower() for word in rest if not word.startswith("-")]
    for goal in goals:
        task = goal.rpartition(":")[2] if build == "gradle" else goal
        if task.startswith(_GATLING_GOALS[build]):
            return replace(command, arguments=("gatling", *rest), build=build)
        if goal.startswith(("jmeter:", "com.lazerycode.jmeter:")) or (build == "gradle" and goal.endswith("jmrun")):
            return replace(command, arguments=("jmeter", *rest), build=build)
    return None


_LAYERS: Mapping[str, Callable[[Command, str, list[str]], Command | None]] = {
    **dict.fromkeys(runners.INTERPRETERS, _in_interpreter),
    **dict.fromkeys(runners.OF_ONE_WORD, _in_one_word),
    **dict.fromkeys(RUNNERS, _behind_runner),
    **dict.fromkeys(runners.BEHIND_DASHES, _behind_dashes),
    **dict.fromkeys(runners.CLUSTERS, _in_cluster),
    **dict.fromkeys(runners.CONTAINERS, _in_container),
    **dict.fromkeys(SHELLS, _in_shell),
    **dict.fromkeys(_BUILDS, _in_build),
    "java": _in_java,
}
