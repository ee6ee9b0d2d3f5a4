"""TLS and the token: who may ask, and whether it is really that server."""

from __future__ import annotations

import hmac
import ssl
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

SCHEMES = ("Bearer ", "Api-Key ")
"""Of the `Authorization` header: the standard one, and the one that openpi's client sends."""


def read_token(path: str) -> str:
    """The token in a file, so that no command line shows it; "" for no path. ValueError where
    the file is missing, empty or cannot stand in a header."""
    if not path:
        return ""
    try:
        token = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the token file {path!r} cannot be read: {error}") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"the token file {path!r} must hold one word of ASCII; make it by: "
            f"openssl rand -hex 32 > {path}"
        )
    return token


def authorised(header: str, token: str) -> bool:
    """Whether the `Authorization` header brings the token; in a time that tells nothing of it."""
    given = next((header.removeprefix(it) for it in SCHEMES if header.startswith(it)), "")
    return hmac.compare_digest(given.encode(), token.encode())


def is_loopback(host: str) -> bool:
    """Whether what is sent there never leaves the machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def server_tls(certificate: str, key: str) -> ssl.SSLContext | None:
    """None without a certificate. ValueError where the files are no pair."""
    if not certificate and not key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(
            f"no certificate and key in {certificate!r} and {key!r}: {error}. Give both as PEM "
            "files, --tls-cert with the whole chain and --tls-key"
        ) from error
    return context


def client_tls(url: str, ca_file: str) -> ssl.SSLContext | None:
    """None for `ws://`. The server's certificate must be signed by an authority of `ca_file`, or
    of the system where that is "", and be for the name in the URL."""
    if urlsplit(url).scheme != "wss":
        return None
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(
            f"the authority's certificate {ca_file!r} (ca_file) cannot be read: {error}"
        ) from error
