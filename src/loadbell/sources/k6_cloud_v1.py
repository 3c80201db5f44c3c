"""
The first version of k6's cloud API, as ``k6 run --out cloud`` speaks it, from any release of k6 since 2018.

Source: grafana/k6, ``internal/cloudapi`` and ``output/cloud`` (v0.45 to v2.2). k6 creates a run before it starts (and
doesn't start if that fails), pushes metrics every few seconds, and reports the end. It needs three routes and reads
few parts of the responses; errors in the right form are shown to its user.

A run is created in one small transaction, because the load test waits for it. A push is checked, unpacked and condensed
before the transaction that stores it.
"""
# long: one protocol, whose few routes share credential, errors and statuses

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response, Router, post, route
from litestar.di import NamedDependency, Provide
from litestar.enums import HttpMethod, ScopeType
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from loadbell.domain.errors import FieldError, Invalid, NotFound, RateLimited, Refused, Unauthenticated
from loadbell.domain.measurements import Measurements, Point, TooMuchWork, condense
from loadbell.domain.orgs import Principal
from loadbell.domain.runs import Result, RunStatus, Source, Threshold
from loadbell.entry.asgi import handle_failure, handle_http_error
from loadbell.entry.bodies import MAX_UNAUTHENTICATED_BODY_SIZE, body_chunks
from loadbell.entry.path_ids import check_id, parse_integer_id
from loadbell.entry.problems import MalformedBody, TooLarge, refuse
from loadbell.entry.rate_limits import RateLimit
from loadbell.entry.requests import ApiRequest, AppContext
from loadbell.notify.channel_notices import list_paused_names
from loadbell.runs import lifecycle, measurements
from loadbell.sources import k6_create, k6_points
from loadbell.sources.fair_queue import FairQueue
from loadbell.sources.k6_json import decode_json
from loadbell.store.unit_of_work import UnitOfWork

T = TypeVar("T")

MAX_COMPRESSED_SIZE = 8 * 2**20
"""Bytes of a compressed push. k6's largest has a few hundred thousand."""

MAX_CONCURRENT_READS = 2
"""Pushes parsed at once; each may take half a second of CPU time and 64 MiB."""

MAX_WAITING_SIZE = 4 * MAX_COMPRESSED_SIZE
"""Bytes of one organization's pushes that wait to be parsed."""

QUEUE_TIMEOUT_S = 10.0
"""Seconds that a push waits to be parsed. k6 gives up after 60, and repeats a refused push."""

ABORT = 4
"""The error code that makes k6 stop (with status 403)."""

_MAX_ARCHIVE_BUFFER_SIZE = 4 * 2**20  # bytes in memory

_TOKEN = "token "  # noqa: S105 - the word before it
_NOUN = "run"
_METRICS = ["/v2/metrics/{run_id:str}", "/v1/metrics/{run_id:str}"]
_VERSIONS = {"v1", "v2"}
_CALLS = {"tests", "metrics", "validate-token", "validate-options", "archive-upload", "test-progress", "login"}
_ELSEWHERE = (
    "loadbell records tests that run elsewhere; it doesn't run tests itself. "
    "Use: k6 run --out cloud script.js (K6_CLOUD_HOST and K6_CLOUD_TOKEN stay as they are)."
)
# These contain no secrets.
_NO_TOKEN = "No API token was sent. Create one in loadbell, under Tokens, and set K6_CLOUD_TOKEN to it."  # noqa: S105 - see above
_WRONG_TOKEN = "K6_CLOUD_TOKEN is unknown to this loadbell or has expired. Create a token there, under Tokens."  # noqa: S105 - see above
_WHERE_PROJECT = (
    "The number comes from cloud.projectID in the script's options or from K6_CLOUD_PROJECT_ID. "
    "Set K6_CLOUD_PROJECT_ID to a project id of this loadbell, which overrides the script; "
    "or remove the number to use the token's own project."
)
_TOO_MANY_SELECTED = "too many series for this many thresholds on tags; lower K6_CLOUD_MAX_TIME_SERIES_IN_BATCH"
_ABORT_REQUESTED = "This run was aborted in loadbell."

_ENDS = {
    3: RunStatus.FINISHED,
    4: RunStatus.TIMED_OUT,
    5: RunStatus.ABORTED_BY_USER,
    6: RunStatus.ABORTED_BY_SYSTEM,
    7: RunStatus.ABORTED_BY_SCRIPT_ERROR,
    8: RunStatus.ABORTED_BY_THRESHOLD,
    9: RunStatus.TIMED_OUT,  # k6 sends it when setup or teardown took too long
}
"""The final status by k6's ``run_status``, whose numbers differ from ours."""


