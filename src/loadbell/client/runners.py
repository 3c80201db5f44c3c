"""
Programs that run a load tool, and how to separate their own words from the tool's.

One line per program: its options with and without a value, and how many of its own words come before the command. After
an option that isn't in the table, the rest is a guess, accepted only for a tool that is known by name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Runner:
    """The syntax of one program: ``PROGRAM [options] [own words] COMMAND …``."""

    values: frozenset[str] = frozenset()  #: options that take the next word as their value
    flags: frozenset[str] = frozenset()  #: options without a value
    own_words: int = 0  #: how many own words come between its options and the command
    assigns: bool = False  #: ``NAME=value`` words before the command set variables
    subcommands: tuple[tuple[str, ...], ...] = ()  #: one of these must come first; empty: none
    module: bool = False  #: ``-m`` names the command, as a Python module


def _runner(values: str = "", flags: str = "", **more: object) -> Runner:
    return Runner(frozenset(values.split()), frozenset(flags.split()), **more)  # type: ignore[arg-type]  # the table below is checked by its tests


_UV = (
    "--directory --project --config-file --cache-dir --color --python -p --index --default-index --index-url -i "
    "--extra-index-url --find-links -f --with --with-editable --with-requirements --from --env-file --extra --group "
    "--only-group --no-group --no-extra --package --constraints -c --overrides --build-constraints --refresh-package "
    "--upgrade-package -P --reinstall-package --keyring-provider --resolution --prerelease --exclude-newer --link-mode "
    "--index-strategy --allow-insecure-host --python-platform -w"
)
_UV_FLAGS = (
    "-q --quiet -v --verbose --no-project --no-sync --frozen --locked --isolated --active --offline --no-cache -n "
    "--refresh --upgrade -U --no-dev --dev --all-extras --all-groups --exact --no-env-file --native-tls --no-progress "
    "--managed-python --no-managed-python --no-config --system-certs"
)
_NPM = "--registry --package -p --workspace -w --cache --userconfig --globalconfig --prefix --node-options --loglevel"
_NPM_FLAGS = "--yes -y --no --quiet -q --silent -s --offline --prefer-offline --no-install --ignore-existing --bun"
_PNPM = "--dir -C --filter -F --package --registry --allow-build --loglevel --reporter"
_CONDA = "-n --name -p --prefix --cwd"

RUNNERS: Mapping[str, Runner] = {
    "nice": _runner("-n --adjustment"),
    "ionice": _runner("-c --class -n --classdata", "-t --ignore"),
    "chrt": _runner(
        "-T --sched-runtime -P --sched-period -D --sched-deadline",
        "-b -d -f -i -o -r -R -v --batch --deadline --fifo --idle --other --rr --reset-on-fork --verbose",
        own_words=1,
    ),
    "taskset": _runner("", "-c --cpu-list -a --all-tasks", own_words=1),
    "numactl": _runner(
        "-N --cpunodebind -m --membind -C --physcpubind -i --interleave -p --preferred", "-l --localalloc -a --all"
    ),
    "prlimit": _runner("-o --output", ""),
    "timeout": _runner("-s --signal -k --kill-after", "--preserve-status --foreground -v --verbose -f -p", own_words=1),
    "gtimeout": _runner("-s --signal -k --kill-after", "--preserve-status --foreground -v --verbose", own_words=1),
    "env": _runner("-u --unset -C --chdir -S --split-string", "-i - -v --ignore-environment --debug", assigns=True),
    "time": _runner("-f --format -o --output", "-p -v -a -q --portability --verbose --append --quiet -l -h"),
    "gtime": _runner("-f --format -o --output", "-p -v -a -q --portability --verbose --append --quiet"),
    "stdbuf": _runner("-i -o -e --input --output --error"),
    "unbuffer": _runner("", "-p"),
    "nohup": _runner(),
    "setsid": _runner("", "-c -f -w --ctty --fork --wait"),
    "exec": _runner("-a", "-c -l"),
    "command": _runner("", "-p"),
    "sudo": _runner(
        "-u --user -g --group -h --host -p --prompt -C --close-from -D --chdir -R --chroot -r --role -t --type "
        "-T --command-timeout -U --other-user",
        "-A -b -E -H -i -k -K -n -P -S -s -B -N --askpass --background --preserve-env --set-home --login "
        "--reset-timestamp --non-interactive --preserve-groups --stdin --shell --",
        assigns=True,
    ),
    "doas": _runner("-u -C -a", "-n -s -L"),
    "chroot": _runner("--userspec --groups", "--skip-chdir", own_words=1),
    "flock": _runner("-w --wait --timeout -E --conflict-exit-code", "-s -x -e -n -o -F -u --nonblock", own_words=1),
    "xvfb-run": _runner(
        "-e --error-file -f --auth-file -n --server-num -p --xauth-protocol -s --server-args -w --wait",
        "-a -l --auto-servernum --listen-tcp",
    ),
    "systemd-run": _runner(
        "-p --property -u --unit -E --setenv --uid --gid --nice --slice -M --machine -H --host --description "
        "--working-directory --service-type",
        "--scope --user --system --wait -P --pipe -t --pty -q --quiet -G --collect -d --same-dir --no-block -S --shell",
    ),
    "systemd-inhibit": _runner("", "--no-pager"),
    "caffeinate": _runner("-t -w", "-d -i -m -s -u"),
    "catchsegv": _runner(),
    "chronic": _runner("", "-v -e"),
    "cpulimit": _runner("-l --limit -m --monitor-forks -p --pid -e --exe", "-z --lazy -i --include-children -b -f -v"),
    "dumb-init": _runner("-r --rewrite", "-c --single-child -v --verbose"),
    "tini": _runner("-p -e", "-s -v -vv -vvv -w -g -l"),
    "eatmydata": _runner(),
    "winpty": _runner(),
    "arch": _runner("-arch -d -e", "-x86_64 -arm64 -arm64e -i386 -c"),
    "faketime": _runner("-p --pid", "-f -m --exclude-monotonic", own_words=1),
    "firejail": _runner(),
    "gosu": _runner(own_words=1),
    "su-exec": _runner(own_words=1),
    "setpriv": _runner(),
    "runuser": _runner("-u --user -g --group -G --supp-group -s --shell", "-l --login -m -p -P --pty"),
    "unshare": _runner("-S --setuid -G --setgid -R --root -w --wd", "-m -u -i -n -p -U -C -T -f -r -c --fork"),
    "nsenter": _runner("-t --target -S --setuid -G --setgid", "-a -m -u -i -n -p -U -C -T -e -F --all --no-fork"),
    "ip": _runner("-n --netns", "-all -a", subcommands=(("netns", "exec"),), own_words=1),
    "proxychains": _runner("-f", "-q"),
    "proxychains4": _runner("-f", "-q"),
    "torsocks": _runner("-a --address -P --port -u --user -p --pass", "-i --isolate -d --debug -q --quiet"),
    "perf": _runner("-e --event -o --output -C --cpu -r --repeat", "-a -d -v", subcommands=(("stat",), ("record",))),
    "strace": _runner("-o -e -s -S -u -E -a -P -I -b -O -X", "-f -ff -c -C -q -qq -t -tt -ttt -T -v -y -yy -r -x -k"),
    "ltrace": _runner("-o -e -s -u -a -l -x -n", "-f -c -C -S -t -tt -ttt -T -r -i"),
    "valgrind": _runner(),
    "retry": _runner("-t --tries -d --delay", ""),
    "direnv": _runner(subcommands=(("exec",),), own_words=1),
    "pyenv": _runner(subcommands=(("exec",),)),
    "rbenv": _runner(subcommands=(("exec",),)),
    "nodenv": _runner(subcommands=(("exec",),)),
    "npx": _runner(_NPM, _NPM_FLAGS),
    "npm": _runner(_NPM, _NPM_FLAGS, subcommands=(("exec",), ("x",))),
    "pnpm": _runner(_PNPM, "-s --silent -r", subcommands=(("dlx",), ("exec",))),
    "pnpx": _runner(_PNPM, "-s --silent"),
    "yarn": _runner("-p --package --cwd", "-q --quiet --silent -s", subcommands=(("dlx",), ("exec",), ("run",))),
    "bunx": _runner("-p --package --cwd", _NPM_FLAGS),
    "bun": _runner("-p --package --cwd", _NPM_FLAGS, subcommands=(("x",), ("run",))),
    "uvx": _runner(_UV, _UV_FLAGS),
    "uv": _runner(_UV, _UV_FLAGS + " --script -s", subcommands=(("run",), ("tool", "run")), module=True),
    "pipx": _runner(
        "--spec --python --pip-args --index-url -i --backend",
        "--no-cache --path --pypackages --system-site-packages --verbose -q --quiet",
        subcommands=(("run",),),
    ),
    "poetry": _runner(
        "-C --directory -P --project", "-q --quiet -n --no-interaction -v -vv -vvv --no-ansi", subcommands=(("run",),)
    ),
    "pipenv": _runner("--python", "-q --quiet -v --verbose --clear", subcommands=(("run",),)),
    "pdm": _runner("-p --project -c --config", "-q -v -s -n -g", subcommands=(("run",),)),
    "rye": _runner("--pyproject", "-l -f -q -v", subcommands=(("run",),)),
    "hatch": _runner(
        "-e --env -p --project --data-dir --cache-dir --config", "-q -v --no-interactive", subcommands=(("run",),)
    ),
    "conda": _runner(_CONDA, "--no-capture-output --live-stream -v --verbose --dev", subcommands=(("run",),)),
    "mamba": _runner(_CONDA, "--no-capture-output --live-stream -v --verbose", subcommands=(("run",),)),
    "micromamba": _runner(_CONDA + " -r --root-prefix -e --env -a --attach", "-d --detach", subcommands=(("run",),)),
    "pixi": _runner(
        "-e --environment --manifest-path -m", "--frozen --locked -q -v", subcommands=(("run",), ("exec",))
    ),
    "asdf": _runner("", "", subcommands=(("exec",),)),
    "bundle": _runner("", "", subcommands=(("exec",),)),
    "go": _runner("-C -mod -modfile -tags", "", subcommands=(("run",), ("tool",))),
    "busybox": _runner(),
}

BEHIND_DASHES = frozenset({"op", "doppler", "aws-vault", "chamber", "infisical", "teller", "mise", "dotenv", "dotenvx"})
"""Programs whose command comes after ``--``."""

CLUSTERS = frozenset({"kubectl", "oc"})
"""Programs whose command comes after ``--`` and runs in a container."""

WITHOUT_SUBCOMMAND = frozenset({"yarn", "pnpm", "bun"})
"""Runners that accept a program's name instead of a subcommand."""

