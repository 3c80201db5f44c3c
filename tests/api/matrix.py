"""
Who may do what over REST v1: a line for each route, a column for each who may come, in each cell the answer's status.

Written by hand from the roles of the design and from ``docs/people.md``, not from the code. ``test_matrix.py`` sends
each cell as a real request with a good body, to things that are there: the status comes of who asks and nothing else.

===  ===========================================  ===  ==============================================
nob  nobody: no credential                        mem  a member assigned to the project (scope manage)
wro  a token that was never made                  els  a member of another project (scope manage)
exp  the owner's token, expired                   adm  an admin (scope manage)
rep  the owner's token of scope report            oth  the owner of another organization, its token
rea  the owner's token of scope read              ses  the owner's session
own  the owner's token of scope manage            mes  the session of mem
pro  own's manage token of the project only       str  a stranger's session: that of oth
===  ===========================================  ===  ==============================================

2xx done; 401 nobody known is asking; 403 somebody who sees it but may not do it; 404 somebody who may not see it;
409 nobody could. A note at a line's end tells two uses of one route apart; ``matrix_requests.py`` has both.
"""

from dataclasses import dataclass

_TABLE = """
                                                           nob wro exp rep rea own pro mem els adm oth ses mes str

POST   /runs                                               401 401 401 201 403 201 201 201 404 201 404 401 401 401
GET    /runs                                               401 401 401 200 200 200 200 200 200 200 200 401 401 401
GET    /runs                                               401 401 401 200 200 200 200 200 404 200 404 401 401 401 of it
GET    /runs/{run_id}                                      401 401 401 200 200 200 200 200 404 200 404 401 401 401
PATCH  /runs/{run_id}                                      401 401 401 200 403 200 200 200 404 200 404 401 401 401
POST   /runs/{run_id}/heartbeat                            401 401 401 200 403 200 200 200 404 200 404 401 401 401
POST   /runs/{run_id}/abort                                401 401 401 202 403 202 202 202 404 202 404 401 401 401
GET    /runs/{run_id}/deliveries                           401 401 401 403 200 200 200 200 404 200 404 401 401 401

GET    /organizations/{organization_id}/channels           401 401 401 403 200 200 200 200 200 200 404 401 401 401
POST   /organizations/{organization_id}/channels           401 401 401 403 403 201 403 403 403 201 404 401 401 401
POST   /organizations/{organization_id}/channels/test      401 401 401 403 403 200 403 403 403 200 404 401 401 401
GET    /channels/{channel_id}                              401 401 401 403 200 200 200 200 200 200 404 401 401 401
PATCH  /channels/{channel_id}                              401 401 401 403 403 200 403 403 403 200 404 401 401 401
DELETE /channels/{channel_id}                              401 401 401 403 403 204 403 403 403 204 404 401 401 401
POST   /channels/{channel_id}/test                         401 401 401 403 403 200 403 403 403 200 404 401 401 401
POST   /channels/{channel_id}/rotate-secret                401 401 401 403 403 200 403 403 403 200 404 401 401 401
POST   /channels/{channel_id}/pause                        401 401 401 403 403 200 403 403 403 200 404 401 401 401
POST   /channels/{channel_id}/resume                       401 401 401 403 403 200 403 403 403 200 404 401 401 401
POST   /channels/{channel_id}/replay                       401 401 401 403 403 202 403 403 403 202 404 401 401 401
GET    /channels/{channel_id}/replays/{replay_id}          401 401 401 403 200 200 403 403 403 200 404 401 401 401
GET    /channels/{channel_id}/deliveries                   401 401 401 403 200 200 403 403 403 200 404 401 401 401

GET    /organizations/{organization_id}/deliveries         401 401 401 403 200 200 403 403 403 200 404 401 401 401
GET    /deliveries/{delivery_id}                           401 401 401 403 200 200 200 200 404 200 404 401 401 401
POST   /deliveries/{delivery_id}/redeliver                 401 401 401 403 403 202 403 403 404 202 404 401 401 401
POST   /deliveries/{delivery_id}/cancel                    401 401 401 403 403 200 403 403 404 200 404 401 401 401

GET    /organizations                                      401 401 401 200 200 200 200 200 200 200 200 401 401 401
POST   /organizations                                      401 401 401 403 403 201 403 403 403 201 201 401 401 401
GET    /organizations/{organization_id}                    401 401 401 200 200 200 200 200 200 200 404 401 401 401
PATCH  /organizations/{organization_id}                    401 401 401 403 403 200 403 403 403 200 404 401 401 401
DELETE /organizations/{organization_id}                    401 401 401 403 403 200 403 403 403 403 404 401 401 401
DELETE /organizations/{organization_id}                    401 401 401 403 403 200 403 403 403 403 404 401 401 401 dry run

GET    /organizations/{organization_id}/members            401 401 401 403 200 200 403 403 403 200 404 401 401 401
PATCH  /organizations/{organization_id}/members/{user_id}  401 401 401 403 403 200 403 403 403 200 404 401 401 401
PATCH  /organizations/{organization_id}/members/{user_id}  401 401 401 403 403 200 403 403 403 403 404 401 401 401 to owner
PATCH  /organizations/{organization_id}/members/{user_id}  401 401 401 403 403 409 403 403 403 409 404 401 401 401 the owner
DELETE /organizations/{organization_id}/members/{user_id}  401 401 401 403 403 204 403 403 403 204 404 401 401 401
DELETE /organizations/{organization_id}/members/{user_id}  401 401 401 403 403 409 403 403 403 403 404 401 401 401 the owner
DELETE /organizations/{organization_id}/members/{user_id}  401 401 401 403 403 409 403 204 204 204 404 401 401 401 oneself
GET    /organizations/{organization_id}/invitations        401 401 401 403 200 200 403 403 403 200 404 401 401 401
POST   /organizations/{organization_id}/invitations        401 401 401 403 403 201 403 403 403 201 404 401 401 401
DELETE /invitations/{invitation_id}                        401 401 401 403 403 204 403 403 403 204 404 401 401 401
POST   /invitations/accept                                 201 201 201 201 201 201 201 201 201 201 201 201 201 201

GET    /organizations/{organization_id}/projects           401 401 401 403 200 200 403 403 403 200 404 401 401 401
POST   /organizations/{organization_id}/projects           401 401 401 403 403 201 403 403 403 201 404 401 401 401
GET    /projects/{project_id}                              401 401 401 403 200 200 403 403 403 200 404 401 401 401
PATCH  /projects/{project_id}                              401 401 401 403 403 200 403 403 403 200 404 401 401 401
DELETE /projects/{project_id}                              401 401 401 403 403 200 403 403 403 200 404 401 401 401
DELETE /projects/{project_id}                              401 401 401 403 403 200 403 403 403 200 404 401 401 401 dry run

GET    /tokens                                             401 401 401 403 200 200 403 403 403 200 200 401 401 401
POST   /tokens                                             401 401 401 403 403 201 403 403 403 201 201 401 401 401
POST   /tokens                                             401 401 401 403 403 201 403 403 403 201 422 401 401 401 for it
DELETE /tokens/{token_id}                                  401 401 401 403 403 204 403 403 403 204 404 401 401 401

GET    /organizations/{organization_id}/audit              401 401 401 403 200 200 403 403 403 200 404 401 401 401
GET    /organizations/{organization_id}/audit/export       401 401 401 403 200 200 403 403 403 200 404 401 401 401

POST   /sessions                                           201 201 201 201 201 201 201 201 201 201 201 201 201 201
POST   /password-resets                                    202 202 202 202 202 202 202 202 202 202 202 202 202 202
POST   /password-resets/accept                             200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET    /sessions                                           401 401 401 403 403 403 403 403 403 403 403 200 200 200
DELETE /sessions/{session_id}                              401 401 401 403 403 403 403 403 403 403 403 204 404 404
GET    /account                                            401 401 401 403 403 403 403 403 403 403 403 200 200 200
PATCH  /account                                            401 401 401 403 403 403 403 403 403 403 403 200 200 200
POST   /account/password                                   401 401 401 403 403 403 403 403 403 403 403 204 204 204
GET    /account/audit                                      401 401 401 403 403 403 403 403 403 403 403 200 200 200
POST   /account/tokens                                     401 401 401 403 403 403 403 403 403 403 403 201 403 404
POST   /account/organizations                              401 401 401 403 403 403 403 403 403 403 403 201 201 201
"""  # noqa: E501 - read by columns


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    method: str
    path: str
    note: str  #: tells two lines of one route apart
    expected: dict[str, int]  #: the status by column

    @property
    def name(self) -> str:
        """How it is told in a test's name, and found in ``matrix_requests.py``."""
        return " ".join(part for part in (self.method, self.path, self.note) if part)

    @property
    def ids(self) -> list[str]:
        """The names of the ids in its path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


def _read() -> tuple[Line, ...]:
    header, *rows = (row.split() for row in _TABLE.splitlines() if row.strip())
    lines = []
    for method, path, *rest in rows:
        statuses, note = rest[: len(header)], " ".join(rest[len(header) :])
        lines.append(Line(method, path, note, dict(zip(header, map(int, statuses), strict=True))))
    return tuple(lines)


LINES = _read()
