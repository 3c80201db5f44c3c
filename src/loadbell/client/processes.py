"""
Finds the processes that a command has started, by their parents: only ours, never others in our process group.

On Linux, wrap asks to become the parent of orphaned descendants, so that processes that a tool leaves behind can still
be found. On other systems only the command itself is found.
"""

import os
from dataclasses import dataclass

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_PR_SET_CHILD_SUBREAPER = 36
_STAT_BYTES = 4096
_MAX_NAMED = 5


@dataclass(frozen=True)
class Process:
    """A process as the kernel lists it; ``began`` is in clock ticks since boot."""

    pid: int
    parent: int
    name: str
    began: int
    has_ended: bool


def adopt_orphans() -> None:
    """Makes wrap the parent of descendants that are orphaned from now on, if the system supports it."""
    try:
        import ctypes  # noqa: PLC0415 - not every Python has it

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # not Linux: orphans go elsewhere
        pass


def list_started_by(root: int, began: int, *, not_pids: frozenset[int]) -> list[Process]:
    """Returns the running descendants of our process ``root``, and of adopted orphans started since ``began``.

    Parents come before their children. Our children from before the command was started are left out.
    """
    ours: dict[int, list[Process]] = {}
    for process in _all_processes():
        ours.setdefault(process.parent, []).append(process)
    processes: list[Process] = []
    first = [one for one in ours.get(os.getpid(), []) if one.pid == root or one.began >= began]
    waiting = [one for one in first if one.pid not in not_pids]
    while waiting:
        process = waiting.pop(0)
        processes.append(process)
        waiting += ours.get(process.pid, [])
    return [one for one in processes if not one.has_ended]


def get_start_time(pid: int) -> int:
    """Returns :attr:`Process.began` of the process; 0 if unknown."""
    process = _read(pid)
    return process.began if process else 0


def send(processes: list[Process], number: int) -> None:
    """Sends each of them the signal, in order; skips processes that have ended or belong to another user."""
    for process in processes:
        try:
            os.kill(process.pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def behind_shells(pid: int, processes: list[Process]) -> list[Process]:
    """Returns the commands that ``pid`` runs if it is a shell, which doesn't forward signals; recursively."""
    if not _is_shell(pid):
        return []
    found = []
    for process in processes:
        if process.parent == pid:
            found += [process, *behind_shells(process.pid, processes)]
    return found


def reap_orphans(own: frozenset[int]) -> None:
    """Reaps adopted orphans that have ended, but never our ``own`` children."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, 0)


def describe_processes(processes: list[Process]) -> str:
    """Describes the processes, such as "vegeta (4711), 4712"; shows only the program of a command line."""
    items = [
        f"{process.name} ({process.pid})"
        if process.name.replace("-", "").replace("_", "").isalnum()
        else str(process.pid)
        for process in processes
    ]
    more = len(items) - _MAX_NAMED
    return ", ".join(items[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _is_shell(pid: int) -> bool:
    try:
        program = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - pathlib is slow to import
    except OSError:
        return False
    return os.path.basename(program) in SHELLS  # noqa: PTH119 - as above


def _all_processes() -> list[Process]:
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - as above
    except OSError:
        return []
    return [process for process in map(_read, pids) if process]


def _read(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
            text = file.read(_STAT_BYTES).decode(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")  # the name may contain anything
    fields = rest.split()
    return Process(pid, int(fields[1]), name, int(fields[19]), fields[0] in "ZX")
