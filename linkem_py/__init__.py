"""linkem_py emulates a network of peers on one Linux machine.

A `Topology` says who is connected to whom and how well; ``async with Network(topology) as net``
runs it. See the README for a first example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from linkem_py.control import Metrics, MqttControl
    from linkem_py.errors import (
        CapabilityError,
        ControlError,
        DuplicateRestrictionError,
        GuestError,
        GuestUnavailableError,
        KernelError,
        LinkemError,
        OperationError,
        PeerProcessError,
        PrivilegeError,
        RequestError,
        ToolMissingError,
        TopologyError,
    )
    from linkem_py.model import (
        Access,
        Capabilities,
        CrossTraffic,
        DelayTable,
        FourState,
        GilbertElliott,
        Impairment,
        Link,
        Slot,
        Topology,
    )
    from linkem_py.runtime import (
        Applied,
        CapabilityWarning,
        CrossTrafficStats,
        LinkStats,
        Network,
        NetworkPeer,
        NetworkStats,
        read_trace,
    )

__all__ = [
    "Access",
    "Applied",
    "Capabilities",
    "CapabilityError",
    "CapabilityWarning",
    "ControlError",
    "CrossTraffic",
    "CrossTrafficStats",
    "DelayTable",
    "DuplicateRestrictionError",
    "FourState",
    "GilbertElliott",
    "GuestError",
    "GuestUnavailableError",
    "Impairment",
    "KernelError",
    "Link",
    "LinkStats",
    "LinkemError",
    "Metrics",
    "MqttControl",
    "Network",
    "NetworkPeer",
    "NetworkStats",
    "OperationError",
    "PeerProcessError",
    "PrivilegeError",
    "RequestError",
    "Slot",
    "ToolMissingError",
    "Topology",
    "TopologyError",
    "__version__",
    "read_trace",
]

_PACKAGES = {
    "control": {"Metrics", "MqttControl"},
    "model": {
        "Access",
        "Capabilities",
        "CrossTraffic",
        "DelayTable",
        "FourState",
        "GilbertElliott",
        "Impairment",
        "Link",
        "Slot",
        "Topology",
    },
    "runtime": {
        "Applied",
        "CapabilityWarning",
        "CrossTrafficStats",
        "LinkStats",
        "Network",
        "NetworkPeer",
        "NetworkStats",
        "read_trace",
    },
}


def __getattr__(name: str) -> Any:
    # Names are loaded when they are first used, so that `linkem guest` starts without numpy and networkx.
    import importlib

    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package = next((package for package, names in _PACKAGES.items() if name in names), "errors")
    value = getattr(importlib.import_module(f"linkem_py.{package}"), name)
    globals()[name] = value
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("linkem_py")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0"


def __dir__() -> list[str]:
    return sorted(__all__)
