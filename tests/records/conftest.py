import tempfile
from pathlib import Path

import pytest

from tests.records import postgresql


@pytest.fixture(scope="session")
def postgresql_socket():
    if postgresql.server_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    # Not under pytest's own folder, which only this user may enter; socket paths are short.
    with tempfile.TemporaryDirectory(prefix="mipc-pg-") as folder:
        with postgresql.running_server(Path(folder)) as socket:
            yield socket


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    """Where a new, empty store may be made: every test that asks runs on both databases."""
    if request.param == "sqlite":
        return str(tmp_path / "new" / "mipc.db")
    return postgresql.new_database(request.getfixturevalue("postgresql_socket"))