OF_ONE_WORD = frozenset({"su", "script", "runuser", "flock"})
"""Programs that take a command as one word, in shell syntax, after ``-c``."""

TIMEOUTS = frozenset({"timeout", "gtimeout"})
"""Programs that stop a command after a time, with exit code 124."""

INTERPRETERS = frozenset({"node", "nodejs", "deno", "perl", "ruby"})
CONTAINERS = frozenset({"docker", "podman", "nerdctl", "docker-compose"})

_CONTAINER_FLAGS = frozenset(
    {
        *("--detach", "--interactive", "--tty", "--rm", "--init", "--privileged", "--read-only", "--publish-all"),
        *("--no-healthcheck", "--quiet", "--disable-content-trust", "--oom-kill-disable", "--sig-proxy", "--debug"),
        *("--tls", "--tlsverify", "--tls-verify", "--no-deps", "--service-ports", "--build", "--quiet-pull"),
        *("--use-aliases", "--remove-orphans", "--all-resources", "--compatibility", "--dry-run", "--replace"),
        *("--no-hosts", "--rmi"),
    }
)
_CONTAINER_SHORT_FLAGS = frozenset("ditPqDTV")


_FOLDERS = frozenset({"--directory", "--cwd", "--chdir", "--dir", "--wd", "--working-directory"})
_FOLDERS_OF = {"env": "-C", "poetry": "-C", "pnpm": "-C", "go": "-C", "sudo": "-D", "unshare": "-w"}


