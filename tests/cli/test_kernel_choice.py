from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import attrs
import pytest

from linkem_py.cli import facts as finding
from linkem_py.cli import start, user_namespace
from linkem_py.cli.kernel_choice import Facts, Kernel, Place, decide, outlook
from linkem_py.errors import CapabilityError, GuestUnavailableError, LinkemError, PrivilegeError
from linkem_py.kernel import system

from .conftest import GUEST, Linkem, kernel

GOOD, POOR, NONE = kernel(), kernel("netem"), Kernel.unprivileged("6.12")


@pytest.mark.parametrize(
    ("asked", "facts", "expected"),
    [
        ("auto", Facts(host=GOOD, guests=(GUEST,)), Place.HERE),
        ("auto", Facts(host=POOR, guests=(GUEST,)), Place.GUEST),
        ("auto", Facts(host=NONE, namespaced=GOOD, guests=(GUEST,)), Place.NAMESPACE),
        ("auto", Facts(host=NONE, namespaced=POOR, guests=(GUEST,)), Place.GUEST),
        ("auto", Facts(host=NONE, refusal="no", guests=(GUEST,)), Place.GUEST),
        ("auto", Facts(host=POOR), CapabilityError),
        ("auto", Facts(host=NONE, namespaced=POOR), CapabilityError),
        ("auto", Facts(host=NONE, refusal="no"), PrivilegeError),
        ("auto", Facts(host=GOOD, inside_guest=True), Place.HERE),
        ("auto", Facts(host=NONE, namespaced=GOOD, inside_guest=True), Place.NAMESPACE),
        ("auto", Facts(host=POOR, inside_guest=True, guests=(GUEST,)), CapabilityError),
        ("host", Facts(host=GOOD, guests=(GUEST,)), Place.HERE),
        ("host", Facts(host=POOR, guests=(GUEST,)), CapabilityError),
        ("host", Facts(host=NONE, namespaced=GOOD), Place.NAMESPACE),
        ("host", Facts(host=NONE, refusal="no", guests=(GUEST,)), PrivilegeError),
        ("guest", Facts(guests=(GUEST,)), Place.GUEST),
        ("guest", Facts(), GuestUnavailableError),
        ("guest", Facts(inside_guest=True), Place.HERE),
        ("/opt/linux", Facts(guests=(GUEST,)), Place.GUEST),
        ("/opt/linux", Facts(inside_guest=True), Place.HERE),
    ],
)
def test_where_a_network_runs(asked: str, facts: Facts, expected: Any) -> None:
    if isinstance(expected, Place):
        decision = decide(asked, facts)
        assert decision.place is expected
        assert (decision.guest is not None) == (expected is Place.GUEST)
    else:
        with pytest.raises(expected):
            decide(asked, facts)


def test_what_the_topology_needs_counts() -> None:
    def needs_ifb(kernel: Kernel) -> tuple[str, ...]:
        return () if kernel.capabilities["ifb"] else ("ifb",)

    facts = Facts(host=kernel("ifb"), guests=(GUEST,))
    assert decide("auto", facts).place is Place.HERE
    assert decide("auto", facts, needs_ifb).place is Place.GUEST


def test_falling_back_to_a_guest_is_said_and_asking_for_it_is_not() -> None:
    said = decide("auto", Facts(host=POOR, guests=(GUEST,))).notice
    assert said == "this kernel has no netem; running in the guest kernel 6.1.176 (linkem doctor tells more)"
    said = decide("auto", Facts(host=NONE, refusal="no", guests=(GUEST,))).notice
    assert said.startswith("no network namespaces can be made here; running in the guest kernel")
    assert decide("guest", Facts(guests=(GUEST,))).notice == ""


@pytest.mark.parametrize(
    ("asked", "facts", "said"),
    [
        (
            "host",
            Facts(host=POOR, distribution="fedora"),
            "this kernel (6.12) lacks netem: dnf install kernel-modules-",
        ),
        ("host", Facts(host=kernel("netem", "htb")), "lacks htb and netem: it takes a kernel with CONFIG_NET_SCH_HTB"),
        (
            "host",
            Facts(host=NONE, refusal="not permitted"),
            "user namespace of its own (not permitted): run it as root",
        ),
        ("host", Facts(host=POOR), "or use --kernel guest"),
        ("auto", Facts(host=POOR), "apt-get install user-mode-linux; or it takes a kernel with CONFIG_NET_SCH_NETEM"),
        ("auto", Facts(host=NONE), "apt-get install user-mode-linux; or run it as root"),
        ("auto", Facts(host=POOR, inside_guest=True), "lacks netem: use another guest kernel"),
    ],
)
def test_a_refusal_has_its_remedy(asked: str, facts: Facts, said: str) -> None:
    with pytest.raises(LinkemError) as caught:
        decide(asked, facts)
    assert said in str(caught.value)


def test_once_entered_a_user_namespace_is_the_host() -> None:
    facts = Facts(host=NONE, namespaced=GOOD)
    assert decide("auto", facts.entered()).place is Place.HERE


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (Facts(host=GOOD), "linkem run will use the host kernel"),
        (Facts(host=NONE, namespaced=GOOD), "linkem run will use a user namespace of its own on the host kernel"),
        (Facts(host=POOR, guests=(GUEST,)), "linkem run will use the guest kernel /opt/linux (6.1.176)"),
    ],
)
def test_the_outlook_in_a_sentence(facts: Facts, said: str) -> None:
    assert outlook(decide("auto", facts)) == said


