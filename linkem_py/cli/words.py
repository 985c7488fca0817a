"""Links, impairments and events in words: a unit on every number. Pure, and from plain values.

An impairment is here what the wire has of it: a mapping of the fields that are set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

DEFAULT_SEGMENT = "lan"  # as in linkem_py.model, which is not imported for its sake

_UNITS = {"ms": "ms", "pct": "%", "kbit": "kbit/s", "kb": "kB", "packets": "packets"}
_LOSS = {"gilbert_elliott": "Gilbert-Elliott", "four_state": "four-state"}


def link(source: str, destination: str, segment: str = DEFAULT_SEGMENT) -> str:
    """``a->b``; with the segment unless it is the default one."""
    return f"{source}->{destination}" + ("" if segment == DEFAULT_SEGMENT else f" ({segment})")


def impairment(fields: Mapping[str, Any]) -> str:
    """``delay 80 ms, loss 2 %``; ``unimpaired`` if there is none."""
    return ", ".join(_field(name, value) for name, value in fields.items()) or "unimpaired"


def state(row: Mapping[str, Any]) -> str:
    """A link's state: its impairment, which schedule it has, and whether it is down."""
    text = impairment(row["impairment"])
    if "schedule" in row:
        text += f"; schedule {schedule(row['schedule'])}"
    return f"down; {text}" if row.get("down") else text


def schedule(running: Mapping[str, Any]) -> str:
    """Which schedule: the name of a preset or of a trace, or else what kind it is."""
    return str(running.get("name") or str(running["type"]).replace("_", " "))


def end(peer: str, segment: str = DEFAULT_SEGMENT) -> str:
    """A peer's interface: ``a``; with the segment unless it is the default one."""
    return peer if segment == DEFAULT_SEGMENT else f"{peer} ({segment})"


def access(fields: Mapping[str, Any]) -> str:
    """``(uplink 4 Mbit/s)``; empty if there is none."""
    return f"({impairment(fields)})" if fields else ""


def gateway(row: Mapping[str, Any]) -> str:
    """``gateway from home to wan, no NAT``."""
    return f"gateway from {row['inside']} to {row['outside']}, {row['nat'] or 'no NAT'}"


def _field(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name.replace("_", " ") if value else f"{name.replace('_', ' ')} off"
    if isinstance(value, Mapping):
        return f"{name} {_object(value)}"
    stem, _, unit = name.rpartition("_")
    if unit not in _UNITS:
        return f"{name.replace('_', ' ')} {value}"
    if unit == "kbit":
        return f"{stem} {rate(value * 1000)}"
    return f"{stem.replace('_', ' ')} {number(value)} {_UNITS[unit]}"


def _object(value: Mapping[str, Any]) -> str:
    if "model" in value:
        model = _LOSS.get(str(value["model"]), str(value["model"]))
        parts = (
            f"{name.removesuffix('_pct').replace('_', ' ')} {number(part)} %"
            for name, part in value.items()
            if name != "model" and part is not None
        )
        return f"{model} ({', '.join(parts)})"
    return f"table {value['name']!r}" if "name" in value else "table"


def number(value: float) -> str:
    """With commas between thousands, without digits that say nothing: ``1,500``, ``0.25``."""
    text = f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
    return text if float(text.replace(",", "")) or not value else f"{value:.3g}"


def rate(bits_per_second: float) -> str:
    """``4.2 Mbit/s``; four digits."""
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits_per_second >= size:
            return f"{bits_per_second / size:.4g} {unit}"
    return f"{bits_per_second:.4g} bit/s"


def size(count: float) -> str:
    """Bytes: ``1.5 MB``."""
    for least, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= least:
            return f"{count / least:.4g} {unit}"
    return f"{count:.0f} B"


def backlog(packets: int, in_bytes: int) -> str:
    """What waits, or is on its way: ``12 packets, 18 kB``; empty if nothing."""
    return f"{packets:,} packet{'' if packets == 1 else 's'}, {size(in_bytes)}" if packets else ""


def age(seconds: float) -> str:
    """How long: ``42 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = max(0, int(seconds))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, length in units:
        if parts or whole >= length or unit == "s":
            parts.append(f"{whole // length} {unit}")
            whole %= length
    kept = [part for part in parts[:2] if not part.startswith("0 ")]
    return " ".join(kept) or "0 s"


def clock(at: float | None) -> str:
    """A moment in local time: ``14:03:07.123``."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]


def groups(found: Sequence[Sequence[str]]) -> str:
    """``a, b | c``."""
    return " | ".join(", ".join(group) for group in found)
