"""Every check and every test of the project: `make test`.

1. which tests lack something in this kernel (a collection alone)
2. side by side, as many as there are processors: format, lint, types and import contracts (.ci/check); the pure tests,
   with the coverage of `model` and `plan`; the other tests in this kernel; and those that lack something here in
   user-mode kernels, some files in each
3. what the packaged user-mode kernel lacks, too, in one that was built (`make kernel`), if there is one
4. the sum: a test counts once, by what became of it where it could run; which were skipped for want of a
   kernel that can run in virtual time is said by name

Fails when anything failed, and when no kernel test ran anywhere. What a guest did not come to is run once more in
another one. A few failures outside the pure tests are tried once more, alone, because a busy machine disturbs what
measures time: the sum names every test that passed only then, and a defect fails twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from linkem_py.guest.kernels import GuestKernel, find_kernels

BIN = Path(".venv/bin")
PYTHON = str(BIN / "python")
LINKEM = str(BIN / "linkem")
RECORDS = Path("build/tests")
UNBUILT = "skipped, because no kernel here can run in virtual time (`make kernel` builds one, once, in some minutes)"
PURE = ("tests/model", "tests/plan")
SIDE_BY_SIDE = min(4, os.cpu_count() or 1)
# A guest that hangs takes no more than its own files with it, and these again.
TESTS_PER_GUEST = 60
GUEST_TIMEOUT_S = 900
# More failures than this are not the machine's; and nothing disturbs what is pure.
MOST_REPEATED = 12

Entry = dict[str, object]


@dataclass
class Job:
    """A command that runs beside others, what it prints, and the record of its tests."""

    name: str
    command: list[str]
    tests: list[str] = field(default_factory=list)  # that a guest is for; empty: not in a guest
    kernel: GuestKernel | None = None
    last: bool = False  # whether it is the last guest for them
    code: int = -1

    @property
    def record(self) -> Path:
        return RECORDS / f"{self.name}.jsonl"

    @property
    def log(self) -> Path:
        return RECORDS / f"{self.name}.log"

    def outcomes(self) -> dict[str, Entry]:
        return read(self.record)

    def left(self) -> list[str]:
        """The tests that it did not come to."""
        outcomes = self.outcomes()
        return [test for test in self.tests if test not in outcomes]


def main() -> int:
    os.chdir(Path(__file__).parent.parent)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # unwind as for ctrl-C
    RECORDS.mkdir(parents=True, exist_ok=True)
    for old in RECORDS.iterdir():
        old.unlink()

    missing, kernels = lacking(), guest_kernels()
    heading(f"Linux {platform.release()} lacks something for {len(missing)} tests")
    print(
        "user-mode kernels that work here:", *([str(kernel) for kernel in kernels] or ["none"]), sep="\n  ", flush=True
    )
    jobs = [Job("checks", [".ci/check"]), pure_tests(), other_tests()]
    if kernels:
        jobs += in_guests(missing, kernels[0])
    tests: dict[str, Entry] = {}
    guests: dict[str, GuestKernel | None] = {}
    problems: list[str] = []
    for number in range(max(1, len(kernels))):
        if number:  # what the first kernel could not do either
            jobs = in_guests([test for test in missing if tests.get(test, {}).get("lacks")], kernels[number])
        for job in sorted(run_all(deque(jobs)), key=lambda job: bool(job.tests)):
            tests |= job.outcomes()  # what a guest says comes after what this kernel lacked
            guests |= dict.fromkeys(job.tests, job.kernel)
            problems += said_of(job)
    unsteady = once_more(tests, guests)
    if not any(name.startswith(PURE) for name in failed(tests)):
        heading("coverage of the pure packages")
        if run([PYTHON, "-m", "coverage", "report", "--fail-under=100"]):
            problems.append("model and plan are not covered completely")
    if not any(entry["kernel"] and entry["outcome"] != "skipped" for entry in tests.values()):
        problems.append("no kernel test ran")
    return conclude(tests, problems, unsteady)


def lacking() -> list[str]:
    """The tests that this kernel cannot run, in the order of their files."""
    record = RECORDS / "lacking.jsonl"
    quiet = ["--collect-only", "-qq", "-p", "no:cacheprovider", f"--lacking={record}"]
    quietly([PYTHON, "-m", "pytest", *quiet])
    return list(read(record))


def pure_tests() -> Job:
    name = "pure"
    return Job(name, [PYTHON, "-m", "coverage", "run", "-m", *pytest(name, *PURE)])


def other_tests() -> Job:
    name = "here"
    return Job(name, [PYTHON, "-m", *pytest(name, "tests", *(f"--ignore={folder}" for folder in PURE))])


def guest_kernels() -> list[GuestKernel]:
    """The packaged kernel, which most users have, and the newest built one; those that work."""
    found = {kernel.source: kernel for kernel in reversed(find_kernels())}
    kernels = [found[source] for source in ("environment", "package", "cache") if source in found]
    return [kernel for kernel in kernels if not quietly([LINKEM, "guest", "--kernel", str(kernel.path), "--", "true"])]


def in_guests(tests: list[str], kernel: GuestKernel) -> list[Job]:
    named = f"guest-{kernel.version}"
    return [guest_tests(f"{named}-{number}", part, kernel) for number, part in enumerate(portions(tests), 1)]


def guest_tests(name: str, tests: list[str], kernel: GuestKernel, *, last: bool = False) -> Job:
    guest = [LINKEM, "guest", "--kernel", str(kernel.path), "--memory", "2G", "--timeout", str(GUEST_TIMEOUT_S)]
    return Job(name, [*guest, "--", PYTHON, "-m", *only(name, tests)], tests, kernel, last)


def only(name: str, tests: list[str]) -> list[str]:
    """Pytest for these tests."""
    wanted = RECORDS / f"{name}.wanted.txt"
    wanted.write_text("".join(f"{test}\n" for test in tests))
    return pytest(name, *dict.fromkeys(map(file_of, tests)), f"--only={wanted}")


def pytest(name: str, *arguments: str) -> list[str]:
    return ["pytest", "-q", "-p", "no:cacheprovider", f"--record={RECORDS / name}.jsonl", *arguments]


def portions(tests: list[str]) -> Iterator[list[str]]:
    """The tests of whole files, about `TESTS_PER_GUEST` at a time."""
    portion: list[str] = []
    for file in dict.fromkeys(map(file_of, tests)):
        of_file = [test for test in tests if file_of(test) == file]
        if portion and len(portion) + len(of_file) > TESTS_PER_GUEST:
            yield portion
            portion = []
        portion += of_file
    if portion:
        yield portion


def run_all(jobs: deque[Job]) -> Iterator[Job]:
    """Run `jobs`, `SIDE_BY_SIDE` at a time, and print what each has said as it ends."""
    running: list[tuple[Job, subprocess.Popen[bytes], float]] = []
    try:
        while jobs or running:
            while jobs and len(running) < SIDE_BY_SIDE:
                job = jobs.popleft()
                print(f"-- begins: {job.name}", flush=True)
                with job.log.open("wb") as log:
                    process = subprocess.Popen(
                        job.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                    )
                running.append((job, process, time.monotonic()))
            for entry in [entry for entry in running if entry[1].poll() is not None]:
                running.remove(entry)
                job, process, begun = entry
                job.code = process.returncode
                heading(f"{job.name}: ended with status {job.code} after {time.monotonic() - begun:.0f} s")
                print(job.log.read_text(errors="replace"), flush=True)
                if job.kernel is not None and not job.last and (left := job.left()):
                    jobs.append(guest_tests(f"{job.name}-rest", left, job.kernel, last=True))
                yield job
            time.sleep(0.1)
    except BaseException:
        for _, process, _ in running:
            end(process)
        raise


def said_of(job: Job) -> list[str]:
    """What is wrong with a job beside failed tests."""
    if job.name == "checks":
        return ["format, lint, types or import contracts"] if job.code else []
    if left := job.left():
        return [f"did not finish in two user-mode kernels: {test}" for test in left] if job.last else []
    # status 0, or 1 for failed tests, says no more than the tests
    well = job.code == 0 or (job.code == 1 and bool(failed(job.outcomes())))
    return [] if well else [f"pytest ({job.name}) ended with status {job.code}"]


def once_more(tests: dict[str, Entry], guests: dict[str, GuestKernel | None]) -> list[str]:
    """Try the few tests that failed once more, and put the outcomes into `tests`. Returns those that passed now.

    `guests`: the kernel of each test that was run in a guest.
    """
    names = failed(tests)
    if not 0 < len(names) <= MOST_REPEATED or any(name.startswith(PURE) for name in names):
        return []
    heading(f"once more, because they failed: {len(names)}")
    outcomes: dict[str, Entry] = {}
    for kernel in dict.fromkeys(guests.get(name) for name in names):
        part = [name for name in names if guests.get(name) == kernel]
        if kernel is None:
            job = Job("here-once-more", [PYTHON, "-m", *only("here-once-more", part)])
        else:
            job = guest_tests(f"guest-{kernel.version}-once-more", part, kernel)
        run(job.command)
        outcomes |= job.outcomes()
    passed = [name for name in names if name in outcomes and outcomes[name]["outcome"] == "passed"]
    tests.update((name, outcomes[name]) for name in passed)
    return passed


def read(record: Path) -> dict[str, Entry]:
    """The lines of a record by their test."""
    lines = record.read_text().splitlines() if record.exists() else []
    return {entry["test"]: entry for entry in map(json.loads, lines)}


def file_of(test: str) -> str:
    return test.partition("::")[0]


def failed(tests: dict[str, Entry]) -> list[str]:
    return [name for name, entry in tests.items() if entry["outcome"] == "failed"]


def run(command: Iterable[str]) -> int:
    """Run a command to its end. An interrupt gives it time to put its things away."""
    with subprocess.Popen(list(command), stdin=subprocess.DEVNULL) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            end(process)
            raise


def quietly(command: list[str]) -> int:
    null = subprocess.DEVNULL
    return subprocess.run(command, stdin=null, stdout=null, stderr=null, check=False).returncode


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was interrupted, and insist."""
    for signal_number in (None, signal.SIGTERM, signal.SIGKILL):
        if signal_number:
            process.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
            return


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def conclude(tests: dict[str, Entry], problems: list[str], unsteady: list[str]) -> int:
    counts = Counter(str(entry["outcome"]) for entry in tests.values())
    heading("sum")
    for name in unsteady:
        print(f"passed only when repeated: {name}")
    if unbuilt := sorted(test for test, entry in tests.items() if entry["unbuilt"] and entry["outcome"] == "skipped"):
        print(f"{UNBUILT}:", *unbuilt, sep="\n  ")
    for name in failed(tests):
        print(f"failed: {name}")
    for problem in problems:
        print(f"failed: {problem}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return 1 if problems or counts["failed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