class K6Request(ApiRequest):
    """A request of k6, with its own authorization scheme and its own header for the key."""

    key_header = "K6-Idempotency-Key"

    def credential(self) -> str | None:
        """The token after ``Token``, as k6 sends it, or ``Bearer``."""
        text = (self.header("authorization") or "").strip()
        return text[len(_TOKEN) :].strip() or None if text.lower().startswith(_TOKEN) else super().credential()

    def decode(self, raw: bytes, model: type[T]) -> T:
        """Parses k6's JSON; the content type is ignored."""
        return decode_json(raw, model)

    async def get_selections(self) -> k6_create.NewTest:
        """Reads k6's request for a new run.

        Raises:
            Refused: the token isn't valid, or the body can't be parsed.
        """
        content_type = self.header("content-type") or ""
        has_archive = content_type.lower().startswith("multipart/form-data")
        if has_archive or self.credential() is None:
            await self.check_credential()
        try:
            if has_archive:
                await self.reserve(_MAX_ARCHIVE_BUFFER_SIZE)
                test = await k6_create.parse_form(body_chunks(self._request), content_type)
                self._raw = msgspec.json.encode(test)
                return test
            self._raw = await self.read_body()
            return k6_create.parse_json(self._raw)
        except Refused:
            await self.check_credential()  # errors in the body are only for callers with a valid token
            raise

    async def read_push(self) -> bytes:
        """Reads the body of a push.

        Raises:
            TooLarge: it is longer than the limit.
        """
        return await self.read_body(MAX_COMPRESSED_SIZE)

    async def run_while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs ``work``, and cancels it when the client, whose body was read, disconnects.

        Raises:
            MalformedBody: it disconnected.
        """
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._wait_for_disconnect())
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
        finally:
            working.cancel()
            gone.cancel()
        raise MalformedBody("The connection closed before the response.")

    async def _wait_for_disconnect(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


class _Token(msgspec.Struct):
    token: str = ""


class TokenRequest(K6Request):
    """A request to check the token in its body."""

    token: str | None = None

    def credential(self) -> str | None:
        """The token in the body."""
        return self.token

    async def find_token(self) -> bool:
        """Whether the token is valid."""
        self.token = decode_json(await self.read_body(MAX_UNAUTHENTICATED_BODY_SIZE), _Token).token
        try:
            await self.check_credential()
        except Unauthenticated:
            return False
        return True


class _Log(msgspec.Struct):
    level: str
    message: str


class _Created(msgspec.Struct):
    reference_id: str
    config: dict[str, Any]
    logs: list[_Log]


class _Verdict(msgspec.Struct, rename={"info": "token-info"}):
    is_valid: bool
    message: str
    info: str


class _End(msgspec.Struct):
    run_status: int
    result_status: int = 0
    thresholds: dict[str, dict[str, bool]] | None = None  #: true: it did not hold


class _Error(msgspec.Struct):
    code: int
    message: str


class _Answer(msgspec.Struct):
    error: _Error


@post("/v1/tests", status_code=HTTPStatus.OK)
async def create(k6: NamedDependency[K6Request]) -> Response[bytes]:
    """Creates a run with the status Running. Its id is an integer as text, as k6 expects it."""
    test = await k6.get_selections()
    tool = _tool(k6.header("user-agent") or "")
    return _json(HTTPStatus.OK, await k6.write_once(_create_run, k6.context.reports, test, tool))


@post(_METRICS, status_code=HTTPStatus.OK)
async def push(
    k6: NamedDependency[K6Request], turns: NamedDependency[FairQueue], request: Request[Any, Any, Any]
) -> Response[bytes]:
    """Stores metrics. Once an abort of the run was requested, also tells k6 to stop.

    A refused push still counts as a report, and its response may tell k6 to stop.
    """
    run_id, organization_id, selections = await k6.read(_selections, request.path_params["run_id"])
    read = _read_version_2 if request.scope["path"].startswith("/v2/") else _read_version_1
    try:
        packed, key = await k6.read_push(), k6.key()
        measured = await k6.run_while_connected(
            turns.run(organization_id, len(packed), lambda: read(packed, selections))
        )
        shall_stop = await k6.write(measurements.record_push, run_id, measured, key=key)
    except (MalformedBody, TooLarge, Invalid, RateLimited):
        if await k6.write(measurements.note_alive, run_id):
            return _error(HTTPStatus.FORBIDDEN, _ABORT_REQUESTED, ABORT)
        raise
    if shall_stop:
        return _error(HTTPStatus.FORBIDDEN, _ABORT_REQUESTED, ABORT)
    return _json(HTTPStatus.OK, msgspec.Raw(b"{}"))


@post("/v1/tests/{run_id:str}", status_code=HTTPStatus.OK)
async def end(k6: NamedDependency[K6Request], run_id: FromPath[str]) -> Response[bytes]:
    """Ends a run as k6 reports it. A repeated report is accepted and notifies nobody."""
    await k6.write(_end_run, run_id, await k6.body(_End))
    return _json(HTTPStatus.OK, msgspec.Raw(b"{}"))


@post("/v1/validate-token", status_code=HTTPStatus.OK)
async def validate_token(asked: NamedDependency[TokenRequest]) -> Response[bytes]:
    """Checks a token, for ``k6 cloud login``."""
    good = await asked.find_token()
    message = "" if good else "This token is unknown or has expired. Create one in loadbell, under Tokens."
    return _json(HTTPStatus.OK, _Verdict(good, message, "loadbell" if good else ""))


@route(
    ["/v1", "/v1/{rest:path}", "/v2/{rest:path}", "/v1/tests/{run_id:str}/{rest:path}"],
    http_method=[HttpMethod.GET, HttpMethod.POST, HttpMethod.PUT],
)
async def out_of_scope() -> Response[bytes]:
    """Explains why other k6 endpoints don't exist."""
    return _error(HTTPStatus.NOT_FOUND, _ELSEWHERE)


