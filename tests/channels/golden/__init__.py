"""
The request of each kind for each event and status, kept as JSON to be read in reviews.

``python -m tests.channels.golden`` writes them anew and removes what is left over.
"""

import json
from pathlib import Path
from typing import Any

from loadbell.channels import channel_types
from loadbell.channels.contract import masked_url
from loadbell.outbound.messages import Message
from tests.channels.conformance import cases, render

FOLDER = Path(__file__).parent


def describe(message: Message) -> dict[str, Any]:
    """A request as it is kept: the URL masked, the body as JSON."""
    return {
        "method": message.method,
        "url": masked_url(message.url),
        "headers": [list(header) for header in message.headers],
        "body": json.loads(message.body),
    }


def golden() -> dict[Path, str]:
    """What every file should hold."""
    return {
        FOLDER / kind / f"{name.replace(' ', '-')}.json": json.dumps(
            describe(render(kind, case)), indent=2, ensure_ascii=False
        )
        + "\n"
        for kind in channel_types()
        for name, case in cases().items()
    }


def list_files() -> set[Path]:
    """The files that are there."""
    return set(FOLDER.glob("*/*.json"))


def rewrite() -> None:
    """Makes the files what they should be."""
    body = golden()
    for path in list_files() - set(body):
        path.unlink()
    for path, content in body.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
