from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from linkem_py.control.registry import NameInUseError, Record, Registry, RegistryError, process_start
from linkem_py.errors import RequestError

OWNER = """\
import sys, time
from pathlib import Path
from linkem_py.control.registry import Registry
with Registry(Path(sys.argv[1])).claim(sys.argv[2], topology="pair") as claim:
    claim.socket.touch()
    print("claimed", flush=True)
    sys.stdin.read()
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "linkem")


@pytest.fixture
def owner(registry: Registry) -> Iterator[Start]:
    """Starts processes that own a name until their input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(registry.folder), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def files(registry: Registry) -> list[str]:
    return sorted(path.name for path in registry.folder.iterdir())


def test_a_claimed_name_is_a_network_that_lives(registry: Registry) -> None:
    with registry.claim("demo", topology="pair") as claim:
        entry = registry.get("demo")
        assert entry.alive
        assert entry.record == claim.record
        assert (claim.record.pid, claim.record.topology) == (os.getpid(), "pair")
        assert claim.record.process_started == process_start(os.getpid())
        assert [one.name for one in registry.networks()] == ["demo"]


def test_a_name_that_is_given_up_leaves_nothing(registry: Registry) -> None:
    with registry.claim("demo") as claim:
        claim.socket.touch()
        claim.log.touch()
        claim.update(state="running")
    claim.close()
    assert files(registry) == []
    assert registry.networks() == []


def test_a_name_can_be_had_once_and_the_error_names_the_owner(registry: Registry, owner: Start) -> None:
    process = owner("demo")
    with pytest.raises(NameInUseError, match=rf"'demo' runs already \(its owner is process {process.pid}\)"):
        registry.claim("demo")
    with pytest.raises(NameInUseError):
        registry.clean("demo")
    with registry.claim("other"):
        assert [entry.alive for entry in registry.networks()] == [True, True]


def test_a_network_whose_owner_was_killed_is_dead(registry: Registry, owner: Start) -> None:
    process = owner("demo")
    process.kill()
    process.wait()
    entry = registry.get("demo")
    assert not entry.alive
    assert entry.record is not None
    assert entry.record.pid == process.pid


def test_what_a_dead_owner_left_is_cleaned(registry: Registry, owner: Start) -> None:
    for name in ("demo", "kept"):
        process = owner(name)
        process.kill()
        process.wait()
    registry.clean("demo")
    assert [name for name in files(registry) if name.startswith("demo")] == []
    assert registry.find("demo") is None
    assert not registry.get("kept").alive


def test_the_next_owner_of_a_name_finds_it_clean(registry: Registry, owner: Start) -> None:
    process = owner("demo")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with registry.claim("demo") as claim:
        assert not claim.socket.exists()
        assert registry.get("demo").record == claim.record
    assert files(registry) == []


def test_a_number_that_another_process_has_by_now_is_no_sign_of_life(registry: Registry) -> None:
    with registry.claim("demo") as claim:
        record = attrs.evolve(claim.record, pid=1)
    registry.path("demo", "lock").touch()
    registry.write(record)
    assert not registry.get("demo").alive


def test_networks_whose_names_look_alike_do_not_mix(registry: Registry) -> None:
    names = ["a", "a.json", "a.lock", "a.new", "a.sock"]
    claims = [registry.claim(name) for name in names]
    assert [entry.name for entry in registry.networks()] == names
    claims[0].close()
    assert [entry.name for entry in registry.networks()] == names[1:]
    assert all(entry.alive and entry.record is not None for entry in registry.networks())
    for claim in claims:
        claim.close()
    assert files(registry) == []


def test_a_reader_finds_a_whole_record_at_any_time(registry: Registry) -> None:
    with registry.claim("demo") as claim:
        stop = threading.Event()

        def change() -> None:
            while not stop.is_set():
                claim.update(peers=tuple(f"peer-{number}" for number in range(1000)))
                claim.update(peers=())

        changing = threading.Thread(target=change)
        changing.start()
        try:
            found = {len(entry.record.peers) for _ in range(200) if (entry := registry.get("demo")).record}
            assert found <= {0, 1000}
            assert all(registry.get("demo").record is not None for _ in range(200))
        finally:
            stop.set()
            changing.join()


def test_looking_at_a_name_does_not_keep_others_from_it(registry: Registry) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            registry.networks()

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for thread in lookers:
        thread.start()
    try:
        for _ in range(100):
            registry.claim("demo").close()
    finally:
        stop.set()
        for thread in lookers:
            thread.join()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 1}', '{"name": "demo", "pid": 1}', "\udcff"])
def test_a_record_that_cannot_be_read_is_no_obstacle(registry: Registry, content: str) -> None:
    with registry.claim("demo"):
        path = registry.path("demo", "json")
        path.write_bytes(content.encode(errors="surrogateescape"))
        assert registry.get("demo").record is None
        with pytest.raises(NameInUseError, match="its owner is starting"):
            registry.claim("demo")
    assert files(registry) == []


def test_fields_of_a_later_version_are_left_out(registry: Registry) -> None:
    with registry.claim("demo") as claim:
        fields = json.loads(registry.path("demo", "json").read_text())
        assert Record.from_json({**fields, "colour": "red"}) == claim.record


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "x" * 64, "a b"])
def test_a_name_that_files_and_topics_cannot_have_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RequestError, match="name must"):
        registry.claim(name)
    assert registry.find(name) is None


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    registry = Registry(tmp_path / ("x" * 100))
    with pytest.raises(RequestError, match="107 bytes"):
        registry.claim("demo")
    assert not registry.folder.exists()


def test_the_folder_is_for_its_owner_alone(registry: Registry) -> None:
    with registry.claim("demo"):
        assert stat.S_IMODE(registry.folder.stat().st_mode) == 0o700
    registry.folder.chmod(0o755)
    with pytest.raises(RegistryError, match="mode 0700"):
        registry.claim("demo")


def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(RegistryError, match="must be a directory"):
        Registry(tmp_path / "link").claim("demo")


def test_the_log_of_a_network_that_failed_stays_until_the_next_of_its_name(registry: Registry) -> None:
    for error in (KeyboardInterrupt, RuntimeError):
        claim = registry.claim("demo")
        claim.log.write_text("why\n")
        claim.__exit__(error, error(), None)
        assert claim.log.exists() == (error is RuntimeError)
    assert registry.networks() == []
    with pytest.raises(RegistryError, match=r"said is in .*demo\.log"):
        registry.get("demo")
    with registry.claim("demo") as claim:
        assert not claim.log.exists()
    assert list(registry.folder.iterdir()) == []


def test_an_unknown_name_is_told_with_those_that_there_are(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="those that run: none"):
        registry.get("demo")
    with registry.claim("a"), pytest.raises(RegistryError, match="those that run: a"):
        registry.clean("demo")


@pytest.mark.parametrize(
    ("uid", "writable", "env", "folder"),
    [
        (0, True, {}, "/run/linkem"),
        (0, True, {"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/linkem"),
        (0, False, {"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/linkem"),
        (7, False, {"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/linkem"),
        (7, False, {}, "/tmp/linkem-7"),
        (7, False, {"LINKEM_RUNTIME_DIR": "/x"}, "/x"),
    ],
)
def test_where_the_folder_is(
    monkeypatch: pytest.MonkeyPatch, uid: int, writable: bool, env: dict[str, str], folder: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "access", lambda *_: writable)
    assert Registry.of_user(env).folder == Path(folder)