@route(
    [*_METRICS, "/v1/tests", "/v1/tests/{run_id:str}", "/v1/validate-token"],
    http_method=[HttpMethod.GET, HttpMethod.PUT],
)
async def only_post() -> Response[bytes]:
    """Explains a k6 endpoint to who opens it in a browser."""
    return _error(HTTPStatus.NOT_FOUND, _ELSEWHERE)


def router(context: AppContext) -> Router:
    """Returns the routes."""

    def k6(request: Request[Any, Any, Any]) -> K6Request:
        return K6Request(context, request)

    def provide_token_request(request: Request[Any, Any, Any]) -> TokenRequest:
        return TokenRequest(context, request)

    turns = FairQueue(MAX_CONCURRENT_READS, max_waiting=MAX_WAITING_SIZE, timeout_s=QUEUE_TIMEOUT_S)
    return Router(
        "/",
        route_handlers=[create, push, end, validate_token, out_of_scope, only_post],
        dependencies={
            "k6": Provide(k6, sync_to_thread=False),
            "asked": Provide(provide_token_request, sync_to_thread=False),
            "turns": Provide(lambda: turns, sync_to_thread=False),
        },
        exception_handlers={
            Unauthenticated: lambda request, _: _error(
                HTTPStatus.UNAUTHORIZED, _NO_TOKEN if k6(request).credential() is None else _WRONG_TOKEN
            ),
            Refused: lambda _, refusal: _to_k6_error(refuse(refusal)),
            HTTPException: lambda request, error: _to_k6_error(handle_http_error(request, error)),
            Exception: lambda request, error: _to_k6_error(handle_failure(request, error)),
        },
    )


async def _create_run(
    unit: UnitOfWork[Principal], reports: RateLimit, test: k6_create.NewTest, tool: str | None
) -> _Created:
    reports.take(unit.principal.token_id, unit.now)
    try:
        project_id = check_id(test.project_id, "project") if test.project_id else None
        run = await lifecycle.create_run(
            unit, lifecycle.NewRun(name=test.run_name, project_id=project_id, source=Source.K6, tool=tool)
        )
    except NotFound as missing:
        raise NotFound(f"{missing} {_WHERE_PROJECT}" if test.project_id else str(missing)) from None
    await measurements.expect_thresholds(unit.tx, run, test.expressions)
    config = {
        "testRunDetails": f"{unit.installation.base_url}/runs/{run.id}",
        "tracesEnabled": False,  # otherwise k6 connects to a host of Grafana
        "stopOnError": True,  # so that it stops on an abort
    }
    logs = [_Log("warning", text) for text in _warnings(await list_paused_names(unit))]
    return _Created(str(run.id), config, logs)


async def _selections(unit: UnitOfWork[Principal], run_id: str) -> tuple[int, int, tuple[str, ...] | None]:
    """Returns the run, its organization, and the selections of series of its thresholds."""
    run = parse_integer_id(run_id, _NOUN)  # after the credential: errors in it are not for strangers
    return run, unit.principal.organization_id, await measurements.get_selections(unit, run)


async def _end_run(unit: UnitOfWork[Principal], run_id: str, end: _End) -> None:
    run = await lifecycle.lock_run(unit, parse_integer_id(run_id, _NOUN))
    status = _status(end, run.status)
    verdicts = {key: {text: not failed for text, failed in of.items()} for key, of in (end.thresholds or {}).items()}
    measured = await measurements.get_measurements(unit.tx, run)
    took = measurements.run_duration_s(run, measured, unit.now)
    thresholds = measurements.judge_thresholds(measured, verdicts, took)
    report = lifecycle.Report(
        status=status,
        result=_result(end, status, thresholds),
        metrics=None if measured is None else measurements.summarize(measured, took),
        thresholds=thresholds,
        note=measurements.describe_failed_checks(measured),
    )
    await lifecycle.report_run(unit, run.id, report)


