"""
Who may do what: the policy table against the decided roles, written out by hand.

member — runs of assigned projects (read, report, abort), deliveries of their runs, and channel names; all else no.
admin — everything but what concerns the owner. A token of scope report reports and reads runs, one of scope read reads.
"""

from dataclasses import replace

import pytest

from loadbell.domain.errors import Forbidden
from loadbell.domain.orgs import ROLES, SCOPES, Action, Principal, Role, Scope
from loadbell.domain.runs import Trigger

LEADS = {"owner", "admin"}
ALL = LEADS | {"member"}

MAY: dict[Action, tuple[set[str], set[str]]] = {
    Action.REPORT_RUNS: (ALL, {"report", "manage"}),
    Action.READ_RUNS: (ALL, {"report", "read", "manage"}),
    Action.ABORT_RUNS: (ALL, {"report", "manage"}),
    Action.READ_CHANNELS: (ALL, {"read", "manage"}),
    Action.MANAGE_CHANNELS: (LEADS, {"manage"}),
    Action.READ_DELIVERIES: (ALL, {"read", "manage"}),
    Action.READ_LOG: (LEADS, {"read", "manage"}),
    Action.MANAGE_DELIVERIES: (LEADS, {"manage"}),
    Action.CREATE_ORGANIZATION: (LEADS, {"manage"}),
    Action.READ_ORGANIZATION: (ALL, {"report", "read", "manage"}),
    Action.MANAGE_ORGANIZATION: (LEADS, {"manage"}),
    Action.DELETE_ORGANIZATION: ({"owner"}, {"manage"}),
    Action.TRANSFER_ORGANIZATION: ({"owner"}, {"manage"}),
    Action.READ_MEMBERS: (LEADS, {"read", "manage"}),
    Action.MANAGE_MEMBERS: (LEADS, {"manage"}),
    Action.LEAVE: (ALL, {"manage"}),
    Action.READ_PROJECTS: (LEADS, {"read", "manage"}),
    Action.MANAGE_PROJECTS: (LEADS, {"manage"}),
    Action.READ_TOKENS: (LEADS, {"read", "manage"}),
    Action.MANAGE_TOKENS: (LEADS, {"manage"}),
    Action.READ_AUDIT: (LEADS, {"read", "manage"}),
}

OWNER = Principal(
    user_id=1,
    organization_id=1,
    role=Role.OWNER,
    scope=Scope.MANAGE,
    token_id=1,
    trigger=Trigger.UNKNOWN,
    projects=None,
)


def test_every_action_has_its_rule() -> None:
    """Nothing can be asked for that the policy does not know."""
    assert set(Action) == set(ROLES) == set(SCOPES) == set(MAY)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action, ids=lambda action: action.name)
def test_the_policy(action: Action, role: Role, scope: Scope) -> None:
    """Each combination is allowed or forbidden as decided; a refusal names what is at fault."""
    roles, scopes = MAY[action]
    asker = replace(OWNER, role=role, scope=scope)
    allowed = role.value in roles and scope.value in scopes

    assert allowed == asker.may(action)
    if allowed:
        asker.require(action)
        return
    with pytest.raises(Forbidden) as refused:
        asker.require(action)
    assert action.value in str(refused.value)
    assert (scope.value if scope.value not in scopes else role.value) in str(refused.value)
    if scope.value not in scopes:
        assert str(refused.value).endswith(f" Use one of scope {' or '.join(sorted(scopes))}.")


@pytest.mark.parametrize(
    ("assigned", "project", "seen"),
    [
        (None, 7, True),
        (None, None, True),
        (frozenset({7}), 7, True),
        (frozenset({7}), 8, False),
        (frozenset({7}), None, False),
        (frozenset(), 7, False),
    ],
)
def test_what_a_member_sees(assigned: frozenset[int] | None, project: int | None, seen: bool) -> None:
    """A member sees assigned projects only, and nothing that has none; owner and admins see all."""
    assert seen is replace(OWNER, projects=assigned).can_see_project(project)


def test_a_project_token_does_not_take_its_user_out() -> None:
    """It may do what a member may, but not leave the organization; the refusal says what to use instead."""
    asker = replace(OWNER, role=Role.MEMBER, projects=frozenset({7}), project_token=True)

    assert asker.may(Action.REPORT_RUNS)
    assert not asker.may(Action.LEAVE)
    with pytest.raises(Forbidden, match="whole organization"):
        asker.require(Action.LEAVE)
