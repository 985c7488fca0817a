"""What `linkem doctor` found, in words for people and values for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from linkem_py.cli import remedies
from linkem_py.cli.console import BOLD, DIM, GREEN, RED, YELLOW, Cell, Paint, columns
from linkem_py.cli.kernel_choice import AUTO, Facts, Kernel, decide, outlook
from linkem_py.errors import LinkemError
from linkem_py.guest import GuestKernel

#: Programs worth having: (name, what for). A network needs none of them, unless a gateway has NAT.
TOOLS = (
    ("ip", "looks at a peer's interfaces"),
    ("tc", "looks at its queues"),
    ("ping", "measures by hand"),
    ("iperf3", "fills links by hand"),
    ("ethtool", "looks at offloads"),
    ("nft", "makes the NAT of gateways (package nftables)"),
)


@attrs.frozen(kw_only=True)
class Found:
    """What was found on this machine.

    Attributes
    ----------
    facts : what decides where a network runs
    user : the user's number
    guest : what the preferred guest kernel can do; None if it was not tried, or did not start
    guest_error : why it did not start
    guest_tried : whether it was
    tools : paths of programs, None for those that are not there
    loadable : parts that this kernel lacks though their modules are on the disk
    """

    facts: Facts
    user: int
    guest: Kernel | None = None
    guest_error: str = ""
    guest_tried: bool = False
    tools: Mapping[str, str | None] = attrs.field(factory=dict)
    loadable: tuple[str, ...] = ()

    @property
    def usable(self) -> Kernel | None:
        """The host's kernel as this user can use it."""
        host, namespaced = self.facts.host, self.facts.namespaced
        return host if host is not None and host.privileged else namespaced

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of the parts that the host's kernel lacks."""
        usable = self.usable
        if usable is None:
            return ()
        return tuple(piece.name for piece in remedies.PIECES if not usable.capabilities.get(piece.name))

    @property
    def outlook(self) -> tuple[bool, str]:
        """Whether `linkem run` will work, and how, in a sentence."""
        # A guest kernel that was tried in vain counts as if it were not there.
        works = not self.guest_tried or (self.guest is not None and not self.guest.missing)
        facts = self.facts if works else attrs.evolve(self.facts, guests=())
        try:
            return True, outlook(decide(AUTO, facts))
        except LinkemError:
            return False, f"cannot run: {_what_to_do(self, works)}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        facts = self.facts
        works, text = self.outlook
        return {
            "works": works,
            "outlook": text,
            "user": self.user,
            "inside_guest": facts.inside_guest,
            "distribution": facts.distribution or None,
            "host": _kernel(facts.host),
            "user_namespace": _kernel(facts.namespaced),
            "user_namespace_refused": facts.refusal or None,
            "guests": [
                {"path": str(guest.path), "version": guest.version, "source": guest.source} for guest in facts.guests
            ],
            "guest": _kernel(self.guest),
            "guest_error": self.guest_error or None,
            "missing": {
                "parts": list(self.lacking),
                "loadable": list(self.loadable),
                "install": remedies.installs(self.lacking) if self.lacking else {},
                "options": list(remedies.options(self.lacking)),
            },
            "tools": dict(self.tools),
        }


def report(found: Found, paint: Paint) -> Iterator[str]:
    """The lines to print, the last of which says what `linkem run` will do."""
    for heading, rows in (
        ("Privileges", _privileges(found)),
        (_kernels_heading(found), _kernels(found)),
        ("Guest kernels", _guests(found)),
        ("Programs (no network needs them, but for NAT: nft)", _tools(found)),
    ):
        yield paint(heading, BOLD)
        yield from columns(rows, paint)
        yield ""
    advice = list(_advice(found, paint))
    if advice:
        yield paint("What to do", BOLD)
        yield from advice
        yield ""
    works, text = found.outlook
    yield paint(text, GREEN if works else RED)


# --- sections ------------------------------------------------------------------------------------


def _privileges(found: Found) -> list[list[Cell]]:
    facts = found.facts
    privileged = facts.host is not None and facts.host.privileged
    rows: list[list[Cell]] = [
        ["user", "root" if found.user == 0 else f"not root (number {found.user})"],
        ["network namespaces", _mark(privileged, needed=False), "" if privileged else "only root may make them"],
    ]
    if not privileged:
        why = facts.refusal if facts.namespaced is None else "in it, network namespaces too"
        rows.append(["user namespace", _mark(facts.namespaced is not None, needed=False), why])
    if facts.inside_guest:
        rows.append(["guest", ("yes", GREEN), "this is a guest kernel already"])
    return rows


