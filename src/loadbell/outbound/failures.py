"""
What libcurl reports, as a :class:`Reason` and a sentence for a person.

The sentences are ours: libcurl's own texts may hold the URL. Error codes: https://curl.se/libcurl/c/libcurl-errors.html
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
    """How far an exchange had come."""

    LOOKUP = auto()
    PROXY = auto()  #: the operator's proxy has not answered yet
    TUNNEL = auto()  #: it has refused the way to the receiver
    CONNECT = auto()
    TLS = auto()
    ANSWER = auto()  #: the request went out, or could
    BODY = auto()  #: an answer has begun


_TIMEOUTS = {
    Phase.LOOKUP: "The receiver's host name could not be looked up within {span}.",
    Phase.CONNECT: "The receiver could not be connected within {span}.",
    Phase.TLS: "The TLS handshake with the receiver was not finished within {span}.",
    Phase.ANSWER: "The receiver did not answer within {span}.",
    Phase.BODY: "The receiver's answer was not complete within {span}.",
}

_CERTIFICATE = (  # part of OpenSSL's or libcurl's text, and what it means
    ("has expired", "The receiver's TLS certificate has expired."),
    ("not yet valid", "The receiver's TLS certificate is not valid yet."),
    ("subject name", "The receiver's TLS certificate is for another host name."),
    ("does not match", "The receiver's TLS certificate is for another host name."),
    ("self-signed", "The receiver's TLS certificate is signed by an authority that loadbell does not trust."),
    ("self signed", "The receiver's TLS certificate is signed by an authority that loadbell does not trust."),
    ("local issuer", "The receiver's TLS certificate is signed by an authority that loadbell does not trust."),
)

_CONNECT = {
    errno.ECONNREFUSED: "The receiver refused the connection.",
    errno.ECONNRESET: "The receiver reset the connection before it stood.",
    errno.EHOSTUNREACH: "There is no route to the receiver.",
    errno.ENETUNREACH: "There is no route to the receiver.",
}

BLOCKED = "The receiver's address is not one that loadbell may connect to. Ask the operator if it should be."
NOT_FOUND = "The receiver's host name has no address. Check its spelling."
LOOKUP_FAILED = "The receiver's host name could not be looked up."
HEADERS_TOO_LONG = "The receiver's answer has more headers than loadbell reads."
PROXY_NOT_FOUND = "loadbell's proxy {proxy} has no address. The operator sets it in LOADBELL_OUTBOUND_PROXY."
INTERNAL = "loadbell failed while it sent this; its log says why."
_CUT_OFF = "The receiver's answer was cut off."


@dataclass(frozen=True)
class Failure:
    """Why there is no reply."""

    reason: Reason
    message: str


def timeout_failure(phase: Phase, timeout: Micros) -> Failure:
    """The deadline passed in ``phase``."""
    return Failure(Reason.TIMEOUT, _TIMEOUTS[phase].format(span=f"{timeout / SECOND:g} s"))


def no_tunnel(code: int, status: int, proxy: str, timeout: Micros) -> Failure:
    """Why ``proxy`` gave no way to the receiver: libcurl's ``code``, and the ``status`` that it answered, if any."""
    if status in {HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.UNAUTHORIZED}:  # 401: tinyproxy
        text = f"asks for a user and a password, or others ({status}). The operator sets LOADBELL_OUTBOUND_PROXY."
    elif status:
        text = f"refused the way to the receiver ({status}). Ask the operator if the proxy's rules should allow it."
    elif code == pycurl.E_OPERATION_TIMEDOUT:
        text = f"gave no way to the receiver within {timeout / SECOND:g} s."
    elif code in _TLS:
        text = "can't be trusted: the TLS handshake with it failed."
    else:
        text = "can't be reached, or broke the connection."
    return Failure(Reason.CONNECT, f"loadbell's proxy {proxy} {text}")


def explain(code: int, text: str, os_error: int, phase: Phase, timeout: Micros) -> Failure:  # noqa: PLR0911 - a table with conditions
    """What libcurl's error ``code`` with its ``text`` and errno means, given how far the exchange had come."""
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return timeout_failure(phase, timeout)
    if code == pycurl.E_COULDNT_CONNECT:
        return Failure(Reason.CONNECT, _CONNECT.get(os_error, "The receiver could not be connected."))
    if code in _TLS:
        certificate = next((sentence for part, sentence in _CERTIFICATE if part in text), None)
        return Failure(Reason.TLS, certificate or "The TLS handshake with the receiver failed.")
    if code == pycurl.E_GOT_NOTHING:
        return Failure(Reason.PROTOCOL, "The receiver closed the connection without an answer.")
    if code == pycurl.E_PARTIAL_FILE or (code in _BROKEN and phase is Phase.BODY):
        return Failure(Reason.PROTOCOL, _CUT_OFF)
    if code in _BROKEN:
        return Failure(Reason.PROTOCOL, "The receiver broke the connection before it answered.")
    if code in _MALFORMED:
        return Failure(Reason.PROTOCOL, "The receiver's answer is not valid HTTP.")
    if code == _TOO_LARGE:
        return Failure(Reason.PROTOCOL, HEADERS_TOO_LONG)
    if code == pycurl.E_COULDNT_RESOLVE_HOST:
        return Failure(Reason.DNS, LOOKUP_FAILED)
    return Failure(Reason.INTERNAL, INTERNAL)