def accept_any_prefix(application: ASGIApp) -> ASGIApp:
    """Wraps ``application`` so that k6 reaches its routes with any path in K6_CLOUD_HOST.

    That includes a slash at the end, which k6 doubles.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            path = _strip_prefix(scope["path"])
            if path != scope["path"]:
                scope["path"], scope["raw_path"] = path, path.encode()
        await application(scope, receive, send)

    return answer


def _strip_prefix(path: str) -> str:
    """Removes all before k6's part of ``path``; unchanged if it has none, or is a REST path."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"]:
        return path
    begins = (at for at, pair in enumerate(pairwise(parts)) if pair[0] in _VERSIONS and pair[1] in _CALLS)
    begin = next(begins, None)
    return path if begin is None else "/" + "/".join(parts[begin:])


def _read_version_2(packed: bytes, items: tuple[str, ...] | None) -> Measurements:
    return _condense(lambda: k6_points.read_protobuf(packed, items), items)


def _read_version_1(packed: bytes, items: tuple[str, ...] | None) -> Measurements:
    return _condense(lambda: (k6_points.read_json(packed), 1), items)


def _condense(read: Callable[[], tuple[list[Point], int]], items: tuple[str, ...] | None) -> Measurements:
    """Parses and condenses a push.

    Raises:
        Invalid: it can't be parsed.
    """
    try:
        points, period = read()
        return condense(points, items or (), period=period)
    except k6_points.BadPush as wrong:
        raise Invalid(FieldError("metrics", str(wrong))) from None
    except TooMuchWork:
        raise Invalid(FieldError("metrics", _TOO_MANY_SELECTED)) from None


def _status(end: _End, current: RunStatus) -> RunStatus:
    """Returns the final status of the run.

    Raises:
        Invalid: k6's status isn't final.
    """
    ended = _ENDS.get(end.run_status)
    if ended is None:
        raise Invalid(FieldError("run_status", f"{end.run_status} isn't a final status; k6 sends 3 to 9"))
    if end.run_status == 6:  # noqa: PLR2004 - by system: k6 also sends it when loadbell stopped it
        if current.is_aborting or current is RunStatus.ABORTED_BY_USER:
            return _OF_ASKED.get(current, RunStatus.ABORTED_BY_USER)
        return RunStatus.FAILED_THRESHOLD if end.result_status else RunStatus.ABORTED_BY_SYSTEM
    return RunStatus.FAILED_THRESHOLD if ended is RunStatus.FINISHED and end.result_status else ended


_OF_ASKED = {
    RunStatus.ABORTING_BY_SYSTEM: RunStatus.ABORTED_BY_SYSTEM,
    RunStatus.ABORTING_BY_THRESHOLD: RunStatus.ABORTED_BY_THRESHOLD,
}


def _result(end: _End, status: RunStatus, thresholds: Sequence[Threshold]) -> Result | None:
    """Derives the result: passed only for a complete run with thresholds that all held.

    For k6 a threshold without measurements has held; if all are so, the result is unknown.
    """
    if end.result_status:
        return Result.FAILED
    verdicts = [failed for of_key in (end.thresholds or {}).values() for failed in of_key.values()]
    measured = not all(threshold.is_empty for threshold in thresholds)
    proven = status is RunStatus.FINISHED and verdicts and not any(verdicts) and measured
    return Result.PASSED if proven else None


def _tool(agent: str) -> str | None:
    """Turns ``k6cloud/2.2.0`` into ``k6 2.2.0``; None for another program."""
    found = re.match(r"k6cloud/v?([\w.+-]{1,40})", agent)
    return f"k6 {found[1]}" if found else None


def _warnings(paused: list[str]) -> list[str]:
    if not paused:
        return []
    text = ", ".join(paused)
    whose = f"channel {text} is" if len(paused) == 1 else f"channels {text} are"
    meaning = "paused; notifications are queued, not sent. An admin can resume it in loadbell."
    return [f"loadbell: the {whose} {meaning}"]


def _to_k6_error(problem: Response[bytes]) -> Response[bytes]:
    """Converts the problem to the form that k6 shows to its user."""
    detail = msgspec.json.decode(problem.content, type=dict[str, Any])["detail"]
    return _error(problem.status_code or HTTPStatus.INTERNAL_SERVER_ERROR, detail, headers=problem.headers)


def _error(status: int, message: str, code: int = 0, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    content = msgspec.json.encode(_Answer(_Error(code, message)))
    return Response(content, status_code=status, media_type="application/json", headers=dict(headers or {}))


def _json(status: int, shown: msgspec.Struct | msgspec.Raw) -> Response[bytes]:
    content = msgspec.json.encode(shown)
    return Response(content, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"})
