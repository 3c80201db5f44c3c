"""
Requests: the caller, the contents, and the one unit of work in which it is handled.

All requests share an :class:`AppContext`. A front end creates an :class:`ApiRequest` (an API token), a
:class:`SessionRequest` (a person who has signed in) or a :class:`PublicRequest`, reads the body from it, and runs a use
case with it::

    run = await request.write(lifecycle.abort_run, request.integer_id("run_id", "run"))

The use case runs in the transaction that checks the credential. Callers without a valid one don't learn what else was
wrong.
"""

import hashlib
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from uuid import UUID

import msgspec
from litestar import Request, Response

from loadbell.accounts.authentication import Lock, authenticate, authenticate_session
from loadbell.accounts.passwords import Passwords
from loadbell.accounts.rate_limit import network_of
from loadbell.accounts.tokens import note_use
from loadbell.domain.errors import FieldError, Invalid, Refused, Unavailable
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import Principal, SignedIn, Visitor
from loadbell.domain.quotas import Quotas
from loadbell.entry import path_ids
from loadbell.entry.bodies import MAX_BODY_SIZE, MAX_UNAUTHENTICATED_BODY_SIZE, decode_body, read_body
from loadbell.entry.fields import convert_fields
from loadbell.entry.hosts import Hosts
from loadbell.entry.parameters import read_query
from loadbell.entry.rate_limits import RateLimit, make_report_limit, make_test_hook_limit
from loadbell.entry.request_limits import AT_END
from loadbell.entry.shares import Shares
from loadbell.store.engine.db import Database, Transaction, Work
from loadbell.store.idempotency import claim_key, save_response
from loadbell.store.sessions import note_session_use
from loadbell.store.unit_of_work import Installation, PrincipalT, UnitOfWork, exclusive, is_exclusive

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
UseCase = Callable[Concatenate[UnitOfWork[PrincipalT], P], Coroutine[Any, Any, T]]

MAX_KEY_LENGTH = 255


@dataclass(frozen=True)
class AppContext:
    """The context of every request: the store and the operator's settings."""

    database: Database
    installation: Installation
    hosts: Hosts
    send_timeout: Micros
    passwords: Passwords = field(default_factory=Passwords)
    reports: RateLimit = field(default_factory=lambda: make_report_limit(Quotas().report_rate))
    test_hooks: RateLimit = field(default_factory=lambda: make_test_hook_limit(Quotas().test_hook_rate))
    shares: Shares = field(default_factory=Shares)

    @property
    def root(self) -> str:
        """The root path of this server; see :attr:`Installation.root`."""
        return self.installation.root


