"""The routes about people, as those in ``bad_input.py``: a request that works, and fields that are wrong."""

from typing import Any

from tests.api.bad_input import LEADS_READ, LEADS_WRITE, MEMBER, PAGE, TEXTS, UNUSED, Route, each

_HERE = "/organizations/{organization_id}"
_TOKENS = frozenset({"owner", "report", "read", "member"})
_PASSWORD = "correct horse battery"
_AUDIT = ("user_id", "action", "since", "until")
_NAME = each("name", None, "", "n" * 201, *TEXTS)
_NEW_NAME = each("name", "", "n" * 201, *TEXTS)
_NO_IDS: tuple[Any, ...] = ("1", 5, {}, ["1"], [1.5], [True], list(range(1001)), [UNUSED], [-1], [2**64])
_TOKEN = (
    *_NAME,
    *each("scope", None, "all", *TEXTS),
    *each("trigger", "moon", *TEXTS),
    *each("project_id", "1", 1.5, True, [], {}, UNUSED, -1, 2**64),
    *each("expires_at", "tomorrow", "2999-01-01", "2999-01-01T00:00:00", "2020-01-01T00:00:00Z", 5, [], {}),
)


def _inner(ids: Any) -> str:
    """Where the wrong entry stands: the first, if what is wrong is its type."""
    return ".0" if isinstance(ids, list) and len(ids) == 1 and (ids[0] is True or not isinstance(ids[0], int)) else ""


PEOPLE: tuple[Route, ...] = (
    Route("POST", "/organizations", {"name": "n"}, _NAME, frozenset({"report", "read"})),
    Route("GET", "/organizations", query=PAGE),
    Route("GET", _HERE),
    Route(
        "PATCH",
        _HERE,
        {"name": "m"},
        (*_NEW_NAME, *each("default_project_id", "1", 1.5, True, [], {})),
        LEADS_WRITE,
    ),
    Route("DELETE", _HERE, forbidden=LEADS_WRITE, query=("dry_run",)),
    Route("GET", f"{_HERE}/members", forbidden=LEADS_READ, query=PAGE),
    Route(
        "PATCH",
        f"{_HERE}/members/{{user_id}}",
        {"project_ids": []},
        (*each("role", "moon", "Owner", *TEXTS), *((f"project_ids{_inner(ids)}", ids) for ids in _NO_IDS)),
        LEADS_WRITE,
    ),
    Route("DELETE", f"{_HERE}/members/{{user_id}}", forbidden=LEADS_WRITE),
    Route(
        "POST",
        f"{_HERE}/invitations",
        {"email": "bob@example.org", **MEMBER},
        (
            *each("email", None, "", "bob", "bob@", "@example.org", "a b@example.org", "a@b\nc", "a" * 255, *TEXTS),
            *each("role", None, "owner", "moon", *TEXTS),
            *((f"project_ids{_inner(ids)}", ids) for ids in _NO_IDS),
        ),
        LEADS_WRITE,
    ),
    Route("GET", f"{_HERE}/invitations", forbidden=LEADS_READ, query=PAGE),
    Route("DELETE", "/invitations/{invitation_id}", forbidden=LEADS_WRITE),
    Route(
        "POST",
        "/invitations/accept",
        {"token": "lbi_", "password": _PASSWORD},
        (*each("token", None, *TEXTS), *_NEW_NAME, *each("password", None, *TEXTS)),
        asker="nobody",
    ),
    Route("GET", f"{_HERE}/projects", forbidden=LEADS_READ, query=PAGE),
    Route("POST", f"{_HERE}/projects", {"name": "n"}, _NAME, LEADS_WRITE),
    Route("GET", "/projects/{project_id}", forbidden=LEADS_READ),
    Route(
        "PATCH", "/projects/{project_id}", {"name": "m"}, (*_NEW_NAME, *each("archived", "yes", 1, [], {})), LEADS_WRITE
    ),
    Route("DELETE", "/projects/{project_id}", forbidden=LEADS_WRITE, query=("dry_run",)),
    Route("GET", "/tokens", forbidden=LEADS_READ, query=PAGE),
    Route("POST", "/tokens", {"name": "n", "scope": "read"}, _TOKEN, LEADS_WRITE),
    Route("DELETE", "/tokens/{token_id}", forbidden=LEADS_WRITE),
    Route("GET", f"{_HERE}/audit", forbidden=LEADS_READ, query=(*PAGE, *_AUDIT)),
    Route("GET", f"{_HERE}/audit/export", forbidden=LEADS_READ, query=_AUDIT),
    Route(
        "POST",
        "/sessions",
        {"email": "bob@example.org", "password": _PASSWORD},
        (*each("email", None, "a" * 255, *TEXTS), *each("password", None, "p" * 1_001, *TEXTS)),
        asker="nobody",
    ),
    Route("GET", "/sessions", forbidden=_TOKENS, query=PAGE, asker="session"),
    Route("DELETE", "/sessions/{session_id}", forbidden=_TOKENS, asker="session"),
    Route(
        "POST",
        "/password-resets",
        {"email": "bob@example.org"},
        each("email", None, "", "a" * 255, *TEXTS),
        asker="nobody",
    ),
    Route(
        "POST",
        "/password-resets/accept",
        {"token": "lbr_", "password": _PASSWORD},
        (*each("token", None, *TEXTS), *each("password", None, *TEXTS)),
        asker="nobody",
    ),
    Route("GET", "/account", forbidden=_TOKENS, asker="session"),
    Route("PATCH", "/account", {"name": "m"}, _NEW_NAME, _TOKENS, asker="session"),
    Route(
        "POST",
        "/account/password",
        {"current_password": _PASSWORD, "new_password": _PASSWORD},
        (
            *each("current_password", None, "p" * 1_001, *TEXTS),
            *each("new_password", None, "short", "p" * 1_001, *TEXTS),
        ),
        _TOKENS,
        asker="session",
    ),
    Route("GET", "/account/audit", forbidden=_TOKENS, query=PAGE, asker="session"),
    Route("POST", "/account/organizations", {"name": "n"}, _NAME, _TOKENS, asker="session"),
    Route(
        "POST",
        "/account/tokens",
        {"organization_id": 1, "name": "n", "scope": "read"},
        (*each("organization_id", None, "1", 1.5, True, [], {}), *_TOKEN),
        _TOKENS,
        asker="session",
    ),
)
