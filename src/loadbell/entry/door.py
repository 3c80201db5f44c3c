"""
The door: one request, one transaction, in which it is also found out who asks.

:class:`Door` is what every request shares. A handler gets a :class:`Call`, the request at the door: it takes the body
from it, then hands it a unit of work, inside which everything else of the request is understood::

    @patch("/runs/{run_id:str}")
    async def report(call: NamedDependency[Call]) -> Response[bytes]:
        said = await call.body(RunReport)

        async def work(tx: Transaction, principal: Principal, now: Micros) -> schemas.Run:
            run_id = call.integer_id("run_id", "run")
            return shown(await lifecycle.report_run(tx, principal, run_id, said.report(), now=now, …))

        return answer(200, await call.write(work))

So whoever may not ask at all learns nothing of what else was wrong: the token is looked at first.
"""

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Request, Response

from loadbell.accounts.tokens import authenticate
from loadbell.domain.errors import FieldError, Invalid, Refused
from loadbell.domain.ids import Clock, Entropy, Micros
from loadbell.domain.orgs import Principal
from loadbell.entry import identifiers
from loadbell.entry.bodies import decode_body, read_body
from loadbell.entry.fields import convert_fields
from loadbell.outbound.addresses import AddressPolicy
from loadbell.store.db import Database, Transaction
from loadbell.store.idempotency import claim_key, keep_answer

T = TypeVar("T")
Asked = Callable[[Transaction, Principal, Micros], Coroutine[Any, Any, T]]
"""A unit of work that knows who asks and when."""

LONGEST_KEY = 255


@dataclass(frozen=True)
class Door:
    """What every request needs: the store, the ambient values, and the settings that use cases take."""

    database: Database
    clock: Clock
    entropy: Entropy
    base_url: str  #: without a slash at its end
    policy: AddressPolicy
    default_watchdog: Micros
    send_timeout: Micros


class Call:
    """One request at the door."""

    def __init__(self, door: Door, request: Request[Any, Any, Any]) -> None:
        self.door = door
        self._request = request
        self._raw = b""

    def integer_id(self, name: str, noun: str) -> int:
        """The integer id of a ``noun`` at ``name`` in the path.

        Raises:
            NotFound: nothing can have that id.
        """
        return identifiers.integer_id(self._request.path_params[name], noun)

    def uuid(self, name: str, noun: str) -> UUID:
        """The UUID of a ``noun`` at ``name`` in the path.

        Raises:
            NotFound: nothing can have that id.
        """
        return identifiers.uuid_id(self._request.path_params[name], noun)

    def query(self, wanted: type[T]) -> T:
        """The query string as ``wanted``, a Struct; names that it does not have are ignored.

        Raises:
            Invalid: some fields are wrong.
        """
        return convert_fields(dict(self._request.query_params), wanted, strict=False)

    async def body(self, wanted: type[T]) -> T:
        """The body as ``wanted``, a Struct. Without a token it is not even read.

        Raises:
            Unauthenticated: the token is not good.
            MalformedBody: it is not JSON.
            TooLarge: it is longer than the cap.
            UnsupportedMediaType: it is not declared as JSON.
            Invalid: some fields are wrong.
        """
        if bearer_token(self._request) is None:
            await self.read(_nothing)
        try:
            self._raw = await read_body(self._request)
            return decode_body(self._raw, self._request.headers.get("content-type"), wanted)
        except Refused:
            await self.read(_nothing)
            raise

    async def read(self, work: Asked[T]) -> T:
        """What ``work``, which changes nothing, gives on one snapshot.

        Raises:
            Refused: the token is not good, or the use case refuses.
        """
        return await self.door.database.read(self._asked(work))

    async def write(self, work: Asked[T]) -> T:
        """What ``work`` gives, once it has been committed.

        Raises:
            Refused: the token is not good, or the use case refuses; nothing was changed.
        """
        return await self.door.database.write(self._asked(work))

    async def write_once(self, work: Asked[Any]) -> msgspec.Raw:
        """As :meth:`write`, but gives the JSON of the result; a repeated Idempotency-Key gets that of the first time.

        To be called after :meth:`body`, whose bytes tell whether it is the same request.

        Raises:
            Conflict: the key was used for another request.
            Refused: as :meth:`write`; the key is free again.
        """
        key = self._request.headers.get("idempotency-key")
        if key is None:
            return msgspec.Raw(msgspec.json.encode(await self.write(work)))
        target = f"{self._request.method} {self._request.scope['path']}\n".encode()
        fingerprint = hashlib.sha256(target + self._raw).hexdigest()

        async def once(tx: Transaction, principal: Principal, now: Micros) -> str:
            _check_key(key)
            result = await claim_key(tx, principal.token_id, key, fingerprint, now)
            if result is None:
                result = msgspec.json.encode(await work(tx, principal, now)).decode()
                await keep_answer(tx, principal.token_id, key, result)
            return result

        return msgspec.Raw((await self.write(once)).encode())

    def _asked(self, work: Asked[T]) -> Callable[[Transaction], Coroutine[Any, Any, T]]:
        now, bearer = self.door.clock(), bearer_token(self._request)

        async def unit(tx: Transaction) -> T:
            return await work(tx, await authenticate(tx, bearer, now), now)

        return unit


def bearer_token(request: Request[Any, Any, Any]) -> str | None:
    """The token of the Authorization header, if it has one (RFC 6750 section 2.1)."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def answer(status: int, shown: msgspec.Struct | msgspec.Raw) -> Response[bytes]:
    """``shown`` as JSON. It may hold what others must not see, so nobody keeps a copy on the way."""
    return Response(
        msgspec.json.encode(shown),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= LONGEST_KEY or not all(" " <= character <= "~" for character in key):
        raise Invalid(FieldError("Idempotency-Key", f"must have 1 to {LONGEST_KEY} printable ASCII characters"))


async def _nothing(_tx: Transaction, _principal: Principal, _now: Micros) -> None:
    """Only asks who is there."""
