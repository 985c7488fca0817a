# A running network on MQTT.
#
#   control     MqttControl: a station on a broker, from entering to leaving
#   url         MqttUrl: where the broker is, and who we are to it
#   session     Session: connected again and again, what waits kept meanwhile
#   connection  Connection: one connection to the broker, MQTT 5 or 3.1.1
#   tls         certificates of a URL
#   backoff     how long to wait before the next try (pure)
#   outbox      what waits to be published, bounded (pure)
#   inbound     from a message to a command or a refusal (pure)
#   states      what the retained topics of a network should hold
#   retained    the latest payload of each, and which are to be told (pure)
#   broker      EmbeddedBroker: a broker of our own
#   amqtt_broker  the library's, with what it does wrong put right
"""Control of running networks by MQTT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linkem_py.control.mqtt.broker import EmbeddedBroker
    from linkem_py.control.mqtt.control import MqttControl
    from linkem_py.control.mqtt.url import MqttUrl

__all__ = ["EmbeddedBroker", "MqttControl", "MqttUrl"]

_MODULES = {"EmbeddedBroker": "broker", "MqttControl": "control", "MqttUrl": "url"}


def __getattr__(name: str) -> Any:
    # Loaded when first used: a URL can be checked without the libraries that open it.
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
