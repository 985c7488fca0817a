from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.mqtt.url import MqttUrl, redacted
from linkem_py.errors import RequestError

SECRET = "s3cr3t-w0rd"


def parse(text: str, **options: object) -> MqttUrl:
    return MqttUrl.parse(text, **{"environ": {}, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "tls"),
    [
        ("mqtt://host", "host", 1883, "", False),
        ("mqtt://host/", "host", 1883, "", False),
        ("mqtts://host", "host", 8883, "", True),
        ("ws://host", "host", 80, "/mqtt", False),
        ("wss://host", "host", 443, "/mqtt", True),
        ("ws://host:9001/some/path", "host", 9001, "/some/path", False),
        ("mqtt://[::1]:1884", "::1", 1884, "", False),
        ("MQTT://Host:1883", "host", 1883, "", False),
    ],
)
def test_address(text: str, host: str, port: int, path: str, tls: bool) -> None:
    url = parse(text)
    assert (url.host, url.port, url.path, url.tls) == (host, port, path, tls)


def test_user_and_password_are_percent_decoded() -> None:
    url = parse("mqtt://us%40er:p%2Fa%3Ass%25@host")
    assert (url.username, url.password) == ("us@er", "p/a:ss%")


def test_an_argument_goes_before_the_url_and_that_before_the_environment(tmp_path: Path) -> None:
    environ = {"LINKEM_MQTT_USERNAME": "eve", "LINKEM_MQTT_PASSWORD": "from-environment"}
    assert parse("mqtt://host", environ=environ).password == "from-environment"
    url = parse("mqtt://adam:from-url@host", environ=environ)
    assert (url.username, url.password) == ("adam", "from-url")
    url = parse("mqtt://adam:from-url@host", environ=environ, username="eva", password="from-argument")
    assert (url.username, url.password) == ("eva", "from-argument")


def test_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" with spaces \n")
    assert parse(f"mqtt://u@host?password_file={file}").password == " with spaces "
    assert parse("mqtt://u@host", password_file=file).password == " with spaces "
    assert parse("mqtt://u@host", environ={"LINKEM_MQTT_PASSWORD_FILE": str(file)}).password == " with spaces "


def test_certificates_from_parameters_and_arguments(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    url = parse(f"mqtts://host?ca={tmp_path}/ca&cert={tmp_path}/cert", key=tmp_path / "key")
    assert (url.ca, url.cert, url.key) == (tmp_path / "ca", tmp_path / "cert", tmp_path / "key")


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("host:1883", "mqtt", "must start with mqtt://"),
        ("http://host", "mqtt", "must start with mqtt://"),
        ("", "mqtt", "must start with mqtt://"),
        ("mqtt://", "mqtt", "must name a host"),
        ("mqtt://:1883", "mqtt", "must name a host"),
        ("mqtt://host:0", "mqtt", "port"),
        ("mqtt://host:99999", "mqtt", "port"),
        ("mqtt://host:http", "mqtt", "port"),
        ("mqtt://[::1", "mqtt", "is not a URL"),
        ("mqtt://host/path", "mqtt", "must not have a path"),
        ("mqtt://host#fragment", "mqtt", "fragment"),
        ("mqtt://host?password=" + SECRET, "mqtt", "unknown parameter"),
        ("mqtt://host?ca=/etc/passwd", "ca", "only of use with mqtts"),
        ("mqtts://host?ca=", "ca", "must be given once"),
        ("mqtts://host?ca=/etc/passwd&ca=/etc/group", "ca", "must be given once"),
        ("mqtts://host?ca=/does/not/exist", "ca", "must be a file"),
        ("mqtts://host?key=/etc/passwd", "key", "needs a cert"),
        ("mqtt://host?protocol=4", "protocol", "must be 5 or 3.1.1"),
        ("mqtt://u@host?password_file=/does/not/exist", "password_file", "must be a readable"),
        (f"mqtt://:{SECRET}@host", "username", "is needed when there is a password"),
        (f"mqtt://u:{SECRET}/x@host", "mqtt", "port"),
        (f"mqtt://u:{SECRET}@ho st:1x", "mqtt", "port"),
        (f"mqtt://u:{SECRET}#x@host", "mqtt", "port"),
        (f"mqtt://u:{SECRET}?x@host", "mqtt", "port"),
        (f"u:{SECRET}@host", "mqtt", "must start with"),
    ],
)
def test_what_is_wrong_is_named_without_a_password(text: str, field: str, rule: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(text)
    assert caught.value.field == field
    assert rule in caught.value.rule
    # Neither in the message nor in anything that a traceback shows.
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_no_text_has_the_password() -> None:
    url = parse(f"mqtt://user:{SECRET}@host")
    assert url.password == SECRET
    for text in (repr(url), str(url), f"{url}"):
        assert SECRET not in text


@given(st.text(min_size=1), st.text())
def test_redacting_takes_everything_before_the_host(user: str, secret: str) -> None:
    text = redacted(f"mqtt://{user}:{secret}@host")
    assert text == "mqtt://***@host"


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(RequestError):
        parse(text)
