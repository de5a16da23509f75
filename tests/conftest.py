"""What every test may rely on."""

import os

import hypothesis
import pytest

hypothesis.settings.register_profile("mipc", deadline=None)  # a busy machine is not a fault
hypothesis.settings.load_profile("mipc")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that skipped a test, where `MIPC_NO_SKIPS` says that nothing may be missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("MIPC_NO_SKIPS") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
