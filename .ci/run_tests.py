"""Every check and every test of the project: `make test`.

1. format, lint, types, import contracts (.ci/check)
2. pytest in this kernel, with the coverage of the pure packages
3. the tests for which this kernel lacks something, in a user-mode kernel
4. the sum: a test counts once, by what became of it where it could run; which were skipped for want of a kernel
   that can run in virtual time is said by name

Fails when anything failed, and when no kernel test ran anywhere. A few failures outside the pure packages
are tried once more, because a busy machine disturbs what measures time: the sum names every test that passed
only then, and a defect fails twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

BIN = Path(".venv/bin")
PYTHON = str(BIN / "python")
GUEST = [str(BIN / "linkem"), "guest"]
RECORDS = Path("build/tests")
GUEST_TIMEOUT_S = 2400
UNBUILT = "skipped, because no kernel here can run in virtual time (`make kernel` builds one, once, in about 4 minutes)"
# More failures than this are not the machine's; and nothing disturbs what is pure.
MOST_REPEATED = 8
PURE = ("tests/model/", "tests/plan/")

Entry = dict[str, object]


def main() -> int:
    os.chdir(Path(__file__).parent.parent)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # unwind as for ctrl-C
    RECORDS.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []

    heading("checks")
    if run([".ci/check"]):
        problems.append("format, lint, types or import contracts")

    heading(f"tests in this kernel, Linux {platform.release()}")
    code, tests = pytest([], record=RECORDS / "host.jsonl", runner=[PYTHON, "-m", "coverage", "run", "-m"])
    unsteady = repeat(tests, RECORDS / "host.jsonl", runner=[PYTHON, "-m"])
    if not ran_well(code, tests, unsteady):
        problems.append(f"pytest in this kernel ended with status {code}")
    elif not failed(tests):
        heading("coverage of model and plan")
        if run([PYTHON, "-m", "coverage", "report", "--fail-under=100"]):
            problems.append("model and plan are not covered completely")

    if missing := [test for test, entry in tests.items() if entry["lacks"]]:
        problems += in_a_guest(missing, tests, unsteady)
    if not any(entry["kernel"] and entry["outcome"] != "skipped" for entry in tests.values()):
        problems.append("no kernel test ran")

    return conclude(tests, problems, unsteady)


def in_a_guest(missing: list[str], tests: dict[str, Entry], unsteady: list[str]) -> list[str]:
    """Run `missing` in a user-mode kernel and put the outcomes into `tests`. Returns problems."""
    heading(f"tests for which it lacks something, in a user-mode kernel: {len(missing)}")
    if run([*GUEST, "--", "true"]):
        print("No user-mode kernel works here: they stay skipped.")
        return []
    guest = [*GUEST, "--memory", "2G", "--timeout", str(GUEST_TIMEOUT_S), "--"]
    record = RECORDS / "guest.jsonl"
    only = [f"--retry={RECORDS / 'host.jsonl'}", "-p", "no:cacheprovider"]
    code, again = pytest(only, record=record, runner=[*guest, PYTHON, "-m"])
    repeated = repeat(again, record, runner=[*guest, PYTHON, "-m"])
    unsteady += repeated
    well = ran_well(code, again, repeated)
    problems = [] if well else [f"pytest in the user-mode kernel ended with status {code}"]
    for test in missing:
        if test not in again:
            problems.append(f"did not finish in the user-mode kernel: {test}")
        tests[test] = again.pop(test, {**tests[test], "outcome": "failed"})
    tests.update(again)  # files that could not even be collected
    return problems


def pytest(arguments: list[str], *, record: Path, runner: list[str]) -> tuple[int, dict[str, Entry]]:
    """Run pytest by `runner`. Returns its exit status and what became of each test."""
    record.unlink(missing_ok=True)
    code = run([*runner, "pytest", "-q", f"--record={record}", *arguments])
    lines = record.read_text().splitlines() if record.exists() else []
    return code, {entry["test"]: entry for entry in map(json.loads, lines)}


def repeat(tests: dict[str, Entry], record: Path, *, runner: list[str]) -> list[str]:
    """Try the few tests that failed once more, and put the outcomes into `tests`. Returns those that passed now."""
    names = failed(tests)
    if not 0 < len(names) <= MOST_REPEATED or any(name.startswith(PURE) for name in names):
        return []
    heading(f"once more, because they failed: {len(names)}")
    only = [f"--repeat={record}", "-p", "no:cacheprovider"]
    _, again = pytest(only, record=record.with_suffix(".again.jsonl"), runner=runner)
    passed = [name for name in names if name in again and again[name]["outcome"] == "passed"]
    for name in passed:
        tests[name] = again[name]
    return passed


def failed(tests: dict[str, Entry]) -> list[str]:
    return [name for name, entry in tests.items() if entry["outcome"] == "failed"]


def ran_well(code: int, tests: dict[str, Entry], repeated: list[str]) -> bool:
    """Whether the exit status says no more than the tests: 0, or 1 and some failed, if only at first."""
    return code == 0 or (code == 1 and bool(failed(tests) or repeated))


def run(command: list[str]) -> int:
    """Run a command to its end. An interrupt gives it time to put its things away."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            for signal_number in (None, signal.SIGTERM, signal.SIGKILL):
                if signal_number:
                    process.send_signal(signal_number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)
                    break
            raise


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def conclude(tests: dict[str, Entry], problems: list[str], unsteady: list[str]) -> int:
    counts = Counter(str(entry["outcome"]) for entry in tests.values())
    heading("sum")
    for name in unsteady:
        print(f"passed only when repeated: {name}")
    if unbuilt := sorted(test for test, entry in tests.items() if entry["unbuilt"] and entry["outcome"] == "skipped"):
        print(f"{UNBUILT}:", *unbuilt, sep="\n  ")
    for problem in problems:
        print(f"failed: {problem}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return 1 if problems or counts["failed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
