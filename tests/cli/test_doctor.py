from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attrs
import pytest

from linkem_py.cli import doctor, facts, remedies
from linkem_py.cli.console import Paint
from linkem_py.cli.diagnosis import TOOLS, Found, report
from linkem_py.cli.kernel_choice import Facts, Kernel
from linkem_py.guest import GuestKernel
from linkem_py.model import Capabilities

from .conftest import GUEST, Linkem, kernel

TOOLS_FOUND: dict[str, str | None] = {name: f"/bin/{name}" for name, _ in TOOLS}
GOOD = Found(facts=Facts(host=kernel()), user=0, tools=TOOLS_FOUND)
POOR = attrs.evolve(GOOD, facts=Facts(host=kernel("netem", "prio"), guests=(GUEST,), distribution="debian"))
USER = attrs.evolve(
    GOOD, user=1000, facts=Facts(host=Kernel.unprivileged("6.12"), refusal="Operation not permitted", guests=(GUEST,))
)


def text(found: Found) -> str:
    return "\n".join(report(found, Paint(False)))


def line(found: Found, start: str) -> str:
    return next(line for line in text(found).splitlines() if line.split()[:1] == [start])


def last(found: Found) -> str:
    return text(found).splitlines()[-1]


def tried(found: Found, *lacking: str, error: str = "") -> Found:
    guest = None if error else kernel(*lacking, release="6.1.176")
    return attrs.evolve(found, guest_tried=True, guest=guest, guest_error=error)


def test_every_part_has_its_line() -> None:
    for piece in remedies.PIECES:
        assert line(GOOD, piece.name).split()[:2] == [piece.name, "yes"]
    for name, _ in remedies.FEATURES:
        assert line(GOOD, name).split()[:2] == [name, "yes"]


def test_pieces_and_features_are_fields_of_capabilities() -> None:
    fields = set(attrs.fields_dict(Capabilities)) - {"release", "privileged"}
    assert fields == {piece.name for piece in remedies.PIECES} | {name for name, _ in remedies.FEATURES}


def test_a_missing_part_is_said_to_be_needed_or_not() -> None:
    assert "no, needed" in line(POOR, "netem")
    assert line(POOR, "prio").split()[:2] == ["prio", "no"]
    assert line(POOR, "seed").split()[:2] == ["seed", "-"]


def test_a_guest_that_was_tried_stands_beside_the_host() -> None:
    found = tried(POOR)
    assert "host 6.12" in text(found)
    assert "guest 6.1.176" in text(found)
    assert line(found, "netem").split()[1:4] == ["no,", "needed", "yes"]
    assert line(found, "/opt/linux").endswith("works")
    assert line(POOR, "/opt/linux").endswith("not tried")


@pytest.mark.parametrize(
    ("found", "works", "said"),
    [
        (GOOD, True, "linkem run will use the host kernel"),
        (POOR, True, "linkem run will use the guest kernel /opt/linux (6.1.176)"),
        (tried(POOR), True, "linkem run will use the guest kernel /opt/linux (6.1.176)"),
        (tried(POOR, "netem"), False, "cannot run: the guest kernel does not work: it lacks what networks need"),
        (tried(POOR, error="it died"), False, "cannot run: the guest kernel does not work: it died"),
        (tried(GOOD, error="it died"), True, "linkem run will use the host kernel"),
        (attrs.evolve(POOR, facts=Facts(host=kernel("netem"))), False, "cannot run: install user-mode-linux"),
        (USER, True, "linkem run will use the guest kernel /opt/linux (6.1.176)"),
        (
            attrs.evolve(USER, facts=Facts(host=Kernel.unprivileged("6.12"), namespaced=kernel())),
            True,
            "linkem run will use a user namespace of its own on the host kernel",
        ),
    ],
)
def test_the_last_line_says_what_run_will_do(found: Found, works: bool, said: str) -> None:
    assert last(found) == said
    assert found.outlook == (works, said)


def test_what_is_missing_has_the_packages_that_bring_it() -> None:
    shown = text(POOR)
    assert "netem (sch_netem), prio (sch_prio)" in shown
    assert "<- this machine" in line(POOR, "Debian")
    assert "linux-modules-extra-$(uname -r)" in line(POOR, "Ubuntu")
    assert "kernel-modules-extra-$(uname -r)" in line(POOR, "Fedora")
    assert "pacman -S linux" in line(POOR, "Arch")
    assert "CONFIG_NET_SCH_NETEM CONFIG_NET_SCH_PRIO" in shown
    assert "What to do" not in text(attrs.evolve(GOOD, facts=Facts(host=kernel(), guests=(GUEST,))))


