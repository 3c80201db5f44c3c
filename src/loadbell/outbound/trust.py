"""
The certificates by which receivers are trusted: the system's store and, beside it, a file of the operator's.

libcurl reads one PEM file and keeps it parsed; given a file and a folder it would parse anew for each connection.
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
    """The system's PEM bundle (``SSL_CERT_FILE`` names another), or certifi's when the system has none."""
    text = ssl.get_default_verify_paths().cafile
    candidates = (Path(name) for name in (text, *_BUNDLES) if name)
    return next((path for path in candidates if path.is_file()), Path(certifi.where()))


def trust_file(ca_file: Path | None, lifetime: ExitStack) -> Path:
    """One PEM file with the system's certificates and those of ``ca_file``; it exists until ``lifetime`` ends.

    Raises:
        OSError: ``ca_file`` can't be read, or there is no room for a temporary file.
    """
    if ca_file is None:
        return system_bundle()
    certificates = system_bundle().read_bytes() + b"\n" + ca_file.read_bytes()
    combined = lifetime.enter_context(tempfile.NamedTemporaryFile(prefix="loadbell-ca-", suffix=".pem"))  # noqa: SIM115 - lifetime closes it
    combined.write(certificates)
    combined.flush()
    return Path(combined.name)
