"""Whole runs in a guest kernel: outcomes, status, files, signals. And the example, with the wheel."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import venv
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

import examples
import linkem_py

pytest_plugins = ["pytester"]

PYTEST = [sys.executable, "-m", "pytest"]
ROOT = Path(next(iter(examples.__path__))).parent

PROJECT = """
import os, pytest
from linkem_py import Impairment, Topology

topology = Topology("pair")
topology.add_peer("a")
topology.add_peer("b")
topology.connect("a", "b", Impairment(delay_ms=10))

def test_guest(): assert os.environ["LINKEM_GUEST"]

@pytest.mark.linkem(topology)
def test_ping(network): assert network.peer("a").run(["ping", "-c1", "b"]).returncode == 0

@pytest.mark.linkem(topology)
def test_failing(network):
    network.update("a", "b", delay_ms=20)
    network.peer("a").run(["ping", "-c1", "b"])
    assert 0
"""


def run(folder: Path, *arguments: str, program: list[str] = PYTEST) -> subprocess.CompletedProcess[str]:
    if not (folder / "pyproject.toml").exists():
        (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [*program, "--linkem-kernel=guest", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        stdin=subprocess.DEVNULL,
        timeout=110,
    )


@pytest.mark.guest
def test_a_run_comes_back_with_status_output_and_files(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PROJECT)
    coverage = [sys.executable, "-m", "coverage", "run", "--include=test_it.py", "-m", "pytest"]
    done = run(tmp_path, "--junitxml=junit.xml", "--linkem-capture", program=coverage)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "1 failed, 2 passed" in done.stdout
    assert "update a->b delay_ms=20" in done.stdout
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert (tmp_path / ".pytest_cache" / "v" / "cache" / "lastfailed").exists()
    report = [sys.executable, "-m", "coverage", "report", "--fail-under=100"]
    assert subprocess.run(report, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (folder,) = (tmp_path / "linkem-captures").iterdir()
    assert folder.name == "test_it.py_test_failing"
    assert all((folder / f"{peer}.pcapng").stat().st_size > 200 for peer in "ab")


@pytest.mark.guest
def test_workers_of_xdist_have_networks_of_the_same_names_at_once(tmp_path: Path) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    (tmp_path / "test_it.py").write_text(
        PROJECT.replace("assert 0", "")
        + """
@pytest.mark.linkem(topology)
@pytest.mark.parametrize("number", range(4))
def test_many(network, number):
    assert network.peer("a").run(["ping", "-c1", "b"]).returncode == 0
"""
    )
    done = run(tmp_path, "-n2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


@pytest.mark.guest
def test_an_interrupt_ends_the_run_as_it_does_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import time\ndef test(): print('it runs', flush=True); time.sleep(100)\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nlinkem_kernel = guest\n")
    command = [*PYTEST, "-s", "-q"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:  # live: it comes while the run goes on
            if "it runs" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in rest


@pytest.mark.virtual_time
def test_a_run_in_virtual_time_waits_an_hour_at_once(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        PROJECT.replace("assert 0", "")
        + """
import random, time
@pytest.mark.linkem(topology)
def test_an_hour(network):
    time.sleep(3600)
    assert network.impairment("a", "b").rate_kbit == 5e5
    print("drawn", random.random())
"""
    )
    runs = []
    for options, settings in (
        (["--linkem-virtual-time", "--linkem-default-rate=500M"], ""),
        ([], "linkem_virtual_time = true\nlinkem_default_rate = 500M\n"),
    ):
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{settings}")
        runs.append(
            subprocess.run(
                [*PYTEST, "-rP", *options],
                cwd=tmp_path,
                env={**os.environ, "PYTEST_ADDOPTS": ""},
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=110,
            )
        )
    for done in runs:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "a guest kernel, virtual time" in done.stdout
        assert re.search(r"linkem guest: 3,6\d\d\.\d+ s of virtual time passed in", done.stderr)
    drawn = [re.findall(r"drawn (.*)", done.stdout) for done in runs]
    assert drawn[0] == drawn[1] != []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--linkem-default-rate=1G"], "--linkem-default-rate needs --linkem-virtual-time"),
        (["--linkem-virtual-time", "--linkem-kernel=host"], "--linkem-virtual-time needs a guest kernel"),
    ],
)
def test_options_of_virtual_time_that_do_not_go_together_are_refused(
    tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "test_it.py").write_text("def test(): pass")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [*PYTEST, *options], cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, said in done.stderr) == (pytest.ExitCode.USAGE_ERROR, True), done.stderr


@pytest.mark.guest
def test_the_example_project_passes_with_the_wheel(tmp_path: Path) -> None:
    wheel = built_wheel(tmp_path)
    python = environment(tmp_path / "venv", wheel)
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "pytest_project", project, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    done = run(project, program=[str(python), "-m", "pytest"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
    where = [str(python), "-c", "import linkem_py; print(linkem_py.__file__)"]
    assert str(tmp_path) in subprocess.check_output(where, text=True, cwd=project)


def built_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder / "wheel"), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = (folder / "wheel").glob("linkem_py-*.whl")
    return wheel


def environment(folder: Path, wheel: Path) -> Path:
    """An environment with the wheel, and with what else is installed where these tests run."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # As pip does for a wheel without programs.
    zipfile.ZipFile(wheel).extractall(site)
    (site / "rest.pth").write_text(str(Path(pytest.__file__).parent.parent) + "\n")
    assert Path(linkem_py.__file__).parent != site / "linkem_py"
    return folder / "bin" / "python"