def test_modules_on_the_disk_are_to_be_loaded_not_installed() -> None:
    shown = text(attrs.evolve(POOR, loadable=("netem", "prio")))
    assert "modprobe -a sch_netem sch_prio" in shown
    assert "apt-get install linux-image" not in shown


def test_a_user_learns_what_is_refused_and_why() -> None:
    shown = text(USER)
    assert "not root (number 1000)" in shown
    assert "Operation not permitted" in shown
    assert "kernel.apparmor_restrict_unprivileged_userns" in shown
    assert "not known: no network namespace can be made to try it in" in shown


def test_tools_that_are_missing_are_shown() -> None:
    found = attrs.evolve(GOOD, tools={**TOOLS_FOUND, "iperf3": None})
    assert "not found" in line(found, "iperf3")
    assert "/bin/ping" in line(found, "ping")


def test_colour_changes_nothing_but_colour() -> None:
    import re

    painted = "\n".join(report(POOR, Paint(True)))
    assert "\033[" in painted
    assert re.sub(r"\033\[[\d;]*m", "", painted) == text(POOR)


@pytest.mark.parametrize("found", [GOOD, POOR, tried(POOR), tried(POOR, error="it died"), USER])
def test_the_findings_for_programs(found: Found) -> None:
    values = json.loads(json.dumps(found.as_json()))
    assert values["works"] == found.outlook[0]
    assert values["outlook"] == found.outlook[1]
    assert values["user"] == found.user
    assert set(values["tools"]) == {name for name, _ in TOOLS}
    assert values["missing"]["parts"] == list(found.lacking)


@pytest.mark.parametrize(
    ("os_release", "distribution"),
    [
        ('ID=debian\nVERSION_ID="12"', "debian"),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian', "ubuntu"),
        ('ID="linuxmint"\nID_LIKE="ubuntu debian"', "ubuntu"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "fedora"),
        ("ID=manjaro\nID_LIKE=arch", "arch"),
        ("ID=alpine", ""),
        ("", ""),
    ],
)
def test_the_distribution(os_release: str, distribution: str) -> None:
    assert remedies.distribution_of(os_release) == distribution


def test_netem_has_a_package_of_its_own_in_fedora() -> None:
    assert "kernel-modules-extra" in remedies.install("fedora", ["htb", "netem"])
    assert "kernel-modules-extra" not in remedies.install("fedora", ["htb"])
    assert remedies.install("", ["netem"]) == ""


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("found", "status"), [(GOOD, 0), (tried(POOR, error="it died"), 1)])
def test_the_exit_status_says_whether_networks_can_run(
    linkem: Linkem, monkeypatch: pytest.MonkeyPatch, found: Found, status: int
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *, try_guest: found)
    outcome = linkem("doctor")
    assert outcome.status == status
    assert outcome.out.splitlines()[-1] == found.outlook[1]
    assert json.loads(linkem("doctor", "--json").out)["works"] == (status == 0)


def test_the_machine_at_hand_can_be_looked_at(linkem: Linkem) -> None:
    values = json.loads(linkem("doctor", "--no-guest", "--json").out)
    assert values["guest"] is None
    assert values["host"]["release"] == os.uname().release


def test_a_guest_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import linkem_py.guest
    from linkem_py.errors import GuestError

    def refuse(*_: Any, **__: Any) -> int:
        raise GuestError("no memory")

    here = Facts(host=kernel("netem"), guests=(GuestKernel(Path("/opt/linux"), "6.1", None, "package"),))
    monkeypatch.setattr(facts, "find_facts", lambda _asked, nat: here)
    monkeypatch.setattr(linkem_py.guest, "run_in_guest", refuse)
    found = doctor.examine(try_guest=True)
    assert (found.guest_error, found.outlook[0]) == ("no memory", False)


@pytest.mark.guest
def test_the_guest_kernel_is_tried() -> None:
    found = doctor.examine(try_guest=True)
    assert found.guest is not None, found.guest_error
    assert found.guest.missing == ()
    assert found.outlook[0]
