"""Where the networks of a run can be, and why not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from linkem_py.errors import LinkemError

if TYPE_CHECKING:
    from linkem_py.cli.kernel_choice import Decision

AUTO, HOST, GUEST = "auto", "host", "guest"

_VIRTUAL_VARIABLE = "LINKEM_VIRTUAL_TIME"

_OBSTACLE = pytest.StashKey[str]()
_TELL_ME_MORE = "(linkem doctor tells more)"


def asked(config: pytest.Config) -> str:
    """``auto``, ``host``, ``guest``, the path of a kernel, or empty: nobody has asked for anything.

    Raises `pytest.UsageError`.
    """
    text = str(config.getoption("linkem_kernel") or config.getini("linkem_kernel") or "")
    if not text or text in (AUTO, HOST, GUEST) or os.sep in text:
        return text
    raise pytest.UsageError(f"--linkem-kernel must be auto, host, guest or a path: {text!r}")


def wants_virtual_time(config: pytest.Config) -> bool:
    """Whether the run is to be in virtual time, there or not there yet. Raises `pytest.UsageError`."""
    if not (config.getoption("linkem_virtual_time") or config.getini("linkem_virtual_time")):
        if config.getoption("linkem_default_rate"):
            raise pytest.UsageError("--linkem-default-rate needs --linkem-virtual-time")
        return False
    if asked(config) == HOST:
        raise pytest.UsageError("--linkem-virtual-time needs a guest kernel, and --linkem-kernel=host is this one")
    return True


def in_virtual_time() -> bool:
    """Whether this process is in virtual time."""
    return os.environ.get(_VIRTUAL_VARIABLE) == "1"


def virtual_time_words(config: pytest.Config) -> list[str]:
    """The options of the guest for a run in virtual time. Raises `pytest.UsageError`."""
    from linkem_py.guest import find_virtual_time_kernel
    from linkem_py.guest.virtual_time import parse_rate

    text = asked(config)
    rate = str(config.getoption("linkem_default_rate") or config.getini("linkem_default_rate"))
    try:
        kernel = find_virtual_time_kernel(text if os.sep in text else None)
        parse_rate(rate)
    except LinkemError as error:
        raise pytest.UsageError(f"--linkem-virtual-time: {error}") from None
    except ValueError as error:
        raise pytest.UsageError(f"--linkem-default-rate: {error}") from None
    words = ["--kernel", str(kernel.path), "--memory", memory(config)]
    return [*words, "--virtual-time", "--default-rate", rate]


def memory(config: pytest.Config) -> str:
    """How much memory a guest gets. Raises `pytest.UsageError`."""
    from linkem_py.guest import parse_memory

    text = str(config.getoption("linkem_memory") or config.getini("linkem_memory"))
    try:
        parse_memory(text)
    except ValueError as error:
        raise pytest.UsageError(f"--linkem-memory: {error}") from None
    return text


def choose(text: str) -> Decision | None:
    """Where to run what `text` asks for; None if nowhere, and the tests are to say so.

    Raises `pytest.UsageError` if a guest was asked for and there is none.
    """
    from linkem_py.cli.facts import find_facts
    from linkem_py.cli.kernel_choice import decide

    try:
        return decide(text, find_facts(text))
    except LinkemError as error:
        if text in (AUTO, HOST):
            return None
        raise pytest.UsageError(f"--linkem-kernel {text}: {error}") from None


def obstacle(config: pytest.Config) -> str:
    """Why no network runs in this process, and what to do about it; empty if networks run. Found once."""
    if _OBSTACLE not in config.stash:
        config.stash[_OBSTACLE] = _find_obstacle(asked(config))
    return config.stash[_OBSTACLE]


def _find_obstacle(text: str) -> str:
    from linkem_py.kernel.probe import probe

    found = probe()
    if not found.missing:
        return ""
    if not found.privileged:
        problem = "this process may not create network namespaces"
    else:
        problem = f"this kernel ({found.release}) lacks {', '.join(found.missing)}"
    return f"{problem}: {remedy(text)} {_TELL_ME_MORE}"


def remedy(text: str) -> str:
    """What to do where this kernel cannot do what a test needs, if `text` is what was asked for."""
    if os.environ.get("LINKEM_GUEST"):
        return "use another guest kernel (--linkem-kernel=PATH)"
    if text in ("", HOST):
        return "run pytest with --linkem-kernel=auto, which uses a guest kernel where it must"
    from linkem_py.guest import find_kernels

    if not find_kernels():
        return "there is no guest kernel either; on Debian and Ubuntu, apt-get install user-mode-linux"
    return "run pytest with --linkem-kernel=guest"
