"""One request for a page: who has signed in, what its form says, and the page that answers it."""

import hmac
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar, TypeVarTuple
from urllib.parse import quote
from uuid import UUID

import msgspec
import structlog
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.response import Stream

from loadbell.accounts.account import Account, Membership, get_account
from loadbell.accounts.authentication import Lock, authorize
from loadbell.accounts.credentials import Prefix
from loadbell.domain.errors import Forbidden, Invalid, NotFound, Refused, Unauthenticated
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Action, Principal, SignedIn
from loadbell.entry.bodies import MAX_UNAUTHENTICATED_BODY_SIZE
from loadbell.entry.parameters import read_cookies
from loadbell.entry.paths import strip_root
from loadbell.entry.problems import INTERNAL, Problem, refuse
from loadbell.entry.requests import AppContext, SessionRequest, UseCase
from loadbell.notify.channel_notices import PausedNotice, WaitingNotice, paused_channels, waiting_channels
from loadbell.store.ownership import Noun, organization_of
from loadbell.store.unit_of_work import UnitOfWork, is_exclusive
from loadbell.web.csrf import derive_token, is_visitor_secret, make_visitor_secret
from loadbell.web.form import Form, read_form
from loadbell.web.live import Live, View
from loadbell.web.rendering import redirect, render

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SESSION = "loadbell_session"
ORGANIZATION = "loadbell_organization"
VISITOR = "loadbell_visitor"  # over HTTPS with the prefix below
THEME = "loadbell_theme"
THEMES = ("light", "dark")  # else the system's

_YEAR_S = 365 * 86_400
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # a browser reads // and /\ as the beginning of another host
_HOST_ONLY = "__Host-"
"""What begins with this a browser takes from this very host over HTTPS only, Secure, for / and without a Domain: so no
neighbouring host can choose it (RFC 6265bis, section 4.1.3.2)."""
_SECURE = "__Secure-"
"""The same for a cookie of a path, which any host of the domain may set; the form of such a host is refused by its
``Origin``."""
_STALE = "This form has expired. Reload the page and try again."