def _kernels_heading(found: Found) -> str:
    return "Kernel: what networks are made of" if not found.guest else "Kernels: what networks are made of"


def _kernels(found: Found) -> list[list[Cell]]:
    kernels = [kernel for kernel in (found.usable, found.guest) if kernel is not None]
    if not kernels:
        return [[("not known: no network namespace can be made to try it in", YELLOW)]]
    head: list[Cell] = ["", *((f"{_whose(kernel, found)} {kernel.release}", DIM) for kernel in kernels), ""]
    rows = [head]
    for piece in remedies.PIECES:
        marks = [_mark(bool(kernel.capabilities.get(piece.name)), needed=piece.needed) for kernel in kernels]
        rows.append([piece.name, *marks, (piece.use, DIM)])
    for name, use in remedies.FEATURES:
        marks = [
            _mark(bool(kernel.capabilities.get(name)), needed=False) if kernel.capabilities.get("netem") else "-"
            for kernel in kernels
        ]
        rows.append([name, *marks, (use, DIM)])
    return rows


def _whose(kernel: Kernel, found: Found) -> str:
    return "guest" if kernel is found.guest or found.facts.inside_guest else "host"


def _guests(found: Found) -> list[list[Cell]]:
    guests = found.facts.guests
    if not guests:
        return [["none" if not found.facts.inside_guest else "not looked for: guests do not nest"]]
    rows = []
    for number, guest in enumerate(guests):
        rows.append([str(guest.path), guest.version, guest.source, _state(found, guest, preferred=number == 0)])
    return rows


def _state(found: Found, guest: GuestKernel, *, preferred: bool) -> Cell:
    if not preferred or not found.guest_tried:
        return ("not tried", DIM)
    if found.guest is None:
        return (f"does not start: {found.guest_error}", RED)
    if found.guest.missing:
        return (f"starts, but lacks {', '.join(found.guest.missing)}", RED)
    return ("works", GREEN)


def _tools(found: Found) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, use in TOOLS:
        path = found.tools.get(name)
        rows.append([name, path or ("not found", YELLOW), (use, DIM)])
    return rows


def _mark(there: bool, *, needed: bool) -> Cell:
    if there:
        return ("yes", GREEN)
    return ("no, needed", RED) if needed else ("no", YELLOW)


# --- remedies ------------------------------------------------------------------------------------

_NO_USER_NAMESPACES = (
    "user namespaces are refused to this user: in a container its runtime must allow them; on Ubuntu from 24.04 "
    "on, sysctl kernel.apparmor_restrict_unprivileged_userns=0; elsewhere see sysctl user.max_user_namespaces "
    "and kernel.unprivileged_userns_clone"
)


def _what_to_do(found: Found, guest_works: bool) -> str:
    if found.facts.inside_guest:
        return "this guest kernel lacks what networks need: use another one (linkem guest --kernel PATH)"
    if not guest_works:
        return f"the guest kernel does not work: {found.guest_error or 'it lacks what networks need'}"
    return "install user-mode-linux"


def _advice(found: Found, paint: Paint) -> Iterator[str]:
    facts = found.facts
    if found.usable is None and facts.refusal:
        yield f"  {_NO_USER_NAMESPACES}"
    loadable = [remedies.BY_NAME[name].module for name in found.loadable]
    if loadable:
        yield f"  load what is on the disk (as root): modprobe -a {' '.join(loadable)}"
    absent = tuple(name for name in found.lacking if name not in found.loadable)
    if absent and not facts.inside_guest:
        yield f"  the host kernel lacks {_modules(absent)}; a distribution's own kernel has them with:"
        rows: list[list[Cell]] = []
        for distribution, command in remedies.installs(absent).items():
            here = ("<- this machine", YELLOW) if distribution == facts.distribution else ""
            rows.append([distribution.capitalize(), command, here])
        yield from columns(rows, paint, indent=4)
        yield "    (for a container: on its host)"
        yield f"  a kernel of another make needs {' '.join(remedies.options(absent))}"
    if not facts.guests and not facts.inside_guest:
        yield "  to have a guest kernel, which needs neither root nor netem: apt-get install user-mode-linux"
        yield "  (Debian, Ubuntu), or build one with make ARCH=um and name it in LINKEM_GUEST_KERNEL"


def _modules(names: tuple[str, ...]) -> str:
    described = [f"{name} ({module})" if (module := remedies.BY_NAME[name].module) else name for name in names]
    return ", ".join(described)


def _kernel(kernel: Kernel | None) -> dict[str, Any] | None:
    return None if kernel is None else kernel.as_json()
