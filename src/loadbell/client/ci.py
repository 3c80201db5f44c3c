"""
Reads the CI system's variables: what triggered a run, and links to it.

Supports GitHub Actions, GitLab CI and Jenkins; other systems that set ``CI``, without links.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_SHORT_SHA = 8


@dataclass(frozen=True)
class Origin:
    """A run's trigger and links, in the API's format."""

    trigger: str
    links: tuple[dict[str, str], ...] = ()


def detect_origin(environment: Mapping[str, str], *, at_terminal: bool) -> Origin:
    """Returns the origin in ``environment``; without CI, the trigger is manual at a terminal, otherwise unknown."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return _github(environment)
    if environment.get("GITLAB_CI") == "true":
        return _gitlab(environment)
    if environment.get("JENKINS_URL") or (environment.get("BUILD_URL") and environment.get("JOB_NAME")):
        return _jenkins(environment)
    if environment.get("CI", "").lower() not in {"", "0", "false"}:
        return Origin("ci")
    return Origin("manual" if at_terminal else "unknown")


def _github(environment: Mapping[str, str]) -> Origin:
    repository = _join(environment.get("GITHUB_SERVER_URL"), environment.get("GITHUB_REPOSITORY"))
    run = _join(repository, "actions", "runs", environment.get("GITHUB_RUN_ID"))
    sha = environment.get("GITHUB_SHA", "")
    about = _about(environment.get("GITHUB_REF_NAME"), environment.get("GITHUB_ACTOR"))
    return Origin(
        "scheduled" if environment.get("GITHUB_EVENT_NAME") == "schedule" else "ci",
        _links((f"GitHub Actions run{about}", run), (f"Commit {sha[:_SHORT_SHA]}", _join(repository, "commit", sha))),
    )


def _gitlab(environment: Mapping[str, str]) -> Origin:
    sha = environment.get("CI_COMMIT_SHA", "")
    about = _about(environment.get("CI_COMMIT_REF_NAME"), environment.get("GITLAB_USER_LOGIN"))
    return Origin(
        "scheduled" if environment.get("CI_PIPELINE_SOURCE") == "schedule" else "ci",
        _links(
            (f"GitLab job{about}", environment.get("CI_JOB_URL")),
            ("GitLab pipeline", environment.get("CI_PIPELINE_URL")),
            (f"Commit {sha[:_SHORT_SHA]}", _join(environment.get("CI_PROJECT_URL"), "-", "commit", sha)),
        ),
    )


def _jenkins(environment: Mapping[str, str]) -> Origin:
    build = " ".join(filter(None, ("Jenkins build", environment.get("JOB_NAME"), environment.get("BUILD_NUMBER"))))
    return Origin("ci", _links((build, environment.get("BUILD_URL"))))


def _about(branch: str | None, author: str | None) -> str:
    return (f" on {branch}" if branch else "") + (f" by {author}" if author else "")


def _join(*parts: str | None) -> str | None:
    """Joins the parts to one URL; None if any of them is missing."""
    return "/".join(part.rstrip("/") for part in parts if part) if all(parts) else None


def _links(*links: tuple[str, str | None]) -> tuple[dict[str, str], ...]:
    return tuple({"title": title, "url": url} for title, url in links if url and _is_public(url))


def _is_public(url: str) -> bool:
    """Returns whether ``url`` may be shown: http(s), without a user, password, query or fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host_only = bool(parts.hostname) and not set("@%\\") & set(parts.netloc)
    return parts.scheme in {"http", "https"} and host_only and not parts.query and not parts.fragment
