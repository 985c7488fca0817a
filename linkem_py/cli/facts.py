"""Finds out what this machine can do, by trying."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linkem_py.cli import user_namespace
from linkem_py.cli.kernel_choice import AUTO, GUEST, HOST, Facts, Kernel
from linkem_py.cli.remedies import distribution_of
from linkem_py.kernel import system

if TYPE_CHECKING:
    from linkem_py.guest import GuestKernel

INSIDE_VARIABLE = "LINKEM_GUEST"  # linkem_py.guest has it too: not imported for its own sake


def inside_guest() -> bool:
    """Whether this process runs in a guest."""
    return bool(os.environ.get(INSIDE_VARIABLE))


def find_facts(asked: str, *, nat: bool = False) -> Facts:
    """What matters for a choice: of the host unless a guest is `asked` for, and of guests unless the host is.

    Whether kernels have NAT is tried only if `nat`, for it loads modules and takes a while.
    Where this process is not privileged it has no second thread afterwards that it had not before.
    Raises `GuestUnavailableError` if `asked` is the path of something that is not a kernel.
    """
    inside = inside_guest()
    host = namespaced = None
    refusal = ""
    if asked in (AUTO, HOST):
        host = host_kernel(nat=nat)
        if not host.privileged:
            namespaced, refusal = namespaced_kernel(nat=nat)
    return Facts(
        inside_guest=inside,
        host=host,
        namespaced=namespaced,
        refusal=refusal,
        guests=() if inside or asked == HOST else guest_kernels(asked),
        distribution=distribution(),
    )


def guest_kernels(asked: str = AUTO) -> tuple[GuestKernel, ...]:
    """Guest kernels on this machine, the preferred first; or the one whose path is `asked` for."""
    from linkem_py.guest import find_kernel, find_kernels

    return find_kernels() if asked in (AUTO, GUEST) else (find_kernel(asked),)


def host_kernel(*, nat: bool = False) -> Kernel:
    """What this kernel lets this process do as it is."""
    # Tried in a child: the probe itself would import numpy, which starts threads, even where it is in vain.
    refused = _in_child(lambda: system.unshare(system.CLONE_NEWNET))
    if isinstance(refused, OSError):
        return Kernel.unprivileged(os.uname().release)
    return Kernel.from_json(probe_as_json(nat=nat))


def namespaced_kernel(*, nat: bool = False) -> tuple[Kernel | None, str]:
    """What this kernel lets this user do in a user namespace; or None and why there can be none.

    Found in a child, so that this process stays as it is and can still enter one itself.
    """

    def look() -> dict[str, Any]:
        user_namespace.enter()
        return probe_as_json(nat=nat)

    found = _in_child(look)
    if isinstance(found, OSError):
        return None, os.strerror(found.errno) if found.errno else str(found)
    kernel = Kernel.from_json(found)
    return (kernel, "") if kernel.privileged else (None, "it would have no privileges")


def probe_as_json(*, nat: bool = False) -> dict[str, Any]:
    """The capabilities that `kernel.probe` finds, and ``missing``."""
    import attrs

    from linkem_py.kernel.probe import probe

    found = probe(nat=nat)
    return {**attrs.asdict(found), "missing": list(found.missing)}


def distribution() -> str:
    """Whose kernel this is, as in `remedies.DISTRIBUTIONS`; empty if it is not that of the files around.

    In a container, a virtual machine with a kernel from outside or WSL, no package of the
    distribution would change the kernel: there are no modules for it among the files.
    """
    if not Path(f"/lib/modules/{os.uname().release}").is_dir():
        return ""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            return distribution_of(Path(path).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return ""


def _in_child(function: Callable[[], Any]) -> Any:
    """What a function returns (in JSON) that is called in a child process; an OSError if it raised one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(writer, function)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        text = answers.read()
    os.waitpid(child, 0)
    answer = json.loads(text or '{"errno": 0, "text": "the attempt ended without an answer"}')
    if "value" in answer:
        return answer["value"]
    return OSError(answer["errno"], answer["text"])


def _answer(writer: int, function: Callable[[], Any]) -> None:
    """The child's part: never returns, whatever happens."""
    try:
        try:
            answer = {"value": function()}
        except OSError as error:
            answer = {"errno": error.errno or 0, "text": error.strerror or str(error)}
        except Exception as error:
            answer = {"errno": 0, "text": f"{type(error).__name__}: {error}"}
        with os.fdopen(writer, "wb") as answers:
            answers.write(json.dumps(answer).encode())
    finally:
        os._exit(0)
