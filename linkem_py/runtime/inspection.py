"""What the kernel has in a namespace, decoded by pyroute2: complete, for looking, not for speed."""

from __future__ import annotations

from typing import Any


def look() -> dict[str, list[dict[str, Any]]]:
    """Links, addresses, routes, rules, neighbours, qdiscs and classes of the calling thread's namespace.

    Each is a list of plain mappings: pyroute2's header fields, and its attributes by their names.
    """
    from pyroute2 import IPRoute  # takes a third of a second to import, and few programs look

    with IPRoute() as route:
        indexes = [link["index"] for link in route.get_links()]
        return {
            "links": _plain(route.get_links()),
            "addresses": _plain(route.get_addr()),
            "routes": _plain(route.get_routes()),
            "rules": _plain(route.get_rules()),
            "neighbours": _plain(route.get_neighbours()),
            "qdiscs": _plain(route.get_qdiscs()),
            "classes": [row for index in indexes for row in _plain(route.get_classes(index=index))],
        }


def _plain(messages: Any) -> list[dict[str, Any]]:
    return [_value(message) for message in messages]


def _value(value: Any) -> Any:
    if hasattr(value, "get_attrs") or isinstance(value, dict):
        fields = {key: _value(field) for key, field in value.items() if key not in ("attrs", "header", "event")}
        fields.update({pair[0]: _value(pair[1]) for pair in value.get("attrs", ())})
        return fields
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    return value if isinstance(value, str | int | float | bytes | None) else str(value)
