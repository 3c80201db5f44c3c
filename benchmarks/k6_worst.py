"""
What may one push of k6's metrics cost, whatever it contains?

Reads, condenses and merges each of the worst known pushes (``tests/support/k6_worst.py``) in its own process, as the
server does. Prints its size, the CPU time in milliseconds, the growth of the process's peak memory in MiB, and the
result. None may take more than 0.5 s or 64 MiB.

    python -m benchmarks.k6_worst
"""

import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from loadbell.domain.measurements import Measurements, TooMuchWork, condense
from loadbell.sources import k6_points
from tests.support.k6_worst import AT, THRESHOLDS, WORST, compress

MAX_CPU_S = 0.5
MAX_GROWTH_MIB = 64


def main() -> None:
    """Measures all of them; fails if one is too expensive."""
    context = multiprocessing.get_context("spawn")
    too_expensive = []
    for name, (version, made) in WORST.items():
        packed = made()
        ours, theirs = context.Pipe()
        process = context.Process(target=measure, args=(version, theirs))
        process.start()
        ours.send_bytes(packed)
        cpu, growth, outcome = ours.recv()
        process.join()
        print(
            f"{name:<36} {len(packed) / 1024:8,.0f} KiB  {cpu * 1000:6.0f} ms  {growth:+6.1f} MiB  {outcome}",
            flush=True,
        )
        if cpu > MAX_CPU_S or growth > MAX_GROWTH_MIB:
            too_expensive.append(name)
    if too_expensive:
        raise SystemExit(f"too expensive: {', '.join(too_expensive)}")


def measure(version: int, pipe: Connection) -> None:
    """Processes the push from ``pipe`` once."""
    packed = pipe.recv_bytes()
    take(2, compress(b""))  # imports and one-time setup aren't part of the push
    Path("/proc/self/clear_refs").write_text("5")  # forgets the largest size
    before, began = size("VmRSS"), time.process_time()
    outcome = take(version, packed)
    pipe.send((time.process_time() - began, size("VmHWM") - before, outcome))


def size(what: str) -> float:
    """``VmRSS``, the current size of this process in MiB, or ``VmHWM``, its peak since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def take(version: int, packed: bytes) -> str:
    """Reads, condenses and merges a push; returns the result."""
    measured = Measurements(announced=True, thresholds={key: ["count>0"] for key in THRESHOLDS})
    try:
        if version == 1:
            push = condense(k6_points.read_json(packed), THRESHOLDS)
        else:
            points, period = k6_points.read_protobuf(packed, THRESHOLDS)
            push = condense(points, THRESHOLDS, period=period)
    except (k6_points.BadPush, TooMuchWork) as refused:
        return f"refused: {str(refused)[:60]}"
    measured.merge(push, AT)
    return f"taken, {len(msgspec.msgpack.encode(measured)) / 1024:,.0f} KiB kept, {measured.left_out:,} left out"


if __name__ == "__main__":
    main()