class PageRequest(SessionRequest):
    """A request for a page. Its session comes in a cookie, and no other credential lets anybody in."""

    def __init__(self, context: AppContext, request: Request[Any, Any, Any], live: Live) -> None:
        super().__init__(context, request)
        self._live = live
        self.path = str(request.scope["path"])
        self.cookies: list[Cookie] = []  #: that the answer sets
        self._received_cookies = read_cookies(request.scope, (SESSION, ORGANIZATION, self._visitor))
        self._account: Account | None = None
        self._account_loaded = False
        self._principal: Principal | None = None
        self._selected_organization: int | None = None

    def credential(self) -> str | None:
        """The session in the cookie."""
        value = self._received_cookies.get(SESSION, "")
        return value if value.startswith(Prefix.SESSION) else None

    def query_param(self, name: str) -> str:
        """The value of ``name`` in the query string, or nothing."""
        return self._query.get(name, "")

    def path_param(self, name: str) -> str:
        """The text at ``name`` in the path."""
        return str(self._request.path_params[name])

    @property
    def root(self) -> str:
        """The path under which people reach this server, the prefix of every path sent to them."""
        return self.context.root

    @property
    def current_url(self) -> str:
        """The address of this page, to come back to."""
        query = self._request.scope["query_string"].decode("latin-1")
        here = quote(self.path) + (f"?{query}" if query else "")
        return here if _LOCAL.fullmatch(here) else "/"

    async def find_account(self) -> Account | None:
        """Who has signed in, if anybody."""
        if not self._account_loaded:
            try:
                self._account = await self.read(get_account)
            except Unauthenticated:
                self._account = None
            self._account_loaded = True
        return self._account

    async def require_account(self) -> Account:
        """Who has signed in.

        Raises:
            Unauthenticated: nobody; the response redirects to the sign-in page, and from there back.
        """
        account = await self.find_account()
        if account is None:
            raise Unauthenticated("Sign in to see this page.")
        return account

    async def organization(self) -> Membership | None:
        """The organization of the signed-in user that this page is about.

        The one that :meth:`select_organization`, :meth:`read_in` or :meth:`write_in` was asked for; else the one that
        this browser looked at last; else the first by name.
        """
        person = await self.find_account()
        if person is None or not person.organizations:
            return None
        if self._selected_organization is not None:
            text = str(self._selected_organization)
        elif self._principal is not None:
            text = str(self._principal.organization_id)
        else:
            text = self._received_cookies.get(ORGANIZATION, "")
        found = (membership for membership in person.organizations if str(membership.organization_id) == text)
        return next(found, person.organizations[0])

    async def organization_of(self, noun: Noun, thing_id: int | UUID) -> int:
        """The organization of the ``noun`` with this id, among those of the person; whether he may see it is not asked.

        Raises:
            Unauthenticated: nobody has signed in.
            NotFound: none of them has it.
        """
        person = await self.require_account()
        found = await self.context.database.read(organization_of, person.user_id, noun, thing_id)
        if found is None:
            raise NotFound(f"There is no {noun} {thing_id}.")
        return found

    def select_organization(self, organization_id: int) -> None:
        """From now on this page is about that organization, which the person may have come into only just now."""
        self._selected_organization, self._account_loaded = organization_id, False

    async def read_in(
        self, organization_id: int, use_case: UseCase[Principal, P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What ``use_case``, which changes nothing, gives to what the person is in that organization.

        Raises:
            Unauthenticated: nobody has signed in.
            NotFound: the person is no member of it.
            Refused: the use case refuses.
        """
        return await self.read(self._act_in, organization_id, Lock.NONE, lambda unit: use_case(unit, *args, **kwargs))

    async def write_in(
        self, organization_id: int, use_case: UseCase[Principal, P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What ``use_case`` gives to what the person is in that organization, once it has been committed.

        Raises:
            Unauthenticated: nobody has signed in.
            NotFound: the person is no member of it.
            Refused: the use case refuses; nothing was changed.
        """
        lock = Lock.EXCLUSIVE if is_exclusive(use_case) else Lock.SHARED
        return await self.write(self._act_in, organization_id, lock, lambda unit: use_case(unit, *args, **kwargs))

    async def stream(
        self,
        name: str,
        organization_id: int,
        render: Callable[[UnitOfWork[Principal], *Ts], Coroutine[Any, Any, str]],
        *args: *Ts,
    ) -> Stream:
        """The stream of events ``name`` that carry what ``render`` gives, now and when the organization has changed.

        It is rendered once for everybody who has the same rights and asks for the same ``render`` with equal ``args``,
        which are hashable: the filters, the id in the address. ``render`` is a function of its module, no closure; it
        gets a principal without a user, and its text has no form: a form's token belongs to one browser.

        Raises:
            Unauthenticated: nobody has signed in.
            NotFound: the person is no member of the organization.
            Unavailable: too many streams are open.
            Refused: ``render`` refuses.
        """
        principal = await self.read_in(organization_id, _get_principal)
        assert self._caller is not None, "read_in has found out who asks"
        return await self._live.stream(View.for_principal(name, principal, args, render), self._caller.session_id)

    @property
    def is_local(self) -> bool:
        """Whether the request certainly came from this machine."""
        return self.context.hosts.is_local(self._request.scope)

    def refuse_foreign(self) -> None:
        """Does nothing unless the browser says that another site sent this request, with a cookie of ours or without.

        Raises:
            Forbidden: it says so.
        """
        self.context.hosts.refuse_foreign(self._request.scope)

    async def form(self) -> Form:
        """What the form says, once it is known to come from a page that we gave to this browser.

        Raises:
            Forbidden: it does not.
            TooLarge, MalformedBody, UnsupportedMediaType: it is not a form.
            Invalid: a field holds what can't be stored.
        """
        raw = await self.read_body(None if await self.find_account() else MAX_UNAUTHENTICATED_BODY_SIZE)
        form, token = read_form(raw, self.header("content-type") or "")
        await self._check_token(token or self.header("x-csrf-token") or "")
        form.check()
        return form

    async def show(
        self, template: str, *, refusal: Refused | None = None, back: str | None = None, **values: Any
    ) -> Response[str]:
        """The page that ``template`` makes of ``values``; with ``refusal``, the page that says why a form was refused.

        ``back`` is the address of the page itself, if this is the answer to a form.
        """
        response = None if refusal is None else refuse(refusal)
        organization = await self.organization()
        principal: Principal | None = None
        paused: Sequence[PausedNotice] = ()
        waiting: Sequence[WaitingNotice] = ()
        if organization is not None:
            principal, paused, waiting = await self.read_in(organization.organization_id, _frame_values)
            chosen = str(organization.organization_id)
            if self._received_cookies.get(ORGANIZATION) != chosen:
                self._set_cookie(ORGANIZATION, chosen, _YEAR_S)
        shown = {
            "organization": organization,
            "principal": principal,
            "paused": paused,
            "waiting": waiting,
            **values,
            "account": await self.find_account(),
            "csrf_token": await self._csrf_token(),
            "errors": {error.field: error.message for error in refusal.errors} if isinstance(refusal, Invalid) else {},
            "here": back or self.current_url,
            "now": self.context.database.clock(),
            "refusal": refusal,
            "theme": theme(self._request),
        }
        status = 200 if response is None else response.status_code
        waits = {
            name: value
            for name, value in ({} if response is None else response.headers).items()
            if name == "Retry-After"
        }
        return render(template, shown, root=self.root, status=status or 200, headers=waits, cookies=self.cookies)

    def show_once(self, template: str, **values: Any) -> Response[str]:
        """As :meth:`show`, of a page without forms that belongs to a session which begins with it."""
        return render(template, {**values, "theme": theme(self._request)}, root=self.root, cookies=self.cookies)

    def redirect(self, target: str) -> Response[str]:
        """Sends the browser to ``target``, a path of ours."""
        return redirect(target, self.cookies, root=self.root)

    def local_path(self, target: str) -> str:
        """``target`` if it is a path of this server, else ``/``: pages never redirect to another site.

        Forms and links give it with the root before it; the path here has none, as all that the pages go by.
        """
        return strip_root(target, self.root) if _LOCAL.fullmatch(target) else "/"

    def set_session_cookie(self, session: str, expires_at: Micros) -> None:
        """Sets the cookie of ``session``, in place of any earlier one."""
        self._set_cookie(SESSION, session, max(expires_at - self.context.database.clock(), 0) // SECOND)
        self._set_cookie(self._visitor, "", 0)

    def clear_session_cookie(self) -> None:
        """Lets the browser forget its session."""
        self._set_cookie(SESSION, "", 0)

    def set_theme_cookie(self, chosen: str) -> None:
        """Lets the browser remember the theme; one that we don't have is the system's."""
        self._set_cookie(THEME, chosen if chosen in THEMES else "", _YEAR_S if chosen in THEMES else 0)

    async def _act_in(
        self,
        unit: UnitOfWork[SignedIn],
        organization_id: int,
        lock: Lock,
        work: Callable[[UnitOfWork[Principal]], Coroutine[Any, Any, T]],
    ) -> T:
        self._principal = await authorize(unit, organization_id, lock=lock)
        return await work(unit.on_behalf_of(self._principal, is_exclusive=lock is Lock.EXCLUSIVE))

    @property
    def _secure(self) -> bool:
        return self.context.installation.base_url.startswith("https:")

    @property
    def _visitor(self) -> str:
        if not self._secure:
            return VISITOR
        return (_SECURE if self.root else _HOST_ONLY) + VISITOR

    def _set_cookie(self, name: str, value: str, seconds: int | None) -> None:
        path = self.root or "/"
        self.cookies.append(
            Cookie(name, value=value, path=path, max_age=seconds, httponly=True, samesite="lax", secure=self._secure)
        )

    async def _check_token(self, token: str) -> None:
        self.refuse_foreign()
        secret = await self._csrf_secret()
        if secret is None or not hmac.compare_digest(derive_token(secret).encode(), token.encode()):
            raise Forbidden(_STALE)

    async def _csrf_token(self) -> str:
        secret = await self._csrf_secret()
        if secret is None:
            random = self.context.database.entropy(32).hex()
            secret = await self.context.database.read(make_visitor_secret, random)
            self._set_cookie(self._visitor, secret, None)
        return derive_token(secret)

    async def _csrf_secret(self) -> str | None:
        """What this browser has of us and no other site knows: its session, or the cookie that we gave a visitor."""
        if await self.find_account() is not None:
            return self.credential()
        cookie = self._received_cookies.get(self._visitor, "")
        ours = bool(cookie) and await self.context.database.read(is_visitor_secret, cookie)
        return cookie if ours else None


def theme(request: Request[Any, Any, Any]) -> str:
    """``light`` or ``dark``; empty: the system's."""
    chosen = read_cookies(request.scope, (THEME,)).get(THEME, "")
    return chosen if chosen in THEMES else ""


def error_page(request: Request[Any, Any, Any], answered: Response[bytes], root: str) -> Response[str]:
    """The page for ``answered``, a problem response; a redirect to sign-in if that is what's missing."""
    problem = msgspec.json.decode(answered.content, type=Problem)
    if problem.code == "unauthenticated":
        path = quote(str(request.scope["path"])) if request.method == "GET" else "/"
        onward = "" if path == "/" else f"?next={quote(root + path, safe='/')}"
        return redirect(f"/login{onward}", root=root)
    values = {
        "problem": problem,
        "request_id": structlog.contextvars.get_contextvars().get("request_id")
        if problem.code == INTERNAL.code
        else None,
        "theme": theme(request),
    }
    headers = {name: value for name, value in answered.headers.items() if name in {"Retry-After", "Allow"}}
    return render("error", values, root=root, status=problem.status, headers=headers)


async def _get_principal(unit: UnitOfWork[Principal]) -> Principal:
    return unit.principal


async def _frame_values(
    unit: UnitOfWork[Principal],
) -> tuple[Principal, Sequence[PausedNotice], Sequence[WaitingNotice]]:
    """What the frame of every page needs: what the person may, and the channels that he should look at."""
    if not unit.principal.may(Action.MANAGE_CHANNELS):
        return unit.principal, (), ()
    return unit.principal, await paused_channels(unit), await waiting_channels(unit)