class AppRequest(Generic[PrincipalT]):
    """One request, by the kind of caller that its route expects; see the subclasses."""

    max_body_size = MAX_BODY_SIZE

    def __init__(self, context: AppContext, request: Request[Any, Any, Any]) -> None:
        self.context = context
        self._request = request
        self._raw = b""
        self._caller: PrincipalT | None = None

    def integer_id(self, name: str, noun: str) -> int:
        """The integer id of a ``noun`` at ``name`` in the path.

        Raises:
            NotFound: nothing can have that id.
        """
        return path_ids.parse_integer_id(self._request.path_params[name], noun)

    def uuid(self, name: str, noun: str) -> UUID:
        """The UUID of a ``noun`` at ``name`` in the path.

        Raises:
            NotFound: nothing can have that id.
        """
        return path_ids.parse_uuid_id(self._request.path_params[name], noun)

    def query(self, model: type[S]) -> S:
        """Parses the query string as ``model``, a Struct; unknown names are ignored.

        Raises:
            Invalid: some fields are wrong.
        """
        values = self._query
        nulls = [name for name in model.__struct_fields__ if values.get(name, "").lower() == "null"]
        if nulls:  # msgspec would read it as absent and drop the intended filter
            raise Invalid(*(FieldError(name, "can't be null; leave it out") for name in nulls))
        return convert_fields(values, model, strict=False)

    @cached_property
    def _query(self) -> dict[str, str]:
        return read_query(self._request.scope["query_string"])

    def header(self, name: str) -> str | None:
        """The value of the request's header ``name``."""
        return self._request.headers.get(name)

    @property
    def address(self) -> str | None:
        """The address of the client."""
        return None if self._request.client is None else self._request.client.host

    def credential(self) -> str | None:
        """The credential of the request."""
        return bearer_token(self._request)

    async def body(self, model: type[T]) -> T:
        """Parses the body as ``model``, a Struct. Without a valid credential it is not read.

        Raises:
            Unauthenticated: the credential is not good.
            MalformedBody: it is not JSON.
            TooLarge: it is longer than the limit.
            UnsupportedMediaType: it is not declared as JSON.
            Invalid: some fields are wrong.
        """
        if self.credential() is None:
            await self.check_credential()  # refuses where one is required
        try:
            self._raw = await self.read_body()
            return self.decode(self._raw, model)
        except Refused:
            await self.check_credential()
            raise

    async def check_credential(self) -> PrincipalT:
        """Who is asking.

        Raises:
            Unauthenticated: the credential is not good.
        """
        return await self.read(_principal)

    def decode(self, raw: bytes, model: type[T]) -> T:
        """Parses the body ``raw`` as ``model``; raises as :meth:`body`."""
        return decode_body(raw, self._request.headers.get("content-type"), model)

    async def read_body(self, max_size: int | None = None) -> bytes:
        """Reads the raw body. A large one needs a valid credential and room.

        Raises:
            Unauthenticated: it is large, and the credential is not good.
            TooLarge: it is longer than the limit.
            MalformedBody: the client disconnected before the end.
            RateLimited, Unavailable: there is no room for it.
        """
        return await read_body(self._request, max_size or self.max_body_size, self.reserve)

    async def reserve(self, length: int) -> None:
        """Reserves room for ``length`` bytes until this request has ended.

        Raises:
            Unauthenticated: the credential is not good.
            RateLimited, Unavailable: there is no room.
        """
        if self._caller is None:
            await self.check_credential()
        key, shares = _share_key(self._caller), self.context.shares
        await shares.reserve(key, length)
        self._request.scope["state"][AT_END].append(lambda: shares.release(key, length))

    async def read(self, use_case: UseCase[PrincipalT, P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``use_case``, which changes nothing, on one snapshot and returns its result.

        Raises:
            Refused: the credential isn't valid, or the use case refuses.
        """
        return await self._run(self.context.database.read, Lock.NONE, lambda unit: use_case(unit, *args, **kwargs))

    async def write(self, use_case: UseCase[PrincipalT, P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs ``use_case`` and returns its result after the commit.

        Raises:
            Refused: the credential isn't valid, or the use case refuses; nothing was changed.
        """
        lock = Lock.EXCLUSIVE if is_exclusive(use_case) else Lock.SHARED
        return await self._run(self.context.database.write, lock, lambda unit: use_case(unit, *args, **kwargs))

    async def _identify(self, tx: Transaction, bearer: str | None, lock: Lock) -> PrincipalT:
        """Who is asking.

        Raises:
            Unauthenticated: the credential is not good.
        """
        raise NotImplementedError

    async def _note_use(self, tx: Transaction, who: PrincipalT) -> None:
        """Records that the credential of ``who`` was used."""

    async def _run(
        self,
        transact: Callable[[Work[[], T]], Coroutine[Any, Any, T]],
        lock: Lock,
        work: Callable[[UnitOfWork[PrincipalT]], Coroutine[Any, Any, T]],
    ) -> T:
        bearer = self.credential()

        async def identified(tx: Transaction) -> T:
            self._caller = await self._identify(tx, bearer, lock)
            return await work(UnitOfWork(tx, self._caller, self.context.installation, lock is Lock.EXCLUSIVE))

        shares = self.context.shares
        try:
            async with shares.slot(shares.key_of(bearer, self.address)):
                return await transact(identified)
        finally:
            who = self._caller
            if who is not None and bearer is not None:
                shares.remember(bearer, _share_key(who))
            if who is not None and who.use_is_due:  # once a minute, and separately: the request doesn't depend on it
                with suppress(Unavailable):
                    await self.context.database.write(self._note_use, who)


class ApiRequest(AppRequest[Principal]):
    """A request with an API token."""

    key_header = "Idempotency-Key"  #: recognizes a repeated request

    def key(self) -> str | None:
        """The key that recognizes a repeated request, if the request has one.

        Raises:
            Invalid: it is too long, or not printable.
        """
        key = self.header(self.key_header)
        if key is not None and not (
            1 <= len(key) <= MAX_KEY_LENGTH and all(" " <= character <= "~" for character in key)
        ):
            message = f"must have 1 to {MAX_KEY_LENGTH} printable ASCII characters"
            raise Invalid(FieldError(self.key_header, message))
        return key

    async def write_once(self, use_case: UseCase[Principal, P, Any], *args: P.args, **kwargs: P.kwargs) -> msgspec.Raw:
        """As :meth:`write`, but returns the result's JSON; a repeated Idempotency-Key gets that of the first time.

        Call it after :meth:`body`, whose bytes show whether it is the same request. The caller's role, scope and
        projects must be the same, too: responses contain links and tokens, and a stored one must not go to somebody who
        lost the right to it. Only the use case knows which right that is, so any change counts.

        Raises:
            Conflict: the key was used for another request, or the token may do more or less than it did then.
            Refused: as :meth:`write`; the key is free again.
        """
        if self.header(self.key_header) is None:
            return msgspec.Raw(msgspec.json.encode(await self.write(use_case, *args, **kwargs)))
        target = f"{self._request.method} {self._request.scope['path']}\n".encode()

        async def once(unit: UnitOfWork[Principal]) -> str:
            tx, principal, key = unit.tx, unit.principal, self.key()
            assert key is not None
            assert principal.token_id is not None
            fingerprint = hashlib.sha256(_encode_rights(principal) + target + self._raw).hexdigest()
            result = await claim_key(tx, principal.token_id, key, fingerprint)
            if result is None:
                result = msgspec.json.encode(await use_case(unit, *args, **kwargs)).decode()
                await save_response(tx, principal.token_id, key, result)
            return result

        return msgspec.Raw((await self.write(exclusive(once) if is_exclusive(use_case) else once)).encode())

    async def _identify(self, tx: Transaction, bearer: str | None, lock: Lock) -> Principal:
        return await authenticate(tx, bearer, lock=lock, address=self.address)

    async def _note_use(self, tx: Transaction, principal: Principal) -> None:
        await note_use(tx, principal)


class SessionRequest(AppRequest[SignedIn]):
    """A request with a session; it acts for a user, not for an organization."""

    async def _identify(self, tx: Transaction, bearer: str | None, lock: Lock) -> SignedIn:
        del lock  # a user's own account belongs to no organization
        return await authenticate_session(tx, bearer, address=self.address)

    async def _note_use(self, tx: Transaction, who: SignedIn) -> None:
        await note_session_use(tx, who.session_id)


class PublicRequest(AppRequest[Visitor]):
    """A request that needs no credential."""

    max_body_size = MAX_UNAUTHENTICATED_BODY_SIZE

    async def _identify(self, tx: Transaction, bearer: str | None, lock: Lock) -> Visitor:
        del tx, bearer, lock
        return Visitor(self.address)


def bearer_token(request: Request[Any, Any, Any]) -> str | None:
    """The token of the Authorization header, if it has one (RFC 6750 section 2.1)."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def json_response(status: int, body: msgspec.Struct | msgspec.Raw) -> Response[bytes]:
    """Returns ``body`` as JSON. It may be confidential, so caches must not store it."""
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _share_key(who: Principal | SignedIn | Visitor | None) -> Hashable:
    """The key of the caller's share: its organization, else its user, else its address."""
    if isinstance(who, Principal):
        return ("organization", who.organization_id)
    return ("person", who.user_id) if isinstance(who, SignedIn) else network_of(None if who is None else who.address)


def _encode_rights(principal: Principal) -> bytes:
    projects = None if principal.projects is None else sorted(principal.projects)
    return f"{principal.role} {principal.scope} {projects}\n".encode()


async def _principal(unit: UnitOfWork[PrincipalT]) -> PrincipalT:
    return unit.principal
