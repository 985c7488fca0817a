from __future__ import annotations

import functools
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from linkem_py.errors import GuestError, GuestUnavailableError
from linkem_py.guest import GuestTimeoutError, run_in_guest
from linkem_py.guest.__main__ import main
from linkem_py.guest.kernels import find_kernel
from linkem_py.guest.streams import Feed
from tests.guest.support import DEADLINE_S, ROOT, guest, run, start

pytestmark = pytest.mark.guest

MEGABYTES = 10


def test_output_status_and_another_kernel() -> None:
    status, out, err = guest("sh", "-c", "echo out; echo err >&2; uname -r; id -u; exit 7")
    assert (status, err) == (7, b"err\n")
    release = os.uname().release.encode()
    assert out.split()[0] == b"out"
    assert out.split()[1] != release
    assert out.split()[2] == b"0"


def test_words_environment_and_folder_arrive_unchanged(tmp_path: Path) -> None:
    words = [b"", b" a  b ", b"'\"$\\`", b"new\nline", b"\xff\xfe\x80", b"--", b"=", b"x" * 100_000]
    folder = os.fsencode(tmp_path) + b"/a \xffb\n'\""
    os.mkdir(folder)
    env = {**os.environb, b"ODD": b"\xff\n \"'=", b"BIG": b"y" * 100_000, b"EMPTY": b""}
    code = (
        "import os, sys, hashlib; sys.stdout.buffer.write(b'\\0'.join([os.getcwdb(), "
        "b'\\0'.join(k + b'=' + v for k, v in sorted(os.environb.items())), *map(os.fsencode, sys.argv[1:])]))"
    )
    status, out, err = guest(sys.executable, "-c", code, *words, cwd=folder, env=env)
    assert (status, err) == (0, b"")
    expected = {**env, b"LINKEM_GUEST": b"1"}
    got_folder, *rest = out.split(b"\0")
    assert got_folder == folder
    assert rest[-len(words) :] == words
    got = dict(entry.split(b"=", 1) for entry in rest[: -len(words)])
    for changed in (b"LC_CTYPE", b"PYTHONPATH"):  # the interpreter's own, and what the launcher here needs
        got.pop(changed, None)
        expected.pop(changed, None)
    assert got == expected


@pytest.mark.parametrize("slow", [False, True])
def test_both_outputs_are_exact_and_apart(slow: bool, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(os.urandom(MEGABYTES << 20))
    got: dict[str, str] = {}
    with start("--", "sh", "-c", "cat one & cat two >&2; wait", cwd=tmp_path) as process:

        def read(name: str, file: int, pause: float) -> None:
            digest = hashlib.sha256()
            while chunk := os.read(file, 1 << 18):
                digest.update(chunk)
                time.sleep(pause)
            got[name] = digest.hexdigest()

        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            threading.Thread(target=read, args=("one", process.stdout.fileno(), 0.01 if slow else 0)),
            threading.Thread(target=read, args=("two", process.stderr.fileno(), 0)),
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(DEADLINE_S)
        assert process.wait(DEADLINE_S) == 0
    for name in ("one", "two"):
        assert got[name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_a_reader_that_stops_for_a_while_loses_nothing_and_holds_up_only_itself() -> None:
    command = "head -c 3000000 /dev/zero; echo done >&2"
    with start("--", "sh", "-c", f"({command}) & echo other >&2; wait") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == b"other\n"
        time.sleep(1)
        assert len(process.stdout.read()) == 3_000_000
        assert process.stderr.read() == b"done\n"


@pytest.mark.parametrize("reader", ["sha256sum", "sleep 1; sha256sum"])
def test_input_is_exact_and_its_end_is_passed_on(reader: str) -> None:
    data = os.urandom(MEGABYTES << 20)
    status, out, err = guest("sh", "-c", reader, stdin=data)
    assert (status, err) == (0, b"")
    assert out.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_kernel_that_shares_no_memory_gets_input_over_its_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Feed, "begin", lambda self, use_shared: None)
    data = os.urandom(1 << 20)
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        assert run_in_guest(["cat"], stdin=source.fileno(), stdout=sink.fileno()) == 0
    assert (tmp_path / "out").read_bytes() == data


def test_streams_that_are_closed_here_are_empty_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "linkem_py.guest", "--", "sh", "-c", "wc -c > count; echo lost"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", *command],
        cwd=tmp_path,
        check=False,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "count").read_text().strip() == "0"


