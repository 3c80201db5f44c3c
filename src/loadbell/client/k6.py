"""The k6 configuration that makes unmodified k6 report here: three variables, or a section of its config.json."""

import json
import shlex

PLACEHOLDER = "YOUR_TOKEN"
"""Shown in place of the token if there is none."""


def environment(url: str, token: str = PLACEHOLDER) -> dict[str, str]:
    """The variables that k6 reads.

    The second host is that of k6's newer API, which ``k6 cloud run --local-execution`` uses since k6 2.2: where only
    the first one is named, that command sends the token to the vendor's host.
    """
    host = url.rstrip("/")
    return {"K6_CLOUD_HOST": host, "K6_CLOUD_HOST_V6": host, "K6_CLOUD_TOKEN": token}


def exports(url: str, token: str = PLACEHOLDER) -> str:
    """The variables as lines for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment(url, token).items())


def config(url: str, token: str = PLACEHOLDER) -> str:
    """The section for k6's ``config.json``, instead of the variables."""
    host = url.rstrip("/")
    return json.dumps({"collectors": {"cloud": {"host": host, "hostv6": host, "token": token}}}, indent=2)
