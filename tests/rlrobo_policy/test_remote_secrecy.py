"""Who may ask a policy server, and that the robot knows who answers."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from datetime import datetime

import pytest
import trustme
from remote_peers import (
    CAMERAS,
    REACH,
    SIDE,
    MeanColour,
    observation,
    robot,
    serving,
    start_robot,
)
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rlrobo_policy.remote.layout import Served
from rlrobo_policy.remote.server import PolicyServer, ServerConfig

LONG_AGO = datetime(2020, 1, 1)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of tokens and certificates."""
    folder = tmp_path_factory.mktemp("secrets")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca"))
    for name, issuer, host, options in (
        ("good", authority, "localhost", {}),
        ("expired", authority, "localhost", {"not_before": LONG_AGO, "not_after": LONG_AGO}),
        ("other_name", authority, "elsewhere.example", {}),
        ("unknown", stranger, "localhost", {}),
    ):
        made = issuer.issue_cert(host, **options)
        made.private_key_and_cert_chain_pem.write_to_path(str(folder / name))
    (folder / "token").write_text("open-sesame-0123456789\n")
    (folder / "wrong").write_text("open-sesame-9876543210\n")
    (folder / "empty").write_text("\n")
    return {file.name: str(file) for file in folder.iterdir()}


def pair(certificate: str) -> dict[str, str]:
    return {"tls_cert": certificate, "tls_key": certificate}


def test_tls_and_token_let_the_right_one_in(secrets: dict[str, str]) -> None:
    proof = {"ca_file": secrets["ca"], "token_file": secrets["token"]}
    with (
        serving(token_file=secrets["token"], **pair(secrets["good"])) as port,
        robot(port, "wss", "localhost", **proof) as there,
    ):
        assert there.act(observation()).policy_version == MeanColour.version


@pytest.mark.parametrize(
    ("certificate", "sentence"),
    [
        ("expired", "has expired. Renew it"),
        ("other_name", "is for another name"),
        ("unknown", "authority is not known here. Give .* as ca_file"),
    ],
)
def test_a_wrong_certificate_is_refused(
    secrets: dict[str, str], certificate: str, sentence: str
) -> None:
    with (
        serving(**pair(secrets[certificate])) as port,
        pytest.raises(ValueError, match=sentence),
    ):
        start_robot(port, "wss", "localhost", ca_file=secrets["ca"])


@pytest.mark.parametrize("given", ["wrong", None])
def test_a_wrong_token_is_refused(secrets: dict[str, str], given: str | None) -> None:
    sentence = "refuses the token.*token_file"
    with serving(token_file=secrets["token"]) as port, pytest.raises(ValueError, match=sentence):
        start_robot(port, token_file=secrets[given] if given else "")


def come_with(port: int, header: str) -> None:
    with connect(f"ws://127.0.0.1:{port}", additional_headers={"Authorization": header}):
        pass


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer open", "Basic b3Blbg==", "Bearer \xf6"])
def test_no_header_but_the_tokens_is_let_in(secrets: dict[str, str], header: str) -> None:
    with serving(token_file=secrets["token"]) as port:
        with pytest.raises(InvalidStatus, match="401"):
            come_with(port, header)
        for scheme in ("Bearer", "Api-Key"):
            come_with(port, f"{scheme} open-sesame-0123456789")


def test_health_needs_no_token(secrets: dict[str, str]) -> None:
    with (
        serving(token_file=secrets["token"]) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer,
    ):
        assert (answer.status, answer.read()) == (200, b"OK\n")


@pytest.mark.parametrize("lacks", ["token", "tls"])
def test_a_network_is_not_served_in_the_open(secrets: dict[str, str], lacks: str) -> None:
    tls = {} if lacks == "tls" else pair(secrets["good"])
    token = "" if lacks == "token" else secrets["token"]
    config = ServerConfig(host="0.0.0.0", token_file=token, **tls)
    served = Served.of([REACH], CAMERAS, SIDE)
    with pytest.raises(ValueError, match=r"--tls-cert.*--token-file.*--insecure"):
        PolicyServer(MeanColour(), {"reach": REACH}, served, config)
    PolicyServer(MeanColour(), {"reach": REACH}, served, replace(config, insecure=True))


def test_a_token_does_not_travel_in_the_clear(secrets: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="in the clear: use wss://"):
        start_robot(8000, host="robots.example", token_file=secrets["token"])


@pytest.mark.parametrize("token", ["empty", "missing"])
def test_a_token_file_without_a_token_is_refused(secrets: dict[str, str], token: str) -> None:
    path = secrets.get(token, "/nowhere/token")
    with pytest.raises(ValueError, match=path), serving(token_file=path):
        pass


def test_certificate_files_that_are_none_are_refused(secrets: dict[str, str]) -> None:
    for cert, key in (
        (secrets["token"], ""),
        ("/nowhere/cert", "/nowhere/key"),
        ("", secrets["good"]),
    ):
        with (
            pytest.raises(ValueError, match="--tls-cert"),
            serving(tls_cert=cert, tls_key=key),
        ):
            pass
    with pytest.raises(ValueError, match="ca_file"):
        start_robot(1, "wss", "localhost", ca_file=secrets["token"])


def test_ws_and_wss_that_meet_are_named(secrets: dict[str, str]) -> None:
    with serving() as port, pytest.raises(ValueError, match=r"speak TLS"):
        start_robot(port, "wss", "localhost", start_s=0.5)
    with (
        serving(**pair(secrets["good"])) as port,
        pytest.raises(ValueError, match="is it wss://"),
    ):
        start_robot(port, start_s=0.5)


def test_a_port_that_is_taken_is_named() -> None:
    with (
        serving() as port,
        pytest.raises(ValueError, match="another --port"),
        serving(port=port),
    ):
        pass