def test_a_kernel_survives_json() -> None:
    for one in (GOOD, POOR, NONE):
        again = Kernel.from_json(one.as_json())
        assert (again.release, again.privileged, again.missing) == (one.release, one.privileged, one.missing)


# --- finding out ---------------------------------------------------------------------------------


def test_the_host_is_what_a_child_says_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_flags: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(system, "unshare", refuse)
    assert finding.host_kernel() == Kernel.unprivileged(os.uname().release)
    assert finding.namespaced_kernel() == (None, "Operation not permitted")


def test_a_child_that_fails_in_any_way_gives_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for failure in (RuntimeError("odd"), KeyboardInterrupt()):

        def fail(failure: BaseException = failure) -> None:
            raise failure

        monkeypatch.setattr(user_namespace, "enter", fail)
        found, why = finding.namespaced_kernel()
        assert found is None
        assert why


@pytest.mark.kernel
def test_in_a_user_namespace_this_kernel_can_do_the_same() -> None:
    found, refusal = finding.namespaced_kernel()
    if found is None:
        pytest.skip(f"no user namespaces here: {refusal}")
    assert found == finding.host_kernel()


@pytest.mark.kernel
def test_a_network_runs_in_a_user_namespace() -> None:
    if finding.namespaced_kernel()[0] is None:
        pytest.skip("no user namespaces here")
    program = (
        "import sys; from linkem_py.cli import main, user_namespace; user_namespace.enter();"
        "sys.exit(main.main(sys.argv[1:]))"
    )
    words = ["run", "pair", "--kernel", "host", "-q", "--in", "a", "--", "getent", "hosts", "b"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[1] == "b"


def test_a_process_that_is_not_ours_enters_no_namespace(linkem: Linkem, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(finding, "find_facts", lambda _asked: Facts(host=NONE, namespaced=GOOD))

    def call(words: list[str]) -> int:
        started.append(words)
        return 9

    monkeypatch.setattr(subprocess, "call", call)
    assert linkem("run", "pair", "-q").status == 9
    assert started == [[sys.executable, "-m", start.MODULE, "run", "pair", "-q"]]


@pytest.mark.kernel
def test_facts_of_a_kernel_that_works() -> None:
    facts = finding.find_facts("host")
    assert decide("host", facts).place in (Place.HERE, Place.NAMESPACE)
    assert facts.guests == ()


def test_a_path_that_is_no_kernel_is_an_error(linkem: Linkem) -> None:
    if os.environ.get("LINKEM_GUEST"):
        pytest.skip("guests do not nest")
    outcome = linkem("run", "pair", "--kernel", "/bin/false")
    assert outcome.status == 1
    assert outcome.err.startswith("linkem: /bin/false is not a user-mode kernel")


# --- handing over --------------------------------------------------------------------------------


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was to be run in a guest, on a machine whose kernel has no netem."""
    import linkem_py.guest

    calls: list[Any] = []

    def run_in_guest(words: list[str], **options: Any) -> int:
        calls.append((words, options))
        return 42

    monkeypatch.setattr(linkem_py.guest, "run_in_guest", run_in_guest)
    monkeypatch.setattr(finding, "find_facts", lambda _asked: Facts(host=POOR, guests=(GUEST,)))
    return calls


def test_the_guest_gets_the_same_command_line(linkem: Linkem, handed_over: list[Any]) -> None:
    outcome = linkem("run", "pair", "--seed", "3", "--memory", "2G", "--", "ls", "--kernel", "x")
    assert outcome.status == 42
    assert outcome.err.startswith("linkem: this kernel has no netem; running in the guest kernel 6.1.176")
    ((words, options),) = handed_over
    given = ["run", "pair", "--seed", "3", "--memory", "2G"]
    assert words[1:] == ["-m", start.MODULE, *given, "--kernel", "host", "--", "ls", "--kernel", "x"]
    assert options == {"kernel": GUEST, "memory": "2G", "hand_over": False, "virtual": None}


@pytest.mark.parametrize("quiet", ["--json", "-q"])
def test_the_notice_can_be_turned_off(linkem: Linkem, handed_over: list[Any], quiet: str) -> None:
    assert linkem("run", "pair", quiet).err == ""


def test_a_report_has_its_folder_before_the_guest_starts(linkem: Linkem, handed_over: list[Any], tmp_path: Any) -> None:
    linkem("run", "pair", "--report", str(tmp_path / "deep" / "report"))
    assert (tmp_path / "deep" / "report").is_dir()


@pytest.mark.parametrize("words", [["--set", "nix=1"], ["--in", "nobody", "--", "true"], ["--duration", "0"]])
def test_mistakes_are_found_before_a_guest_starts(linkem: Linkem, handed_over: list[Any], words: list[str]) -> None:
    assert linkem("run", "pair", *words).status in (1, 2)
    assert not handed_over


def test_facts_are_values() -> None:
    assert attrs.evolve(Facts(host=GOOD), guests=(GUEST,)) == Facts(host=GOOD, guests=(GUEST,))
