"""Certificates: whom to trust, and who we are."""

from __future__ import annotations

import ssl

from linkem_py.control.mqtt.url import MqttUrl
from linkem_py.errors import RequestError


class _Socket(ssl.SSLSocket):
    """One that does not stay open when there is no agreement: the library would forget it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def tls_context(url: MqttUrl) -> ssl.SSLContext:
    """Certificates of `url`, or the system's. Raises `RequestError` for files that are none."""
    try:
        context = ssl.create_default_context(cafile=url.ca)
    except (OSError, ssl.SSLError) as error:
        raise RequestError("ca", f"must be a file of certificates ({_said(error)})", str(url.ca)) from None
    context.sslsocket_class = _Socket
    if url.cert is not None:
        try:
            # An encrypted key would have the library ask on the terminal.
            context.load_cert_chain(url.cert, url.key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise RequestError(
                "cert", f"must be a certificate with its unencrypted key ({_said(error)})", str(url.cert)
            ) from None
    return context


def _said(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
