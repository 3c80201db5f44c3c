"""
The certificates for verifying receivers: the system's, and those in the operator's file.

libcurl caches one parsed PEM file; with a file and a folder it would parse them for each connection.
"""

import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path

import certifi

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # CentOS
    "/etc/ssl/cert.pem",  # FreeBSD, macOS
)


def system_bundle() -> Path:
    """Returns the system's PEM bundle (``SSL_CERT_FILE`` overrides it), or certifi's if the system has none."""
    text = ssl.get_default_verify_paths().cafile
    candidates = (Path(name) for name in (text, *_BUNDLES) if name)
    return next((path for path in candidates if path.is_file()), Path(certifi.where()))


def trust_file(ca_file: Path | None, lifetime: ExitStack) -> Path:
    """Returns a PEM file with the system's certificates and those of ``ca_file``; it exists until ``lifetime`` ends.

    Raises:
        OSError: ``ca_file`` can't be read, or the temporary file can't be written.
    """
    if ca_file is None:
        return system_bundle()
    certificates = system_bundle().read_bytes() + b"\n" + ca_file.read_bytes()
    combined = lifetime.enter_context(tempfile.NamedTemporaryFile(prefix="loadbell-ca-", suffix=".pem"))  # noqa: SIM115 - lifetime closes it
    combined.write(certificates)
    combined.flush()
    return Path(combined.name)