def changes_folder(called: str, options: Iterable[str]) -> bool:
    """Returns whether a runner with these options runs its command in another folder."""
    return called == "chroot" or any(option in _FOLDERS or option == _FOLDERS_OF.get(called) for option in options)


@dataclass
class Words:
    """The unread words of a command line; ``is_certain``: the role of each is known."""

    words: list[str]
    is_certain: bool = True
    assigned: dict[str, str] = field(default_factory=dict)

    def skip_options(self, takes_value: Callable[[str], bool | None]) -> list[tuple[str, str]]:
        """Removes the leading options, up to and including a ``--``; returns them with their values.

        ``takes_value`` returns whether the next word belongs to an option; None: unknown.
        """
        found = []
        while self.words and self.words[0].startswith("-") and self.words[0] != "-":
            word = self.words.pop(0)
            if word == "--":
                break
            name, equals, value = word.partition("=")
            if equals and word.startswith("--"):
                found.append((name, value))
                continue
            at = _value_of(word, takes_value)
            if at is None:
                self.is_certain = False
            elif at == len(word) and self.words:
                value = self.words.pop(0)
            elif at < len(word) and not word.startswith("--"):
                name, value = word[:2], word[at:]
            found.append((name, value))
        return found

    def skip_assignments(self) -> None:
        """Removes the leading ``NAME=value`` words and stores them; also removes the ``-`` of ``env``."""
        if self.words[:1] == ["-"]:
            self.words.pop(0)
        while self.words and is_assignment(self.words[0]):
            name, _, value = self.words.pop(0).partition("=")
            self.assigned[name] = value


