"""
Secrets at rest: Fernet (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec) with rotation.

The first key encrypts, all decrypt. A database stores the fingerprint of the first key that it was set up with, so a
process with the wrong keys refuses to start instead of failing at the first delivery.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from loadbell.store.engine.problems import WrongState

_KEY_CHARACTERS = 44


class SecretBox:
    """Encrypts and decrypts the secrets in the database.

    Raises:
        WrongState: a key is not 32 bytes in URL-safe base64.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            if any(len(key) != _KEY_CHARACTERS for key in keys):  # base64 ignores anything after the padding
                raise ValueError("not one key")  # noqa: TRY301 - handled below like every bad key
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise WrongState(
                "LOADBELL_SECRET_KEY: a key isn't 32 bytes in URL-safe base64. Create one with: "
                "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
            ) from None
        # Each delivery needs its channel's secrets, and decrypting them takes longer than sending a message.
        self._opened = lru_cache(maxsize=1024)(self._open)
        self._first = base64.urlsafe_b64decode(keys[0])
        self.fingerprints = tuple(
            hashlib.sha256(b"loadbell key" + base64.urlsafe_b64decode(key)).hexdigest()[:16] for key in keys
        )

    def seal(self, clear: str) -> str:
        """Returns ``clear`` encrypted with the first key, as ASCII."""
        return self._fernet.encrypt(clear.encode()).decode("ascii")

    def unseal(self, sealed: str) -> str:
        """Decrypts what :meth:`seal` returned.

        Raises:
            WrongState: none of the keys decrypts it.
        """
        return self._opened(sealed)

    def derive(self, purpose: str) -> bytes:
        """Derives 32 bytes from the first key, different for each ``purpose``; they don't reveal the key."""
        return hmac.digest(self._first, b"loadbell " + purpose.encode(), hashlib.sha256)

    def _open(self, sealed: str) -> str:
        try:
            return self._fernet.decrypt(sealed.encode("ascii")).decode()
        except InvalidToken:
            raise WrongState(
                "A stored secret can't be decrypted with LOADBELL_SECRET_KEY. Add the key it was encrypted with."
            ) from None


def key_in_file(path: Path) -> str:
    """Returns the key in ``path``, creating it if the file is missing; only the file's owner can read it.

    The file is written whole or not at all: a crash or a full disk leaves nothing that stops the next start.

    Raises:
        WrongState: the file can't be read or written, or holds no key.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_file(path, base64.urlsafe_b64encode(os.urandom(32)) + b"\n")
        raw = path.read_bytes()
    except OSError as error:
        raise WrongState(
            f"The secret key file {path} can't be used: {error}. Check the folder's owner and free space."
        ) from None
    key = raw.decode("utf-8-sig", "replace").strip()  # an editor may have added a byte order mark
    try:
        SecretBox([key])
    except WrongState:
        raise WrongState(
            f"The secret key file {path} is damaged: it contains no key. Restore it from your backup; "
            "no other key can decrypt the secrets in the database."
        ) from None
    return key


def _write_file(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a power cut could lose the key but not the data encrypted with it
    finally:
        os.close(folder)
