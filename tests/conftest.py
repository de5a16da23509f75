"""What every test may rely on."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.records import postgresql

# A busy machine is not a fault, and what fails today failed yesterday: examples are drawn from a fixed seed.
# Others are looked for by `pytest --hypothesis-profile search`.
_PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("mipc", _PATIENT, derandomize=True, database=None)
hypothesis.settings.register_profile("search", _PATIENT, derandomize=False)
hypothesis.settings.load_profile("mipc")

_screens = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of a run of several (pytest-xdist) a screen of its own."""
    if "PYTEST_XDIST_WORKER" not in os.environ or not os.environ.get("DISPLAY") or not shutil.which("Xvfb"):
        return
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1920x1200x24", "-nolisten", "tcp"]
    config.stash[_screens] = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read, encoding="ascii") as said:
        os.environ["DISPLAY"] = f":{said.readline().strip()}"
    os.environ.pop("XAUTHORITY", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the screen away."""
    screen = config.stash.get(_screens, None)
    if screen is not None:
        screen.terminate()
        screen.wait()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that skipped a test, where `MIPC_NO_SKIPS` says that nothing may be missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("MIPC_NO_SKIPS") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[Path]:
    """Run a PostgreSQL server, and yield where its socket is."""
    if postgresql.server_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    # Not under pytest's own folder, which only this user may enter; socket paths are short.
    with tempfile.TemporaryDirectory(prefix="mipc-pg-") as folder:
        with postgresql.running_server(Path(folder)) as socket:
            yield socket


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty store may be made: every test that asks runs on both databases."""
    if request.param == "sqlite":
        return str(tmp_path / "new" / "mipc.db")
    return postgresql.new_database(request.getfixturevalue("postgresql_socket"))
