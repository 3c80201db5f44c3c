"""Who may do what: the table of ``matrix.py``, sent cell by cell to a real server on each engine."""

import pytest

from tests.api.matrix import LINES, Line
from tests.api.matrix_requests import find_request, send
from tests.api.site import ApiSite


def test_the_table_has_every_route(site: ApiSite) -> None:
    """A route of the OpenAPI document without a line fails, and so does a line without a route."""
    paths = site.nobody.ok("GET", "/openapi.json")["paths"]

    assert {(method.upper(), path) for path in paths for method in paths[path]} == {
        (line.method, line.path) for line in LINES
    }


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_everybody_is_answered_as_the_table_says(site: ApiSite, line: Line) -> None:
    """Each cell, in an organization of its own, so that no request finds what another one has changed."""
    answered = {}
    for column in line.expected:
        site.sql(
            "DELETE FROM attempt_paces"
        )  # all cells come from one address; that it is slowed down is not the point
        answered[column] = send(line, find_request(site), column).status

    assert line.expected == answered
