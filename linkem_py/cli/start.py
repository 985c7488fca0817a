"""What brings a network up, before there is one: a kernel, the topology, and room for both."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from linkem_py.cli import facts, user_namespace, virtual
from linkem_py.cli.console import notice
from linkem_py.cli.errors import UsageError
from linkem_py.cli.kernel_choice import HOST, Decision, Facts, Kernel, Place, decide
from linkem_py.errors import LinkemError

if TYPE_CHECKING:
    from linkem_py.cli.described import Described
    from linkem_py.model import Topology
    from linkem_py.runtime import Recording

MODULE = "linkem_py.cli.main"


@attrs.frozen
class Start:
    """What to run.

    Attributes
    ----------
    topology, decision : the network, and where it is to run
    duration_s : for how long; None: until it is ended
    recording : to be replayed in it, if there is one
    """

    topology: Topology
    decision: Decision
    duration_s: float | None = None
    recording: Recording | None = None


def _described(options: argparse.Namespace) -> Described:
    from linkem_py.cli import described

    return described.load(options)


def prepare(options: argparse.Namespace, load: Callable[[argparse.Namespace], Described] = _described) -> Start | int:
    """Find out where to run, enter a user namespace if it takes one, load the network that is described.

    Where this process cannot enter one, the whole command line runs in another process, whose exit
    status is returned. Raises what `decide` and `load` do.
    """
    if virtual.is_wanted(options):
        decision = virtual.decide(options)
        topology, duration_s = _load(options, load)
        return Start(topology, decision, duration_s)
    virtual.repeat_randomness(options.seed)
    found = facts.find_facts(options.kernel)
    # Before anything is imported that starts a thread; what the topology needs is not known yet.
    early = _try_to_decide(options.kernel, found)
    if early is not None and early.place is Place.NAMESPACE:
        if not (options.owner and user_namespace.is_single_threaded()):
            return subprocess.call([sys.executable, "-m", MODULE, *options.words])
        user_namespace.enter()
        found = found.entered()
    topology, duration_s = _load(options, load)
    decision = _decide_for(topology, options.kernel, found)
    if decision.place is Place.NAMESPACE:
        raise LinkemError("this process has threads and cannot enter a user namespace")
    if early is not None and early.place is Place.NAMESPACE and decision.place is Place.HERE:
        decision = attrs.evolve(decision, place=Place.NAMESPACE)
    return Start(topology, decision, duration_s)


def _load(
    options: argparse.Namespace, load: Callable[[argparse.Namespace], Described]
) -> tuple[Topology, float | None]:
    """The topology, and for how long."""
    duration_s = parse_seconds(options.duration)
    network = load(options)
    if duration_s is None and network.scenario is not None:
        duration_s = network.scenario.duration_s
    if options.record is not None:
        options.record = recording_file(options.record)
    return network.topology, duration_s


def recording_file(name: str) -> str:
    """The whole path of a file to record into, which is there from then on. Raises `UsageError`.

    So that it is known early whether it can be; and where a guest covers a folder, only what was there before it
    started is the host's.
    """
    path = os.path.abspath(name)
    try:
        with open(path, "ab"):
            return path
    except OSError as error:
        raise UsageError(f"--record must be a file to write to ({error.strerror}): {name!r}") from error


def run_again_in_guest(options: argparse.Namespace, decision: Decision) -> int:
    """The same command line once more, in a guest; its output and exit status are passed on."""
    from linkem_py.cli.arguments import split
    from linkem_py.guest import run_in_guest

    notice(decision.notice, quiet=options.quiet or options.json or not decision.notice)
    head, command = split(options.words)
    words = [*head, "--kernel", HOST]
    if command is not None:
        words += ["--", *command]
    try:
        return run_in_guest(
            [sys.executable, "-m", MODULE, *words],
            kernel=decision.guest,
            memory=options.memory,
            hand_over=options.owner,  # or a caller would be left without its standard output
            virtual=virtual.for_guest(options),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def parse_seconds(text: str | None, option: str = "--duration") -> float | None:
    """A duration from the command line, in seconds. Raises `UsageError`."""
    from linkem_py.errors import TopologyError
    from linkem_py.model import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text)
    except TopologyError as error:
        raise UsageError(f"{option} {error.rule}: {text!r}") from error


@contextlib.contextmanager
def warnings_as_notices(*, quiet: bool) -> Iterator[None]:
    """Warnings in the manner of notices, without the place in the code that they come from."""
    from linkem_py.runtime import CapabilityWarning

    def show(message: Warning | str, category: type[Warning], *_where: Any, **_how: Any) -> None:
        # Of these the report has every one, and so have the notes of a network that runs a command.
        notice(str(message), quiet=quiet or issubclass(category, CapabilityWarning))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _try_to_decide(asked: str, found: Facts) -> Decision | None:
    try:
        return decide(asked, found)
    except LinkemError:
        return None  # a topology that cannot be loaded is to be complained of first


def _decide_for(topology: Topology, asked: str, found: Facts) -> Decision:
    from linkem_py.model import Capabilities
    from linkem_py.plan.requirements import unmet

    def lacks(kernel: Kernel) -> tuple[str, ...]:
        return unmet(topology, Capabilities(**kernel.capabilities)) if kernel.capabilities else kernel.missing

    return decide(asked, found, lacks)
