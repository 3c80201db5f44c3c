"""What a browser does for these tests: keeps cookies, reads forms, sends them. It follows no redirect by itself."""

import http.client
import re
from dataclasses import dataclass
from html import unescape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Page:
    """What the server answered; header names in lower case."""

    status: int
    headers: dict[str, str]
    set_cookies: dict[str, str]  #: the whole Set-Cookie line of each cookie
    text: str

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return self.headers["location"]

    @property
    def words(self) -> str:
        """The text without its tags, as a person reads it."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.text)).split())

    @property
    def markup(self) -> str:
        """The HTML without white space between tags, and else with single spaces."""
        return re.sub(r">\s+<", "><", " ".join(self.text.split()))

    def hidden(self, name: str) -> str:
        """The value of the first hidden field of that name."""
        found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', self.text)
        assert found is not None, f"no hidden field {name}"
        return unescape(found[1])


class Browser:
    """One browser at the server ``url``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.host, self.port = parts.hostname, parts.port or 80
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Page:
        """Loads a page."""
        return self.send("GET", path, headers=headers)

    def post(self, path: str, fields: dict[str, str], *, of: str | None = None, **headers: str) -> Page:
        """Sends a form as it stands on the page ``of`` (None: at the same address), with its CSRF token."""
        fields = {"csrf_token": self.get(of or path).hidden("csrf_token"), **fields}
        return self.send("POST", path, fields, headers=headers)

    def send(
        self, method: str, path: str, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Page:
        """One request with the cookies of this browser; sends exactly these fields."""
        sent: dict[str, Any] = {"Accept": "text/html,*/*;q=0.8", "User-Agent": "Test browser", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if fields is not None:
            body = urlencode(fields).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            lines = response.headers.get_all("set-cookie") or []
            names = {name.lower(): value for name, value in response.getheaders()}
            text = response.read().decode()
        finally:
            connection.close()
        set_cookies = {}
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                set_cookies[name] = line
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return Page(response.status, names, set_cookies, text)

    def sign_in(self, email: str, password: str, onward: str = "/") -> Page:
        """Fills in the form at /login."""
        return self.post("/login", {"email": email, "password": password, "next": onward})
