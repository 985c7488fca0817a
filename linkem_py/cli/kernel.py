"""``linkem kernel``: builds guest kernels, lists and removes them."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from linkem_py.cli.console import BOLD, DIM, Cell, columns, notice, paint_stdout, print_json
from linkem_py.cli.errors import UsageError
from linkem_py.cli.progress import shown_progress
from linkem_py.cli.words import age

if TYPE_CHECKING:
    from linkem_py.guest import GuestKernel
    from linkem_py.guest.building import BuiltKernel

Tell = Callable[[str, float], None]

# Without a terminal a line is printed at least this much later than the last one, unless it is of another stage.
_LINE_S = 30.0


def fill(command: argparse.ArgumentParser) -> None:
    """The words and options after ``linkem kernel``."""
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    build = actions.add_parser("build", help="build one from source: some minutes, once", allow_abbrev=False)
    build.add_argument(
        "--source", metavar="SOURCE", default="package",
        help="package (the newest linux-source-* that apt knows; the default), a package's name, a tarball or a folder",
    )  # fmt: skip
    build.add_argument("--jobs", metavar="N", type=_jobs, help="compilers at once (default: one for each processor)")
    listing = actions.add_parser("list", help="list the guest kernels, the preferred first", allow_abbrev=False)
    remove = actions.add_parser("remove", help="remove kernels that were built", allow_abbrev=False)
    remove.add_argument("kernels", metavar="NAME", nargs="*", help="as linkem kernel list names it")
    remove.add_argument("--all", action="store_true", help="all that were built")
    for action in (build, listing, remove):
        action.add_argument("--json", action="store_true", help="print JSON, for programs")
        action.add_argument("-q", "--quiet", action="store_true", help="no notices")


def run(options: argparse.Namespace) -> int:
    """Do it. Exit status 0; errors are raised."""
    actions = {"build": _build, "list": _list, "remove": _remove}
    return actions[options.action](options)


def _build(options: argparse.Namespace) -> int:
    from linkem_py.guest.building import build_kernel

    quiet = options.quiet or options.json
    began = time.monotonic()
    with _ended_by_signals(), _progress(quiet=quiet) as tell:
        kernel = build_kernel(options.source, jobs=options.jobs, tell=tell)
    if kernel.lacking:
        notice(f"this source does not have {', '.join(kernel.lacking)}", quiet=quiet)
    if options.json:
        print_json(kernel.as_json())
    else:
        print(f"{kernel.program} (Linux {kernel.version}, ready after {age(time.monotonic() - began)})")
    return 0


def _list(options: argparse.Namespace) -> int:
    from linkem_py.guest import find_kernels
    from linkem_py.guest.building import built_kernels
    from linkem_py.guest.kernels import VIRTUAL_TIME, has_option

    built = {kernel.program: kernel for kernel in built_kernels()}
    found = [(kernel, has_option(kernel.path, VIRTUAL_TIME), built.get(kernel.path)) for kernel in find_kernels()]
    if options.json:
        print_json([_as_json(*each) for each in found])
        return 0
    for line in columns([_row(*each) for each in found], paint_stdout(), indent=0):
        print(line)
    if not found:
        notice("no guest kernel: linkem kernel build makes one", quiet=options.quiet)
    return 0


def _remove(options: argparse.Namespace) -> int:
    from linkem_py.guest.building import built_kernels, remove_kernel

    if bool(options.kernels) == options.all:
        raise UsageError("linkem kernel remove: name kernels, or --all (linkem kernel list names them)")
    names = [kernel.name for kernel in built_kernels()] if options.all else options.kernels
    removed = [remove_kernel(name) for name in names]
    if options.json:
        print_json([kernel.as_json() for kernel in removed])
    for kernel in removed:
        notice(f"removed {kernel.folder}", quiet=options.quiet or options.json)
    return 0


def _as_json(kernel: GuestKernel, virtual_time: bool, built: BuiltKernel | None) -> dict[str, object]:
    return {
        "path": str(kernel.path),
        "version": kernel.version,
        "found": kernel.source,
        "virtual_time": virtual_time,
        "built": None if built is None else built.as_json(),
    }


def _row(kernel: GuestKernel, virtual_time: bool, built: BuiltKernel | None) -> list[Cell]:
    name = kernel.source if built is None else built.name
    origin = "" if built is None else f"from {built.source}"
    return [(name, BOLD), kernel.version, "virtual time" if virtual_time else "", str(kernel.path), (origin, DIM)]


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Tell]:
    """Where progress is told: a bar on a terminal, else a line now and then."""
    if quiet or sys.stderr.isatty():
        with shown_progress(off=quiet) as tell:
            yield tell
        return
    began = time.monotonic()
    last_kind, last_at = "", began

    def tell_in_lines(stage: str, share: float) -> None:
        nonlocal last_kind, last_at
        now, kind = time.monotonic(), stage.partition(" ")[0]
        if kind != last_kind or now - last_at >= _LINE_S:
            last_kind, last_at = kind, now
            done = f": {share:.0%}" if 0 < share < 1 else ""
            notice(f"{'compiling' if kind == 'compiling' else stage}{done} ({age(now - began)})")

    yield tell_in_lines


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Whatever asks this process to end does so in order: compilers are ended, what is half done is removed."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _jobs(text: str) -> int:
    try:
        jobs = int(text)
    except ValueError:
        jobs = 0
    if jobs < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1: {text!r}")
    return jobs