def _value_of(option: str, takes_value: Callable[[str], bool | None]) -> int | None:
    """Returns where the value of ``option`` begins: at its length, the next word; beyond, no value; None: unknown."""
    taken = takes_value(option)
    if taken is not None or option.startswith("--"):
        return None if taken is None else len(option) + (not taken)
    for place, letter in enumerate(option[1:], start=2):  # -n10, -Eu root, -itv
        taken = takes_value(f"-{letter}")
        if taken is None:
            return None
        if taken:
            return place
    return len(option) + 1


def is_assignment(word: str) -> bool:
    """Returns whether ``word`` sets a variable for the command after it."""
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def container_takes_value(option: str) -> bool | None:
    """Returns whether this option of ``docker run`` or similar takes the next word as its value: most do."""
    if option.startswith("--"):
        return option not in _CONTAINER_FLAGS
    if set(option[1:]) <= _CONTAINER_SHORT_FLAGS:
        return False
    return True if len(option) == len("-e") else None  # combined short options are read letter by letter


def runner_takes_value(runner: Runner) -> Callable[[str], bool | None]:
    """Returns a function that tells whether an option of ``runner`` takes the next word as its value."""

    def takes_value(option: str) -> bool | None:
        if option in runner.values:
            return True
        return False if option in runner.flags or option[1:].isdigit() else None

    return takes_value


def after_subcommand(runner: Runner, words: Sequence[str]) -> list[str] | None:
    """Returns the words after the runner's subcommand, which must come first; None for other subcommands."""
    if not runner.subcommands:
        return list(words)
    for subcommand in runner.subcommands:
        if tuple(words[: len(subcommand)]) == subcommand:
            return list(words[len(subcommand) :])
    return None
