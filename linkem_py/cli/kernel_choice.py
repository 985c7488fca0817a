"""Where a network runs: on this kernel, in a user namespace on it, or in a guest kernel. Pure: from facts."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from linkem_py.cli import remedies
from linkem_py.errors import CapabilityError, GuestUnavailableError, KernelError, PrivilegeError

if TYPE_CHECKING:
    from linkem_py.guest import GuestKernel

AUTO, HOST, GUEST = "auto", "host", "guest"

_NO_GUEST = "there is no guest kernel: on Debian and Ubuntu, apt-get install user-mode-linux"


class Place(enum.StrEnum):
    """Where a network runs."""

    HERE = "this kernel"
    NAMESPACE = "a user namespace on this kernel"
    GUEST = "a guest kernel"


@attrs.frozen(kw_only=True)
class Kernel:
    """What a kernel lets a process do: `Capabilities` as plain values, which need no import of numpy.

    Attributes
    ----------
    release : its name for itself
    privileged : network namespaces can be made
    missing : what any network needs and it lacks
    capabilities : the fields of `Capabilities`; empty if not privileged
    """

    release: str
    privileged: bool
    missing: tuple[str, ...]
    capabilities: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Kernel:
        """From the fields of `Capabilities` and ``missing``, as `linkem probe` prints them."""
        capabilities = {name: value for name, value in fields.items() if name != "missing"}
        return cls(
            release=fields["release"],
            privileged=fields["privileged"],
            missing=tuple(fields["missing"]),
            capabilities=capabilities,
        )

    @classmethod
    def unprivileged(cls, release: str) -> Kernel:
        """A kernel that lets this process make no namespaces: nothing else is known of it."""
        return cls(release=release, privileged=False, missing=("privileged",))

    def as_json(self) -> dict[str, Any]:
        """The reverse of `from_json`."""
        known = self.capabilities or {"release": self.release, "privileged": self.privileged}
        return {**known, "missing": list(self.missing)}


Lacks = Callable[[Kernel], tuple[str, ...]]


@attrs.frozen(kw_only=True)
class Facts:
    """What was found on this machine.

    Attributes
    ----------
    inside_guest : this process runs in a guest already
    host : what this kernel lets this process do; None if that was not looked at
    namespaced : what it does in a user namespace of its own; None if not looked at, or impossible
    refusal : why a user namespace is impossible
    guests : guest kernels, the preferred first
    distribution : whose kernel this is, one of `remedies.DISTRIBUTIONS`; empty if of none of them
    """

    inside_guest: bool = False
    host: Kernel | None = None
    namespaced: Kernel | None = None
    refusal: str = ""
    guests: tuple[GuestKernel, ...] = ()
    distribution: str = ""

    def entered(self) -> Facts:
        """The facts once this process is in its user namespace."""
        return attrs.evolve(self, host=self.namespaced, namespaced=None)


@attrs.frozen(kw_only=True)
class Decision:
    """Where to run; `notice` is what to tell the user about it, empty if it goes without saying."""

    place: Place
    guest: GuestKernel | None = None
    notice: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        guest = None if self.guest is None else {"path": str(self.guest.path), "version": self.guest.version}
        return {"place": self.place.name.lower(), "guest": guest}


def missing(kernel: Kernel) -> tuple[str, ...]:
    """What any network needs and this kernel lacks."""
    return kernel.missing


def decide(asked: str, facts: Facts, lacks: Lacks = missing) -> Decision:
    """Where to run what needs what `lacks` looks for. `asked` is ``auto``, ``host``, or anything else for a guest.

    Raises `PrivilegeError`, `CapabilityError` or `GuestUnavailableError` with the remedy.
    """
    if asked not in (AUTO, HOST):
        return Decision(place=Place.HERE) if facts.inside_guest else _guest(facts)
    if facts.host is not None and not lacks(facts.host):
        return Decision(place=Place.HERE)
    if facts.namespaced is not None and not lacks(facts.namespaced):
        return Decision(place=Place.NAMESPACE)
    if asked == AUTO and facts.guests and not facts.inside_guest:
        guest = facts.guests[0]
        why = _why(facts, lacks)
        return Decision(
            place=Place.GUEST,
            guest=guest,
            notice=f"{why}; running in the guest kernel {guest.version} (linkem doctor tells more)",
        )
    raise _refusal(asked, facts, lacks)


def outlook(decision: Decision) -> str:
    """What `linkem run` will do, in a sentence."""
    if decision.guest is not None:
        return f"linkem run will use the guest kernel {decision.guest.path} ({decision.guest.version})"
    if decision.place is Place.NAMESPACE:
        return "linkem run will use a user namespace of its own on the host kernel"
    return "linkem run will use the host kernel"


def _guest(facts: Facts) -> Decision:
    if not facts.guests:
        raise GuestUnavailableError(_NO_GUEST)
    return Decision(place=Place.GUEST, guest=facts.guests[0])


def _usable(facts: Facts) -> Kernel | None:
    """The kernel as this process can use it: as it is, or in a user namespace."""
    if facts.host is not None and facts.host.privileged:
        return facts.host
    return facts.namespaced


def _why(facts: Facts, lacks: Lacks) -> str:
    usable = _usable(facts)
    if usable is None or not usable.privileged:
        return "no network namespaces can be made here"
    return f"this kernel has no {_listed(lacks(usable))}"


def _refusal(asked: str, facts: Facts, lacks: Lacks) -> KernelError:
    kernel = _usable(facts)
    if kernel is None or not kernel.privileged:
        also = f", nor a user namespace of its own ({facts.refusal})" if facts.refusal else ""
        problem = f"this process may not create network namespaces{also}"
        return PrivilegeError(f"{problem}{_instead(asked, facts, 'run it as root')}")
    names = lacks(kernel)
    remedy = (
        remedies.install(facts.distribution, names) or f"it takes a kernel with {' '.join(remedies.options(names))}"
    )
    problem = f"this kernel ({kernel.release}) lacks {_listed(names)}"
    return CapabilityError(f"{problem}{_instead(asked, facts, remedy)} (linkem doctor tells more)")


def _instead(asked: str, facts: Facts, remedy: str) -> str:
    """What to do about a problem, in the words that follow its own."""
    if facts.inside_guest:
        return ": use another guest kernel"
    if asked == HOST:
        return f": {remedy}; or use --kernel guest"
    return f", and {_NO_GUEST}; or {remedy}"


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nothing"
