"""What the kernel is to have, and whether a tree gave it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

PATH = Path(__file__).parent / "kernel.config"

# Without these no guest runs, or no network in it. What else a tree lacks is only told.
ESSENTIAL = frozenset(
    f"CONFIG_{name}"
    for name in (
        "HOSTFS", "SSL", "NULL_CHAN", "DEVTMPFS", "PROC_FS", "SYSFS", "TMPFS", "NET_NS", "PID_NS", "UNIX",
        "PACKET", "INET", "BRIDGE", "VETH", "NET_SCH_HTB", "NET_SCH_NETEM", "NET_CLS_U32",
    )
)  # fmt: skip


def wanted(text: str | None = None) -> tuple[str, ...]:
    """The options that are to be built in, in the order of the file (or `text`)."""
    return tuple(name for name, value in _options(_text(text)) if value == "y")


def digest(text: str | None = None) -> str:
    """Eight digits that change with the options; comments do not count."""
    options = "\n".join(f"{name}={value}" for name, value in sorted(_options(_text(text))))
    return hashlib.sha256(options.encode()).hexdigest()[:8]


def lacking(config: str, text: str | None = None) -> tuple[str, ...]:
    """The wanted options that are not in `config`, a kernel's complete configuration."""
    given = {name for name, value in _options(config) if value == "y"}
    return tuple(name for name in wanted(text) if name not in given)


def has(config: str, option: str) -> bool:
    """Whether `config` has an option built in; named with or without ``CONFIG_``."""
    return f"CONFIG_{option.removeprefix('CONFIG_')}=y" in config.splitlines()


def _text(text: str | None) -> str:
    return PATH.read_text(encoding="utf-8") if text is None else text


def _options(text: str) -> Iterable[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.startswith("CONFIG_"):
            yield name, value
