"""Where the broker is, and who we are to it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import attrs

from linkem_py.errors import RequestError

USERNAME_VARIABLE = "LINKEM_MQTT_USERNAME"
PASSWORD_VARIABLE = "LINKEM_MQTT_PASSWORD"
PASSWORD_FILE_VARIABLE = "LINKEM_MQTT_PASSWORD_FILE"

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
DEFAULT_WEBSOCKET_PATH = "/mqtt"
PROTOCOLS = ("5", "3.1.1")
_PARAMETERS = ("ca", "cert", "key", "password_file", "protocol")
_MOST_PASSWORD_BYTES = 65535  # MQTT 5, 3.1.3.6: Binary Data


@attrs.frozen(kw_only=True)
class MqttUrl:
    """A broker's address with what is needed to get in. The password is in no text made of it.

    Attributes
    ----------
    scheme : ``mqtt``, ``mqtts``, ``ws`` or ``wss``
    host, port : of the broker
    path : of the WebSocket, empty for plain TCP
    username, password : None if there is none
    ca : file of the certificates to trust, instead of the system's
    cert, key : files of the client's certificate and its key (the key may be in the certificate's file)
    protocol : ``5`` or ``3.1.1``; None to find out
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    protocol: str | None = None

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        username: str | None = None,
        password: str | None = None,
        password_file: str | Path | None = None,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> MqttUrl:
        """From ``mqtt://user:password@host:1883`` and the like; user and password are percent-decoded.

        Default ports: mqtt 1883, mqtts 8883, ws 80, wss 443; a WebSocket's default path is ``/mqtt``.
        Parameters: ``?ca=FILE&cert=FILE&key=FILE&password_file=FILE&protocol=5``. An argument here goes before
        the URL, and that before the environment (``LINKEM_MQTT_USERNAME``, ``LINKEM_MQTT_PASSWORD``,
        ``LINKEM_MQTT_PASSWORD_FILE``).

        Raises `RequestError` for anything wrong with it; the value it names has no password in it.
        """
        parts = _split(text)
        parameters = _parameters(text, parts)
        files = {
            name: _file(name, given if given is not None else parameters.get(name))
            for name, given in (("ca", ca), ("cert", cert), ("key", key))
        }
        _check_tls(text, parts.scheme, files)
        user = username if username is not None else _decoded(parts.username) or environ.get(USERNAME_VARIABLE)
        secret = _password(
            [
                (password, password_file),
                (_decoded(parts.password), parameters.get("password_file")),
                (environ.get(PASSWORD_VARIABLE), environ.get(PASSWORD_FILE_VARIABLE)),
            ]
        )
        if secret is not None and user is None:
            # Not in MQTT 3.1.1 (3.1.2.9), and a slip of the pen in MQTT 5.
            raise RequestError("username", "is needed when there is a password", None, where=redacted(text))
        return cls(
            scheme=parts.scheme,
            host=parts.hostname or "",
            port=parts.port or DEFAULT_PORTS[parts.scheme],
            path=(parts.path.rstrip("/") or DEFAULT_WEBSOCKET_PATH) if parts.scheme in ("ws", "wss") else "",
            username=user,
            password=secret,
            protocol=_protocol(text, parameters.get("protocol")),
            **files,
        )

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("mqtts", "wss")

    @property
    def transport(self) -> Literal["tcp", "websockets"]:
        """The transport in the client library's words."""
        return "websockets" if self.scheme in ("ws", "wss") else "tcp"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def redacted(text: str) -> str:
    """The URL without user, password and parameters, however broken it is."""
    # Up to the last @: a password with a forgotten %-escape ends up in any part of a split URL.
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.DOTALL).partition("?")[0]


def _split(text: str) -> SplitResult:
    shown = redacted(text)
    problem = ""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        # The library's message may quote a piece of the password, so it goes no further than this.
        problem = "has a port that is no number from 1 to 65535" if "ort" in str(error) else "is not a URL"
    if problem:
        raise RequestError("mqtt", problem, shown)
    if parts.scheme not in DEFAULT_PORTS:
        raise RequestError("mqtt", "must start with mqtt://, mqtts://, ws:// or wss://", shown)
    if not parts.hostname:
        raise RequestError("mqtt", "must name a host", shown)
    if port == 0:
        raise RequestError("mqtt", "has a port that is no number from 1 to 65535", shown)
    if parts.scheme in ("mqtt", "mqtts") and parts.path.strip("/"):
        raise RequestError("mqtt", "must not have a path, unless it is a WebSocket's", shown)
    if parts.fragment:
        raise RequestError("mqtt", "must not have a fragment (write # as %23)", shown.partition("#")[0])
    return parts


def _parameters(text: str, parts: SplitResult) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _PARAMETERS:
            # Only the name: the value may be a password that was meant for somewhere else.
            raise RequestError("mqtt", f"has an unknown parameter; there are {', '.join(_PARAMETERS)}", name)
        if not value or name in found:
            raise RequestError(name, "must be given once, with a value", value, where=redacted(text))
        found[name] = value
    return found


def _check_tls(text: str, scheme: str, files: Mapping[str, Path | None]) -> None:
    for name, file in files.items():
        if file is not None and scheme not in ("mqtts", "wss"):
            raise RequestError(name, "is only of use with mqtts:// and wss://", str(file), where=redacted(text))
    if files["key"] is not None and files["cert"] is None:
        raise RequestError("key", "needs a cert that it belongs to", str(files["key"]), where=redacted(text))


def _protocol(text: str, given: str | None) -> str | None:
    if given is not None and given not in PROTOCOLS:
        raise RequestError("protocol", f"must be {' or '.join(PROTOCOLS)}", given, where=redacted(text))
    return given


def _file(name: str, given: str | Path | None) -> Path | None:
    if given is None:
        return None
    file = Path(given).expanduser()
    if not file.is_file():
        raise RequestError(name, "must be a file", str(file))
    return file


def _decoded(part: str | None) -> str | None:
    return None if part is None else unquote(part)


def _password(sources: list[tuple[str | None, str | Path | None]]) -> str | None:
    for given, file in sources:
        secret = given if given is not None else None if file is None else _read(file)
        if secret is None:
            continue
        if len(secret.encode(errors="surrogatepass")) > _MOST_PASSWORD_BYTES:
            raise RequestError("password", f"must have at most {_MOST_PASSWORD_BYTES} bytes", "***")
        return secret
    return None


def _read(file: str | Path) -> str:
    path = Path(file).expanduser()
    try:
        # One trailing newline is the editor's; anything else may be part of the password.
        return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise RequestError("password_file", f"must be a readable text file ({reason})", str(path)) from None
