"""Schemathesis plays the OpenAPI document against the server: every answer is one that the document describes."""

import zlib
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema

from tests.api.matrix import LINES, Line
from tests.api.matrix_requests import BODIES, Company, find_request, parts
from tests.api.site import ApiSite

CONFIG = {
    "generation": {"with-security-parameters": False},  # who asks is our choice
    "checks": {
        # No schema can say that `until` comes after `since`, or that a cursor is one that we gave: those are 422, too.
        "positive_data_acceptance": {"enabled": False},
        # Both look at requests that follow from each other, and the ones here don't.
        "use_after_free": {"enabled": False},
        "ensure_resource_availability": {"enabled": False},
    },
}
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
GUESSED = 3
"""How many random requests follow the systematic ones, in the short form."""

REFERENCES = {
    "organization_id", "project_id", "project_ids", "default_project_id", "token", "email", "password",
    "current_password",
}  # fmt: skip
"""Fields of bodies that nobody hits by chance."""


def _routes() -> list[tuple[Line, str]]:
    """A line of each route, with each column of the matrix that it is played by."""
    routes = []
    for line in {(line.method, line.path): line for line in reversed(LINES)}.values():
        by_session, by_anybody = line.expected["ses"] < 300, line.expected["nob"] < 300
        routes += [(line, column) for column in (["nob"] if by_anybody else ["ses"] if by_session else ["own", "rep"])]
    return routes


def _parametrized(routes: list[tuple[Line, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("line", "column"), routes, ids=[f"{line.name} {column}" for line, column in routes])


every_route = _parametrized(_routes())
every_open_route = _parametrized([(line, column) for line, column in _routes() if line.expected[column] < 300])


@pytest.fixture(scope="module")
def schema(site: ApiSite) -> BaseSchema:
    """The document as it is served, for the server as it stands."""
    config = schemathesis.Config.from_dict({**CONFIG, "base-url": f"{site.url}/api/v1"})
    return schemathesis.openapi.from_dict(site.nobody.ok("GET", "/openapi.json"), config=config)


class Player:
    """Sends requests of one route with the credential of one column, and judges the answers."""

    def __init__(self, site: ApiSite, line: Line, column: str) -> None:
        self._site = site
        self._line = line
        self._column = column
        self._company: Company | None = None

    def play(self, case: Case[Any]) -> None:
        """Sends ``case``; three of four have real ids and credentials where it has acceptable ones.

        Raises:
            schemathesis.core.failures.FailureGroup: the answer is not one that the document describes.
        """
        self._site.sql("DELETE FROM attempt_paces")
        if self._company is None or self._line.method == "DELETE":  # which may leave nothing to go on with
            self._company = find_request(self._site)
        if zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode()) % 4:
            self._refer(case, self._company)
        bearer = self._company.bearers[self._column]
        case.call_and_validate(headers={} if bearer is None else {"Authorization": f"Bearer {bearer}"})

    def _refer(self, case: Case[Any], company: Company) -> None:
        assert case.meta is not None
        body = {location.value: info.mode.is_positive for location, info in case.meta.components.items()}
        if case.path_parameters and body.get("path"):
            case.path_parameters = {name: company.get_path(name) for name in case.path_parameters}
        if isinstance(case.body, dict) and body.get("body"):
            good: dict[str, Any] = {
                "organization_id": company.id,
                "project_id": company.project_id,
                "project_ids": [company.project_id],
                "default_project_id": company.elsewhere_id,
            }
            if self._line.name in BODIES:
                good |= BODIES[self._line.name](company)
            case.body = {
                name: good.get(name, value) if name in REFERENCES and value is not None else value
                for name, value in case.body.items()
            }


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_what_the_matrix_asks_is_answered_as_the_document_says(site: ApiSite, schema: BaseSchema, line: Line) -> None:
    """Each line of the matrix, good requests all: what is done, and what is refused to whom."""
    operation = schema[line.path][line.method]
    for column in ("own", "rep", "oth", "ses"):
        site.sql("DELETE FROM attempt_paces")
        company = find_request(site)
        good = parts(line, company, column)
        case = operation.Case(path_parameters=good.ids, query=good.query)
        if good.body is not None:
            case.body, case.media_type = good.body, "application/json"
        bearer = company.bearers[column]
        case.call_and_validate(headers={} if bearer is None else {"Authorization": f"Bearer {bearer}"})


@every_open_route
def test_systematic_requests_are_answered_as_the_document_says(
    site: ApiSite, schema: BaseSchema, line: Line, column: str
) -> None:
    """Each bound, type, format and method that the document names is kept and broken once, by who may use the route."""
    operation = schema[line.path][line.method]
    player = Player(site, line, column)
    generation = schema.config.generation_for(operation=operation, phase="coverage")
    for case in schema.iter_coverage_cases(operation, generation_modes=MODES, generation_config=generation):
        player.play(case)


def _guess(site: ApiSite, schema: BaseSchema, line: Line, column: str, number: int) -> None:
    operation = schema[line.path][line.method]
    player = Player(site, line, column)
    good, bad = (operation.as_strategy(generation_mode=mode) for mode in MODES)

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=good | bad)
    def guess(case: Case[Any]) -> None:
        player.play(case)

    guess()


@every_open_route
def test_random_requests_are_answered_as_the_document_says(
    site: ApiSite, schema: BaseSchema, line: Line, column: str
) -> None:
    """The same ones each time, good and bad."""
    _guess(site, schema, line, column, GUESSED)


@pytest.mark.soak
@every_route
def test_many_random_requests_are_answered_as_the_document_says(
    site: ApiSite, schema: BaseSchema, line: Line, column: str
) -> None:
    """The long form: a hundred for each route."""
    _guess(site, schema, line, column, 100)
