"""A PostgreSQL server of the tests' own, on a socket in a temporary folder."""

import itertools
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_numbers = itertools.count(1)


def server_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, or None where PostgreSQL is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("pg_ctl")
    candidates = [*folders, *([Path(on_path).parent] if on_path else [])]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


@contextmanager
def running_server(folder: Path) -> Iterator[Path]:
    """Run a server that listens on a socket in `folder`, which is yielded."""
    programs = server_programs()
    assert programs is not None
    as_user = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        postgres = pwd.getpwnam("postgres")
        os.chown(folder, postgres.pw_uid, postgres.pw_gid)
        as_user = ["setpriv", f"--reuid={postgres.pw_uid}", f"--regid={postgres.pw_gid}", "--clear-groups"]
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def call(program, *arguments):
        subprocess.run(
            [*as_user, str(programs / program), *arguments],
            check=True,
            capture_output=True,
            env=environment,
            cwd=folder,
            timeout=300,
        )

    call("initdb", "-D", str(data), "-U", "mipc", "-A", "trust", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    call("pg_ctl", "start", "-w", "-t", "240", "-D", str(data), "-l", str(folder / "log"), "-o", options)
    try:
        yield folder
    finally:
        call("pg_ctl", "stop", "-t", "240", "-D", str(data), "-m", "immediate")


def new_database(socket_folder: Path) -> str:
    """Make an empty database and return its URL."""
    import psycopg

    name = f"study_{next(_numbers)}"
    with psycopg.connect(host=str(socket_folder), user="mipc", dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    return f"postgresql://mipc@/{name}?host={socket_folder}"
