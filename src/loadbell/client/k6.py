"""How unmodified k6 is told to report here: two variables, or a part of its config.json."""

import json
import shlex

PLACEHOLDER = "YOUR_TOKEN"
"""Stands where the token belongs, while it is not known."""


def environment(url: str, token: str = PLACEHOLDER) -> dict[str, str]:
    """The variables that k6 reads."""
    return {"K6_CLOUD_HOST": url.rstrip("/"), "K6_CLOUD_TOKEN": token}


def exports(url: str, token: str = PLACEHOLDER) -> str:
    """The variables as lines for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment(url, token).items())


def config(url: str, token: str = PLACEHOLDER) -> str:
    """What stands in k6's ``config.json`` instead of the variables."""
    return json.dumps({"collectors": {"cloud": {"host": url.rstrip("/"), "token": token}}}, indent=2)
