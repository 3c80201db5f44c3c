"""Signatures by Standard Webhooks."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from loadbell.outbound.signing import new_secret, sign


@pytest.mark.parametrize(
    ("secret", "message_id", "timestamp", "body", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1731705121,
            b'{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
    ],
)
def test_the_published_vectors_hold(secret: str, message_id: str, timestamp: int, body: bytes, signature: str) -> None:
    """The examples of the specification's own test suites come out byte for byte."""
    assert signature == sign([secret], message_id, timestamp, body)


@given(st.binary(min_size=32, max_size=32), st.text(st.characters(codec="utf-8"), max_size=50))
def test_the_reference_library_accepts_what_we_sign(entropy: bytes, body: str) -> None:
    """A receiver that verifies by the ``standardwebhooks`` package accepts every message."""
    secret = new_secret(lambda _: entropy)
    timestamp = int(datetime.now(UTC).timestamp())
    headers = {"webhook-id": "id-1", "webhook-timestamp": str(timestamp)}
    payload = b'{"x":"' + body.encode().hex().encode() + b'"}'

    headers["webhook-signature"] = sign([secret], "id-1", timestamp, payload)

    assert {"x": body.encode().hex()} == Webhook(secret).verify(payload, headers)


def test_during_a_rotation_either_secret_is_accepted() -> None:
    """With two live secrets there are two signatures; a receiver that knows one of them accepts, another refuses."""
    old, new, other = (new_secret(fill.__mul__) for fill in (b"a", b"b", b"c"))
    timestamp = int(datetime.now(UTC).timestamp())
    signature = sign([new, old], "id-1", timestamp, b"{}")
    headers = {"webhook-id": "id-1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}

    assert 2 == len(signature.split(" "))
    assert [{}, {}] == [Webhook(secret).verify(b"{}", headers) for secret in (old, new)]
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(b"{}", headers)


def test_a_new_secret_is_32_random_bytes_in_base64() -> None:
    """A secret has the length that the specification asks for (24 to 64 bytes) and its prefix."""
    secret = new_secret(lambda size: bytes(range(size)))

    assert bytes(range(32)) == base64.b64decode(secret.removeprefix("whsec_"))
    assert secret.startswith("whsec_")


@pytest.mark.parametrize(
    ("secret", "message_id"),
    [
        ("whsec_not base64!", "id"),
        ("whsec_AAAAA", "id"),  # without its padding
        ("whsec_", "id"),
        ("", "id"),
        ("whsk_AAAA", "id"),  # another scheme's key
        ("whsec_AAAA", "a.b"),
    ],
)
def test_what_cannot_be_signed_is_refused(secret: str, message_id: str) -> None:
    """A malformed secret, or an id that would make the signed bytes ambiguous, is an error, not a wrong signature."""
    with pytest.raises(ValueError, match=r"signing secret|full stop") as caught:
        sign([secret], message_id, 1, b"")

    assert "not base64!" not in str(caught.value)


def _sign(shift: int = 0, secret: str = "whsec_AAAA") -> dict[str, str]:
    timestamp = int(datetime.now(UTC).timestamp()) + shift
    signature = sign([secret], "id-1", timestamp, b"{}")
    return {"webhook-id": "id-1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def _verify(headers: dict[str, str]) -> object:
    return Webhook("whsec_AAAA").verify(b"{}", headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed(name: str) -> None:
    """The reference library refuses what lacks one of the three headers, or has another value in it."""
    headers = _sign()

    assert {} == _verify(headers)
    for changed in ({}, {name: headers[name].replace("v1,", "v2,") + "1"}):
        with pytest.raises(WebhookVerificationError):
            _verify({key: value for key, value in headers.items() if key != name} | changed)


@pytest.mark.parametrize("shift", [-3600, -301, 303, 3600])
def test_an_old_signature_is_refused(shift: int) -> None:
    """A request that is replayed, or dated, more than five minutes away is refused though its signature is right."""
    with pytest.raises(WebhookVerificationError):
        _verify(_sign(shift))
    assert {} == _verify(_sign(shift % 200))


def test_another_secret_is_refused() -> None:
    """A signature by another secret is refused; beside one by the right secret it does no harm."""
    right, wrong = _sign(), _sign(secret="whsec_BBBB")

    with pytest.raises(WebhookVerificationError):
        _verify(wrong)
    both = f"{wrong['webhook-signature']} v1a,AAAA {right['webhook-signature']}"
    assert {} == _verify({**right, "webhook-signature": both})