def test_input_and_output_work_in_turns() -> None:
    with start("--", "sh", "-c", "while read x; do echo got $x; done; echo end", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for i in range(20):
            process.stdin.write(b"%d\n" % i)
            process.stdin.flush()
            assert process.stdout.readline() == b"got %d\n" % i
        process.stdin.close()
        assert process.stdout.read() == b"end\n"


def test_a_command_that_leaves_its_input_alone_still_ends() -> None:
    assert guest("sh", "-c", "exec <&-; echo ok", stdin=bytes(5_000_000)) == (0, b"ok\n", b"")


def test_a_reader_that_goes_away_ends_the_writer() -> None:
    with start("--", "sh", "-c", "yes; echo $? >&2") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b"141\n"
        assert process.wait(DEADLINE_S) == 0


def test_an_output_that_the_command_closes_is_closed_here() -> None:
    with start("--", "sh", "-c", "echo x; exec >&-; read y", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.read() == b"x\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill -SEGV $$"], 139),
        (["no-such-command"], 127),
        (["/"], 126),
        (["./not-executable"], 126),
        (["./absent"], 127),
    ],
)
def test_statuses_are_a_shells(command: list[str], expected: int, tmp_path: Path) -> None:
    (tmp_path / "not-executable").write_text("x")
    status, out, err = guest(*command, cwd=tmp_path)
    assert (status, out) == (expected, b"")
    if expected in (126, 127):
        assert err.startswith(b"linkem guest: " + command[0].encode())
        assert err.count(b"\n") == 1
    else:
        assert err == b""


def test_background_processes_do_not_hold_it_up() -> None:
    assert guest("sh", "-c", "sleep 1000 & echo started") == (0, b"started\n", b"")


def test_the_clock_runs_out() -> None:
    status, out, err = run("--timeout", "3", "--", "sh", "-c", "echo begun; sleep 1000")
    assert (status, out) == (124, b"begun\n")
    assert err == b"linkem guest: timeout: the command did not end within 3 s and was killed\n"


def test_files_are_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from here")
    status, _, err = guest("sh", "-c", "cat in > out; mkdir d; ln -s in link; umask > mask", cwd=tmp_path, umask=0o027)
    assert (status, err) == (0, b"")
    assert (tmp_path / "out").read_text() == "from here"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "d").is_dir()
    assert (tmp_path / "link").readlink() == Path("in")
    assert (tmp_path / "mask").read_text().strip() == "0027"


def test_networks_run_and_leave_nothing_here() -> None:
    before = Path("/run/netns").exists()
    script = (
        "set -e; ip link add va type veth peer name vb; ip netns add n; ip link set vb netns n\n"
        "tc qdisc add dev va root netem delay 3ms; tc qdisc show dev va; ls /run/netns\n"
        "ip -br addr show lo"
    )
    if find_kernel().modules:
        script += "; ip link add v type vrf table 9"  # its module is loaded on demand
    status, out, err = guest("sh", "-c", script)
    assert (status, err) == (0, b"")
    assert b"netem" in out
    assert b"n\n" in out
    assert b"::1" in out
    assert Path("/run/netns").exists() == before


def test_a_kernel_that_cannot_boot_says_its_last_lines() -> None:
    with pytest.raises(GuestError, match=r"(?s)panicked.*Kernel panic.*no-such-init"):
        run_in_guest(["true"], kernel_arguments=["init=/no-such-init", "panic=1"])


def test_as_a_function(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as out_file, err.open("wb") as err_file, open(os.devnull, "rb") as null:
        here = functools.partial(
            run_in_guest,
            stdin=null.fileno(),
            stdout=out_file.fileno(),
            stderr=err_file.fileno(),
        )
        script = "echo $A $PWD; nproc; exit 3"
        env = {"A": "b", "PATH": os.environ["PATH"]}
        assert here(["sh", "-c", script], env=env, cwd="/usr", memory="96M") == 3
        with pytest.raises(GuestTimeoutError, match="within 2 s"):
            here(["sleep", "1000"], timeout_s=2)
    assert out.read_text() == "b /usr\n1\n"
    assert err.read_bytes() == b""


def test_misuse_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="memory must be at least 64M"):
        run_in_guest(["true"], memory="1M")
    with pytest.raises(ValueError, match="command is needed"):
        run_in_guest([])
    with pytest.raises(ValueError, match="NUL"):
        run_in_guest(["a\0b"])
    with pytest.raises(GuestError, match="no such working directory: /absent"):
        run_in_guest(["true"], cwd="/absent")
    assert main([]) == 2
    assert main(["--kernel", "/absent", "--", "true"]) == 125
    assert "linkem guest: no kernel at /absent: on Debian" in capfd.readouterr().err
    monkeypatch.setenv("LINKEM_GUEST", "1")
    with pytest.raises(GuestUnavailableError, match="guest already"):
        run_in_guest(["true"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_reach_the_command(number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo caught; exit 5' {name}; echo ready; while :; do sleep 0.1; done"
    with start("--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.read() == b"caught\n"
        assert process.wait(DEADLINE_S) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_ends_the_command_shows_in_the_status(number: signal.Signals) -> None:
    with start("--", "sh", "-c", "echo ready; exec sleep 1000") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 128 + number


def test_a_stubborn_command_ends_when_insisted_on() -> None:
    with start("--", "sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 0.1; done") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for _ in range(3):
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert process.wait(DEADLINE_S) == 130


def test_a_signal_during_the_boot_ends_it_at_once() -> None:
    with start("--", "sleep", "1000") as process:
        time.sleep(0.25)
        process.terminate()
        assert process.wait(DEADLINE_S) in (143, -signal.SIGTERM)
