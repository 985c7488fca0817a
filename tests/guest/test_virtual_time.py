from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from linkem_py.errors import GuestUnavailableError
from linkem_py.guest import run_in_guest
from linkem_py.guest.kernels import VARIABLE as KERNEL_VARIABLE
from linkem_py.guest.kernels import find_virtual_time_kernel, has_option
from linkem_py.guest.peek import Peek, symbols
from linkem_py.guest.virtual_time import GuestStalledError, Passed, VirtualTime, Watchdog, parse_rate
from tests.guest.support import run

# Two runs may differ by what the clock's reading costs (256 ns), and by failed system calls (1 us).
NOISE_S = 1e-3

SLEEPER = """
import asyncio, time
async def main():
    for _ in range(300):
        await asyncio.sleep(0.2)
print(time.time(), time.monotonic())
asyncio.run(main())
print(time.time(), time.monotonic())
"""


def virtually(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    status, out, err = run("--virtual-time", *words, stdin=stdin)
    return status, out.decode(), err.decode()


@pytest.mark.virtual_time
def test_an_hour_of_sleep_passes_at_once() -> None:
    status, out, err = virtually("--", "sh", "-c", "date +%s; sleep 3600; date +%s")
    assert (status, out) == (0, "1893456000\n1893459600\n")
    passed = re.search(r"([\d,.]+) s of virtual time passed in ([\d.]+) s of real time", err)
    assert passed is not None
    assert 3600 <= float(passed[1].replace(",", "")) < 3600 + NOISE_S
    assert float(passed[2]) < 360


@pytest.mark.virtual_time
def test_two_runs_see_the_same_times() -> None:
    runs = [virtually("--", sys.executable, "-c", SLEEPER) for _ in range(2)]
    times = [[float(word) for word in out.split()] for _, out, _ in runs]
    assert times[0] == pytest.approx(times[1], abs=NOISE_S)
    # From the first process on, too: how long the kernel took to boot is not seen.
    assert times[0][:2] == pytest.approx([1893456000, 60], abs=0.1)
    # An event loop wakes up at the next microsecond of its clock, 300 times.
    assert times[0][3] - times[0][1] == pytest.approx(60, abs=0.1)


@pytest.mark.virtual_time
def test_the_clock_starts_at_the_date_that_is_asked_for() -> None:
    status, out, _ = virtually("--start", "2031-02-03T04:05:06", "--", "date", "-u", "+%FT%T")
    assert (status, out) == (0, "2031-02-03T04:05:06\n")


@pytest.mark.virtual_time
@pytest.mark.parametrize("early", ["", "sleep 5; "], ids=["at once", "later"])
def test_a_busy_program_is_named_instead_of_hanging(early: str) -> None:
    status, _, err = virtually("--stall", "2", "--", "bash", "-c", f"{early}while :; do :; done")
    assert status == 125
    at = "5.000" if early else "0.000"
    assert re.search(rf"virtual time has stood still at {at}\d\d\d s for 2 s of real time: 'bash' is busy", err)


@pytest.mark.virtual_time
def test_the_watchdog_works_for_callers_too(tmp_path: Path) -> None:
    told: list[Passed] = []
    with open("/dev/null", "r+b") as null, pytest.raises(GuestStalledError) as caught:
        run_in_guest(
            ["sh", "-c", "sleep 7; while :; do :; done"],
            stdin=null.fileno(),
            stdout=null.fileno(),
            stderr=null.fileno(),
            virtual=VirtualTime(stall_s=1, tell=told.append),
        )
    assert (caught.value.program, round(caught.value.virtual_s)) == ("sh", 7)
    assert [round(passed.virtual_s) for passed in told] == [7]


@pytest.mark.virtual_time
def test_input_from_a_file_takes_no_time(tmp_path: Path) -> None:
    # More than fits into the memory that host and guest share.
    (tmp_path / "in").write_bytes(bytes(3_000_000))
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        status = run_in_guest(
            ["sh", "-c", "wc -c; date +%s.%N"], stdin=source.fileno(), stdout=sink.fileno(), virtual=VirtualTime()
        )
    count, time = (tmp_path / "out").read_text().split()
    assert (status, int(count)) == (0, 3_000_000)
    assert float(time) == pytest.approx(1893456000, abs=NOISE_S)


@pytest.mark.virtual_time
def test_output_that_is_read_slowly_takes_no_time() -> None:
    script = "head -c 8000000 /dev/zero; date +%s.%N >&2"
    status, out, err = virtually("--", "sh", "-c", script)
    assert (status, len(out)) == (0, 8_000_000)
    assert float(err.split()[0]) == pytest.approx(1893456000, abs=NOISE_S)


@pytest.mark.virtual_time
def test_hashes_are_the_same_in_every_run_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    script = "import os; print(os.environ['LINKEM_VIRTUAL_TIME'], os.environ['PYTHONHASHSEED'])"
    assert virtually("--", sys.executable, "-c", script)[1] == "1 0\n"
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert virtually("--", sys.executable, "-c", script)[1] == "1 7\n"


# --- without a kernel


def make_kernel(path: Path, options: str) -> Path:
    path.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo 6.12.5 || echo {options}\n")
    path.chmod(0o755)
    return path


def test_a_kernel_without_the_option_is_an_error_that_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv(KERNEL_VARIABLE, raising=False)
    plain = make_kernel(tmp_path / "plain", "CONFIG_HOSTFS=y")
    able = make_kernel(tmp_path / "able", "CONFIG_UML_TIME_TRAVEL_SUPPORT=y")
    assert has_option(able, "UML_TIME_TRAVEL_SUPPORT")
    with pytest.raises(GuestUnavailableError, match=r"plain .* cannot run in virtual time .*`linkem kernel build`"):
        find_virtual_time_kernel(str(plain))
    assert find_virtual_time_kernel(str(able)).path == able
    monkeypatch.setenv(KERNEL_VARIABLE, str(plain))
    with pytest.raises(GuestUnavailableError, match="cannot run in virtual time"):
        find_virtual_time_kernel()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--start", "yesterday", "--virtual-time"], "must be a date"),
        (["--start", "1950-01-01", "--virtual-time"], "must be between 1971 and 2200"),
        (["--stall", "0", "--virtual-time"], "must be a number of seconds above 0"),
        (
            ["--default-rate", "fast", "--virtual-time"],
            "must be a rate from 1k on, such as 500M or 1G, or none: 'fast'",
        ),
        (["--default-rate", "1G"], "--default-rate need --virtual-time"),
        (["--stall", "5"], "--start, --stall and --default-rate need --virtual-time"),
    ],
)
def test_wrong_options_are_named(words: list[str], said: str) -> None:
    status, _, err = run(*words, "--", "true")
    assert status == 2
    assert said in err.decode()


