"""``linkem doctor``: looks at this machine, and says what it can do."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from linkem_py.cli import diagnosis, facts, remedies
from linkem_py.cli.console import paint_stdout, print_json
from linkem_py.cli.kernel_choice import AUTO, Kernel
from linkem_py.errors import GuestError

# A module's directory and programs that root uses are not on every user's PATH.
_MORE_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_GUEST_TIMEOUT_S = 60.0


def run(options: argparse.Namespace) -> int:
    """Exit status 0 if `linkem run` can work, else 1."""
    found = examine(try_guest=not options.no_guest)
    if options.json:
        print_json(found.as_json())
    else:
        for line in diagnosis.report(found, paint_stdout()):
            print(line)
    return 0 if found.outlook[0] else 1


def examine(*, try_guest: bool) -> diagnosis.Found:
    """Look at everything; boots the preferred guest kernel if `try_guest`."""
    found = diagnosis.Found(facts=facts.find_facts(AUTO, nat=True), user=os.geteuid(), tools=_tools())
    found = attrs.evolve(found, loadable=_loadable(found.lacking))
    if not try_guest or not found.facts.guests:
        return found
    kernel, error = _in_guest()
    return attrs.evolve(found, guest_tried=True, guest=kernel, guest_error=error)


def _tools() -> dict[str, str | None]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PATHS])
    return {name: shutil.which(name, path=path) for name, _ in diagnosis.TOOLS}


def _loadable(names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these parts have modules for this very kernel on the disk."""
    try:
        index = Path(f"/lib/modules/{os.uname().release}/modules.dep").read_text(encoding="utf-8")
    except OSError:
        return ()
    there = {Path(line.partition(":")[0]).name.partition(".")[0] for line in index.splitlines()}
    return tuple(name for name in names if remedies.BY_NAME[name].module in there)


def _in_guest() -> tuple[Kernel | None, str]:
    """What the preferred guest kernel can do; or None and why it cannot be said."""
    from linkem_py.guest import run_in_guest

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        try:
            status = run_in_guest(
                [sys.executable, "-m", "linkem_py.cli.main", "probe"],
                timeout_s=_GUEST_TIMEOUT_S,
                stdin=nothing.fileno(),
                stdout=out.fileno(),
                stderr=err.fileno(),
            )
        except GuestError as error:
            return None, str(error)
        out.seek(0)
        err.seek(0)
        if status == 0:
            return Kernel.from_json(json.loads(out.read())), ""
        said = err.read().decode(errors="replace").strip().rpartition("\n")[2]
    return None, said or f"the probe ended with status {status}"


def probe(_words: Sequence[str] = ()) -> int:
    """``linkem probe``: this kernel's capabilities, for this process, as JSON."""
    print_json(facts.probe_as_json(nat=True))
    return 0
