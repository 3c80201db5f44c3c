"""Configuration for unmodified k6 to report to loadbell: three variables, or a section of its config.json."""

import json
import shlex

PLACEHOLDER = "YOUR_TOKEN"


def environment(url: str, token: str = PLACEHOLDER) -> dict[str, str]:
    """Returns the variables for k6.

    ``k6 cloud run --local-execution`` uses the second host since k6 2.2; without it, that command would send the token
    to the vendor's host.
    """
    host = url.rstrip("/")
    return {"K6_CLOUD_HOST": host, "K6_CLOUD_HOST_V6": host, "K6_CLOUD_TOKEN": token}


def exports(url: str, token: str = PLACEHOLDER) -> str:
    """Returns the variables as lines for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment(url, token).items())


def config(url: str, token: str = PLACEHOLDER) -> str:
    """Returns the section for k6's ``config.json``, instead of the variables."""
    host = url.rstrip("/")
    return json.dumps({"collectors": {"cloud": {"host": host, "hostv6": host, "token": token}}}, indent=2)
