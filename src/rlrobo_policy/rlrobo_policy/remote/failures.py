"""Why there is no answer, in one sentence with the cure."""

from __future__ import annotations

import socket
import ssl
from http import HTTPStatus

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

EXPIRED, WRONG_NAME = 10, 62
UNKNOWN_AUTHORITY = (18, 19, 20, 21)
"""OpenSSL's X509_V_ERR_*, openssl-verify(1)."""


class NoAnswer(RuntimeError):
    """There is no action for this observation in time, and the text says why: the robot must
    hold. The next `act` may have one; the client does by itself what can be done."""


class Refused(ValueError):
    """This server must not move this robot (or does not want to) until a person changes
    something; the text says what."""


def explain(error: BaseException, url: str) -> str:
    """What broke the connection to the server, or kept it from being made."""
    match error:
        case ssl.SSLCertVerificationError(verify_code=code):
            return f"the certificate of {url} is refused: {certificate_trouble(code, error)}"
        case ssl.SSLError():
            return (
                f"{url} does not speak TLS ({error.reason or error}): is it a ws:// server? "
                "Start it with --tls-cert and --tls-key, or correct server:="
            )
        case InvalidStatus(response=response) if response.status_code == HTTPStatus.UNAUTHORIZED:
            return (
                f"the server at {url} refuses the token: give the file that it was started with "
                "as token_file"
            )
        case InvalidStatus(response=response):
            return f"{url} answers with HTTP {response.status_code}: is it a policy server?"
        case InvalidMessage() | EOFError():
            return f"{url} does not speak the websocket protocol: is it wss://, or another port?"
        case InvalidHandshake():
            return f"{url} is no policy server: {error}"
        case ConnectionClosed():
            return f"the connection to {url} was lost ({error})"
        case socket.gaierror():
            return f"the name in {url} is not known here: correct server:="
        case TimeoutError():
            return f"no sign of life from {url}: is the machine reachable, and the port open?"
        case ConnectionResetError() | ConnectionAbortedError():
            return (
                f"{url} ends the connection at once: does that server speak TLS (wss://) or not "
                "(ws://), and is it behind a tunnel whose other end is down?"
            )
        case OSError():
            return (
                f"no server answers at {url} ({error}): start it there by ./rlrobo run "
                "rlrobo_policy policy_server, or correct server:="
            )
    return f"{url}: {error}"


def certificate_trouble(code: int, error: ssl.SSLCertVerificationError) -> str:
    if code == EXPIRED:
        return "it has expired. Renew it on the server, and start the policy_server with it"
    if code == WRONG_NAME:
        return "it is for another name. Use the name that it was made for in server:="
    if code in UNKNOWN_AUTHORITY:
        return "its authority is not known here. Give that authority's certificate as ca_file"
    return f"{error.verify_message}. Correct it on the server"


def is_final(error: BaseException) -> bool:
    """Whether trying again changes nothing before a person does."""
    unauthorised = isinstance(error, InvalidStatus) and error.response.status_code in (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
    )
    cut_off = isinstance(error, ssl.SSLEOFError)  # perhaps a server that is just starting
    return unauthorised or (isinstance(error, Refused | ssl.SSLError) and not cut_off)
