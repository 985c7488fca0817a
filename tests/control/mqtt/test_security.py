"""Who is let in, and what is told of how."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import traceback
from pathlib import Path

import pytest

from linkem_py.control.mqtt import MqttControl
from linkem_py.errors import ControlError, RequestError
from tests.control.mqtt.brokers import MISSING, mosquitto
from tests.dry import DryNetwork

SECRET = "s3cr3t-w0rd"

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="not installed: openssl")
needs_passwd = pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="not installed: mosquitto_passwd")


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def certificates(folder: Path) -> None:
    """A CA, and a server's and a client's certificate signed by it."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run(
        *("openssl", "req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem"),
        *("-subj", "/CN=test CA", "-days", "2", "-addext", "keyUsage=critical,keyCertSign"),
    )
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        request = folder / f"{name}.csr"
        run("openssl", "req", *key, "-keyout", folder / f"{name}.key", "-out", request, "-subj", f"/CN={name}")
        run(
            *("openssl", "x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"),
            *("-CAcreateserial", "-days", "2", "-out", folder / f"{name}.pem", "-extfile", folder / "san"),
        )


@needs_openssl
async def test_tls_with_a_ca_and_a_clients_certificate(tmp_path: Path, net: DryNetwork) -> None:
    certificates(tmp_path)
    tls = (
        f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n"
        "require_certificate true\n"
    )
    with mosquitto(tmp_path, listener=tls) as broker:
        address = f"mqtts://127.0.0.1:{broker.port}"
        asked = f"{address}?ca={tmp_path}/ca.pem&cert={tmp_path}/client.pem&key={tmp_path}/client.key"
        async with MqttControl(net, asked) as control:
            assert control.protocol == "5"
        with pytest.raises(ControlError, match="certificate verify failed"):
            await MqttControl(net, address).__aenter__()
        with pytest.raises(ControlError):
            await MqttControl(net, f"{address}?ca={tmp_path}/ca.pem", timeout_s=2).__aenter__()


@needs_openssl
async def test_files_that_are_no_certificates_are_named(tmp_path: Path, net: DryNetwork) -> None:
    certificates(tmp_path)
    (tmp_path / "empty.pem").write_text("nothing\n")
    for ca, cert, field in (("empty", "client", "ca"), ("ca", "empty", "cert")):
        control = MqttControl(
            net,
            "mqtts://127.0.0.1",
            ca=tmp_path / f"{ca}.pem",
            cert=tmp_path / f"{cert}.pem",
            key=tmp_path / "client.key",
        )
        with pytest.raises(RequestError) as caught:
            await control.__aenter__()
        assert caught.value.field == field


@needs_passwd
async def test_a_password_lets_in_and_is_told_nowhere(
    tmp_path: Path, net: DryNetwork, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("linkem_py", "linkem_py.mqtt", "linkem_py.mqtt.library", "mqtt", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    passwords = tmp_path / "passwords"
    await asyncio.to_thread(run, "mosquitto_passwd", "-c", "-b", passwords, "operator", SECRET)
    texts = []
    with mosquitto(tmp_path, options=f"allow_anonymous false\npassword_file {passwords}\n") as broker:
        good = f"mqtt://operator:{SECRET}@127.0.0.1:{broker.port}"
        async with MqttControl(net, good) as control:
            texts += [repr(control), repr(control.url), repr(control._session), str(control.url)]
        for wrong in (
            f"mqtt://operator:{SECRET}x@127.0.0.1:{broker.port}",
            f"mqtt://nobody:{SECRET}@127.0.0.1:{broker.port}",
        ):
            refused = MqttControl(net, wrong)
            with pytest.raises(ControlError, match="refuses us: Not authorized") as caught:
                await refused.__aenter__()
            texts += [*traceback.format_exception(caught.value), repr(caught.value.__dict__), repr(refused)]
    texts += [caplog.text, *capfd.readouterr()]
    assert not [text for text in texts if SECRET in text]