# --- values


def test_the_kernel_boots_before_the_start() -> None:
    virtual = VirtualTime(start=datetime(2031, 1, 1, tzinfo=UTC))
    assert virtual.kernel_arguments() == (
        "time-travel=inf-cpu",
        f"time-travel-start={(1924992000 - 60) * 10**9}",
    )


@pytest.mark.parametrize(
    ("text", "rate_kbit"),
    [("1G", 1e6), ("2.5M", 2500), ("64kbit", 64), ("1 Gbit/s", 1e6), (".5M", 500), ("none", None)],
)
def test_rates_are_read_as_people_write_them(text: str, rate_kbit: float | None) -> None:
    assert parse_rate(text) == rate_kbit


@pytest.mark.parametrize("text", ["", "0M", "1", "0.1k", "-1M", "90000G", "1 T", "G"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a rate"):
        parse_rate(text)


def test_the_environment_says_what_the_rate_is() -> None:
    assert VirtualTime().environment({"A": "b"})["LINKEM_DEFAULT_RATE_KBIT"] == "1e+06"
    assert VirtualTime(default_rate_kbit=None).environment({})["LINKEM_DEFAULT_RATE_KBIT"] == ""


def test_what_has_passed_reads_well() -> None:
    assert str(Passed(virtual_s=3600, real_s=0.5)) == (
        "3,600.000 s of virtual time passed in 0.50 s of real time, 7,200 times as fast"
    )
    assert "0.5 times as fast" in str(Passed(virtual_s=10, real_s=20))
    assert "times" not in str(Passed(virtual_s=0.1, real_s=3))


def test_time_that_passes_slowly_is_no_stall() -> None:
    dog = Watchdog(10)
    # A tenth of real time: a network with a heavy load.
    assert all(dog.look(second, second / 10, "iperf3") is None for second in range(100))


def test_time_that_hardly_passes_is_a_stall() -> None:
    dog = Watchdog(10)
    # A hundredth: a sender without a rate.
    assert [dog.look(second, second / 100, "iperf3") for second in range(11)] == [None] * 10 + ["iperf3"]
    assert "hardly passes (0.100 s in 10 s of real time, now at 7.000 s)" in str(GuestStalledError("x", 7, 10, 0.1))


def test_a_stall_is_noticed_after_the_time_and_the_usual_program_named() -> None:
    dog = Watchdog(10)
    # Reading the clock moves it a little: that does not count.
    found = [dog.look(second, 5 + second * 1e-6, "sh" if second == 3 else "python") for second in range(11)]
    assert found == [None] * 10 + ["python"]


def test_a_slow_reader_is_an_excuse() -> None:
    dog = Watchdog(10)
    for second in range(9):
        assert dog.look(second, 5, "cat") is None
    dog.excuse(9)
    assert dog.look(10, 5, "cat") is None
    assert dog.look(19.5, 5, "cat") is None
    assert dog.look(20, 5, "cat") == "cat"


def test_a_program_without_symbols_is_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "short").write_bytes(b"\x7fELF\x02\x01")
    (tmp_path / "empty").touch()
    for name in ("text", "short", "empty", "absent"):
        assert symbols(tmp_path / name, ("time_travel_time",)) == {}
    peek = Peek(tmp_path / "text")
    peek.open(os.getpid())
    assert (peek.works, peek.clock_ns(), peek.running()) == (False, None, "")
    peek.close()
    peek.close()
