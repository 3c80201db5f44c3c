"""
Translates libcurl's errors into a :class:`Reason` and a sentence.

The sentences are ours: libcurl's texts may contain the URL. Error codes: https://curl.se/libcurl/c/libcurl-errors.html
"""

import errno
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus

import pycurl

from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import SECOND, Micros

_TOO_LARGE = 100  # CURLE_TOO_LARGE, which pycurl does not name

_TLS = frozenset(
    {
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_SSL_ENGINE_INITFAILED,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_USE_SSL_FAILED,
    }
)
_MALFORMED = frozenset(
    {
        pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9, or no HTTP at all
        pycurl.E_FTP_WEIRD_SERVER_REPLY,  # CURLE_WEIRD_SERVER_REPLY
        pycurl.E_BAD_CONTENT_ENCODING,
    }
)
_BROKEN = frozenset({pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR})


class Phase(Enum):
    """The phase of an exchange."""

    LOOKUP = auto()
    PROXY = auto()  #: the operator's proxy hasn't responded yet
    TUNNEL = auto()  #: the proxy has refused to connect to the receiver
    CONNECT = auto()
    TLS = auto()
    ANSWER = auto()  #: the request was sent, or may have been
    BODY = auto()  #: a response has begun


_TIMEOUTS = {
    Phase.LOOKUP: "The receiver's host name couldn't be resolved within {span}.",
    Phase.CONNECT: "Couldn't connect to the receiver within {span}.",
    Phase.TLS: "The TLS handshake with the receiver didn't finish within {span}.",
    Phase.ANSWER: "The receiver didn't respond within {span}.",
    Phase.BODY: "The receiver's response wasn't complete within {span}.",
}

_CERTIFICATE = (  # part of OpenSSL's or libcurl's text, and what it means
    ("has expired", "The receiver's TLS certificate has expired."),
    ("not yet valid", "The receiver's TLS certificate isn't valid yet."),
    ("subject name", "The receiver's TLS certificate is for another host name."),
    ("does not match", "The receiver's TLS certificate is for another host name."),
    ("self-signed", "The receiver's TLS certificate is signed by an authority that loadbell doesn't trust."),
    ("self signed", "The receiver's TLS certificate is signed by an authority that loadbell doesn't trust."),
    ("local issuer", "The receiver's TLS certificate is signed by an authority that loadbell doesn't trust."),
)

_CONNECT = {
    errno.ECONNREFUSED: "The receiver refused the connection.",
    errno.ECONNRESET: "The receiver reset the connection while connecting.",
    errno.EHOSTUNREACH: "There is no route to the receiver.",
    errno.ENETUNREACH: "There is no route to the receiver.",
}

BLOCKED = "loadbell isn't allowed to connect to the receiver's address. Ask the operator to allow it."
NOT_FOUND = "The receiver's host name has no address. Check its spelling."
LOOKUP_FAILED = "The receiver's host name couldn't be resolved."
HEADERS_TOO_LONG = "The receiver's response has too many headers."
PROXY_NOT_FOUND = "loadbell's proxy {proxy} has no address. The operator sets it in LOADBELL_OUTBOUND_PROXY."
INTERNAL = "loadbell failed to send this. Check its log."
_CUT_OFF = "The receiver's response was cut off."


@dataclass(frozen=True)
class Failure:
    """Why there is no reply."""

    reason: Reason
    message: str


def timeout_failure(phase: Phase, timeout: Micros) -> Failure:
    """Returns the failure for a deadline that passed in ``phase``."""
    return Failure(Reason.TIMEOUT, _TIMEOUTS[phase].format(span=f"{timeout / SECOND:g} s"))


def no_tunnel(code: int, status: int, proxy: str, timeout: Micros) -> Failure:
    """Returns why ``proxy`` didn't connect, by libcurl's ``code`` and the proxy's ``status`` (0: none)."""
    if status in {HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.UNAUTHORIZED}:  # 401: tinyproxy
        text = f"requires a valid user name and password ({status}). The operator sets them in LOADBELL_OUTBOUND_PROXY."
    elif status:
        text = f"refused to connect to the receiver ({status}). Ask the operator to check the proxy's rules."
    elif code == pycurl.E_OPERATION_TIMEDOUT:
        text = f"didn't connect to the receiver within {timeout / SECOND:g} s."
    elif code in _TLS:
        text = "can't be trusted: the TLS handshake with it failed."
    else:
        text = "can't be reached or closed the connection."
    return Failure(Reason.CONNECT, f"loadbell's proxy {proxy} {text}")


def explain(code: int, text: str, os_error: int, phase: Phase, timeout: Micros) -> Failure:  # noqa: PLR0911 - a table with conditions
    """Returns the failure for libcurl's error ``code``, its ``text`` and errno, in this phase of the exchange."""
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return timeout_failure(phase, timeout)
    if code == pycurl.E_COULDNT_CONNECT:
        return Failure(Reason.CONNECT, _CONNECT.get(os_error, "Couldn't connect to the receiver."))
    if code in _TLS:
        certificate = next((sentence for part, sentence in _CERTIFICATE if part in text), None)
        return Failure(Reason.TLS, certificate or "The TLS handshake with the receiver failed.")
    if code == pycurl.E_GOT_NOTHING:
        return Failure(Reason.PROTOCOL, "The receiver closed the connection without a response.")
    if code == pycurl.E_PARTIAL_FILE or (code in _BROKEN and phase is Phase.BODY):
        return Failure(Reason.PROTOCOL, _CUT_OFF)
    if code in _BROKEN:
        return Failure(Reason.PROTOCOL, "The receiver closed the connection before it responded.")
    if code in _MALFORMED:
        return Failure(Reason.PROTOCOL, "The receiver's response isn't valid HTTP.")
    if code == _TOO_LARGE:
        return Failure(Reason.PROTOCOL, HEADERS_TOO_LONG)
    if code == pycurl.E_COULDNT_RESOLVE_HOST:
        return Failure(Reason.DNS, LOOKUP_FAILED)
    return Failure(Reason.INTERNAL, INTERNAL)
