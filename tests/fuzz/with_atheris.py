"""
The readers under Atheris, a fuzzer that looks for new ways through the code: as long as one lets it run.

It is no dependency; ``pip install atheris`` brings it where there is a wheel for the Python. What comes after the name
is for libFuzzer.

    python -m tests.fuzz.with_atheris 'a run of k6'"'"'s' -max_total_time=60
"""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["loadbell", "multipart", "email"]):
    from tests.fuzz.readers import READERS


def main() -> None:
    """Feeds the reader that the command line names until something comes out that is not documented."""
    name, *options = sys.argv[1:]
    read, refusals = READERS[name]

    def once(raw: bytes) -> None:
        with suppress(*refusals):
            read(raw)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
