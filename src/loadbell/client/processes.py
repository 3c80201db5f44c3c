"""
The processes that a command has started, found by their parents: ours only, never a neighbour in our process group.

Linux hands a process whose parent has ended to the nearest ancestor that asked for such orphans: wrap asks, so that
what a tool leaves behind stays among its descendants. Elsewhere only the command itself is found.
"""

import os
from dataclasses import dataclass

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_PR_SET_CHILD_SUBREAPER = 36
_STAT_BYTES = 4096
_MAX_NAMED = 5


@dataclass(frozen=True)
class Process:
    """A process as the kernel lists it; ``began`` counts from the boot of the machine."""

    pid: int
    parent: int
    name: str
    began: int
    has_ended: bool


def adopt_orphans() -> None:
    """Makes the processes ours whose parent among our descendants ends from now on, where the system can do that."""
    try:
        import ctypes  # noqa: PLC0415 - not every Python has it

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # not Linux: orphans go elsewhere
        pass


def list_started_by(root: int, began: int, *, not_pids: frozenset[int]) -> list[Process]:
    """The living descendants of the process ``root`` of ours, and of the orphans that have come to us since ``began``.

    Parents come before their children. Processes that were our children before the command was started are not its.
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
    """When the process began, as :class:`Process` counts; 0 if that is not known."""
    process = _read(pid)
    return process.began if process else 0


def send(processes: list[Process], number: int) -> None:
    """Sends each of them the signal, parents first; one that has ended meanwhile or is another user's is left out."""
    for process in processes:
        try:
            os.kill(process.pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def behind_shells(pid: int, processes: list[Process]) -> list[Process]:
    """What does the work of the process ``pid``: a shell keeps a signal to itself, so its children count, too."""
    if not _is_shell(pid):
        return []
    found = []
    for process in processes:
        if process.parent == pid:
            found += [process, *behind_shells(process.pid, processes)]
    return found


def reap_orphans(own: frozenset[int]) -> None:
    """Takes note of the orphans that have ended, so that the system forgets them; never of our ``own`` children."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, 0)


def describe_processes(processes: list[Process]) -> str:
    """The processes as a person is told of them: "vegeta (4711), 4712"; no more of a command line than its program."""
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
    name, _, rest = text.partition("(")[2].rpartition(")")  # the name may hold anything
    fields = rest.split()
    return Process(pid, int(fields[1]), name, int(fields[19]), fields[0] in "ZX")
