# Control of a running network from outside it.
#
#   wire/        the language: commands, replies, states, events, and their JSON (pure)
#   station      Station: a running network as the surfaces see it
#   local        LocalStation: a network in this process
#   dispatcher   commands in order, a backlog in one batch
#   redeliveries commands that came before, and what was answered
#   listeners    events for whoever listens, bounded
#   server       Server: a station on byte streams: the control socket, or a guest's line
#   connection   one client of it, and the protocol
#   execution    a program that such a client runs in a peer
#   client       RemoteStation: the other end of that stream
#   remote_program RemoteProgram: a program at the other end of it
#   lines        lines on a byte stream, bounded both ways
#   program      Program, Programs: the port to programs in peers
#   programs     LocalPrograms: programs in a network in this process; terminal is run by it, sessions end them
#   mux          Mux: several such streams, channels, over one; frames are its language, channel one of them
#   guest        GuestNetwork: a network in a guest kernel, from outside
#   capturing    CaptureProgram: a capture as such a program
#   metrics/     Metrics: numbers for Prometheus
#   mqtt/        MQTT: MqttControl, and a broker for it
#   remote_mqtt  MqttStation: a network at the other end of a broker
#   registry     the networks that run on this machine, by name
#   names        names for their namespaces, for `ip netns exec`
"""Control of running networks: MQTT, a control socket, names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linkem_py.control.metrics.metrics import Metrics
    from linkem_py.control.mqtt.control import MqttControl

__all__ = ["Metrics", "MqttControl"]

_MODULES = {"Metrics": "metrics.metrics", "MqttControl": "mqtt.control"}


def __getattr__(name: str) -> Any:
    # Loaded when first used: the libraries of one surface are no concern of the others.
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
