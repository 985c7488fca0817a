"""Names under /run/netns, with namespaces of the kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import attrs
import pytest

from linkem_py.control import names
from linkem_py.control.names import NamedNamespace, NamespaceNameError, NamespaceNames
from linkem_py.kernel.namespaces import Namespace, NamespaceThread

pytestmark = pytest.mark.kernel

NETWORK = f"linkem-test-{os.getpid()}"


@pytest.fixture
def namespaces() -> Iterator[list[Namespace]]:
    thread = NamespaceThread()
    made = [thread.create(name, ()) for name in ("hub", "a", "b")]
    yield made
    for namespace in made:
        namespace.close()
    thread.close()


def listed() -> set[str]:
    return {name for name in os.listdir(names.FOLDER) if name.startswith(NETWORK)} if names.FOLDER.is_dir() else set()


def inode_by_name(name: str) -> int:
    command = ["ip", "netns", "exec", name, "stat", "-Lc", "%i", "/proc/self/ns/net"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_namespace_with_a_name_can_be_used_by_others(namespaces: list[Namespace]) -> None:
    hub, a, b = namespaces
    with NamespaceNames(NETWORK, lambda _: None) as named:
        named.add({"": hub.fd, "a": a.fd})
        assert listed() == {f"{NETWORK}._hub", f"{NETWORK}.a"}
        assert inode_by_name(f"{NETWORK}.a") == a.inode
        named.add({"b": b.fd})
        assert inode_by_name(f"{NETWORK}.b") == b.inode
        named.discard("a")
        assert listed() == {f"{NETWORK}._hub", f"{NETWORK}.b"}
    assert listed() == set()


def test_every_name_is_noted_before_it_is_there(namespaces: list[Namespace]) -> None:
    noted: list[tuple[set[str], set[str]]] = []

    def note(named: tuple[NamedNamespace, ...]) -> None:
        noted.append(({one.name for one in named}, listed()))

    with NamespaceNames(NETWORK, note) as named:
        named.add({"": namespaces[0].fd, "a": namespaces[1].fd})
        named.add({"b": namespaces[2].fd})
    assert all(there <= known for known, there in noted)
    assert noted[-1] == (set(), set())


def test_a_name_that_somebody_else_has_is_an_error_and_stays(namespaces: list[Namespace]) -> None:
    foreign = f"{NETWORK}.b"
    subprocess.run(["ip", "netns", "add", foreign], check=True)
    try:
        before = (names.FOLDER / foreign).stat().st_ino
        with pytest.raises(NamespaceNameError, match="belongs to somebody else"):
            names.check_free(NETWORK, ["a", "b"])
        noted: list[tuple[NamedNamespace, ...]] = []
        with NamespaceNames(NETWORK, noted.append) as named, pytest.raises(NamespaceNameError):
            named.add({"a": namespaces[1].fd, "b": namespaces[2].fd})
        assert listed() == {foreign}
        assert (names.FOLDER / foreign).stat().st_ino == before
        assert noted[-1] == ()
    finally:
        subprocess.run(["ip", "netns", "delete", foreign], check=True)


def test_only_what_still_stands_for_the_same_is_removed(namespaces: list[Namespace]) -> None:
    noted: list[tuple[NamedNamespace, ...]] = []
    named = NamespaceNames(NETWORK, noted.append)
    named.add({"a": namespaces[1].fd, "b": namespaces[2].fd})
    record = noted[-1]
    # The owner is dead, and somebody made another namespace of that name.
    subprocess.run(["ip", "netns", "delete", f"{NETWORK}.b"], check=True)
    subprocess.run(["ip", "netns", "add", f"{NETWORK}.b"], check=True)
    try:
        assert names.remove(record) == [f"{NETWORK}.a"]
        assert listed() == {f"{NETWORK}.b"}
        assert names.remove(record) == []
    finally:
        subprocess.run(["ip", "netns", "delete", f"{NETWORK}.b"], check=True)


def test_a_name_on_which_nothing_was_mounted_yet_is_removed_too(namespaces: list[Namespace]) -> None:
    noted: list[tuple[NamedNamespace, ...]] = []
    named = NamespaceNames(NETWORK, noted.append)
    named.add({"a": namespaces[1].fd})
    (one,) = noted[-1]
    subprocess.run(["umount", str(names.FOLDER / one.name)], check=True)
    assert (names.FOLDER / one.name).is_file()
    assert names.remove([attrs.evolve(one, file_inode=one.file_inode + 1)]) == []
    assert names.remove([one]) == [one.name]
    assert listed() == set()


def test_names_that_lead_elsewhere_are_not_followed() -> None:
    assert names.remove([NamedNamespace("../linkem", "", 1, 2, 3, 4)]) == []


@pytest.mark.parametrize(("network", "peer", "name"), [("demo", "a", "demo.a"), ("a.b", "", "a.b._hub")])
def test_names_tell_networks_and_peers_apart(network: str, peer: str, name: str) -> None:
    assert names.name_of(network, peer) == name
