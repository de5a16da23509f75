"""The study database: one row a study, in an SQLite file or in PostgreSQL.

A study is written in one transaction, over what was there, so a killed process
leaves each study either whole or untouched, and the same study twice is one row.
Which pipeline and protocol made a row, and from which files, is kept beside it:
that is how an interrupted run knows what it need not do again.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from records.errors import Reason, StoreError
from records.model import Provenance, Screening, VerdictLabel
from records.stored import StoredStudy, unpack, unreadable

__all__ = ["SCHEMA_VERSION", "Store", "StoredStudy", "open_kept_store", "open_store"]

SCHEMA_VERSION = 1

BUSY_SECONDS = 60  # how long one writer waits for another before it gives up
ROWS_A_QUERY = 100
KEYS_A_QUERY = 500

# What the engine says of a study when the study itself said nothing: worth another try.
UNFINISHED = (Reason.CRASHED, Reason.TIMED_OUT, Reason.OUT_OF_MEMORY)

_schema = MetaData()

_version = Table("mipc_schema", _schema, Column("version", Integer, primary_key=True))

_studies = Table(
    "mipc_studies",
    _schema,
    Column("study_key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("program_version", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("protocol_name", Text, nullable=False),
    Column("protocol_sha256", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("probability", Float),
    Column("reason", Text),
    Column("seconds", Float, nullable=False),
    Column("result", LargeBinary, nullable=False),  # the screening as JSON, deflated
)

# Apart from the results, so that reading a thousand results does not read a gigabyte of pictures.
_pictures = Table(
    "mipc_pictures",
    _schema,
    Column("study_key", Text, primary_key=True),
    Column("pictures", LargeBinary, nullable=False),
)

# Built once: putting a statement together takes SQLAlchemy longer than a database needs to answer it.
_FINISHED = select(_studies.c.study_key, _studies.c.fingerprint).where(
    _studies.c.study_key.in_(bindparam("keys", expanding=True)),
    _studies.c.program_version == bindparam("program"),
    _studies.c.model_version == bindparam("model"),
    _studies.c.protocol_sha256 == bindparam("protocol"),
    _studies.c.reason.is_(None) | _studies.c.reason.not_in([reason.value for reason in UNFINISHED]),
)
_STUDIES = select(_studies).where(_studies.c.study_key.in_(bindparam("keys", expanding=True)))
_PICTURES = select(_pictures.c.pictures).where(_pictures.c.study_key == bindparam("key"))
_NO_PICTURES = delete(_pictures).where(_pictures.c.study_key == bindparam("key"))


class Store:
    """An open study database; a context manager that closes it.

    Parameters
    ----------
    engine : Engine
        An SQLite or PostgreSQL engine, as `open_store` makes it.
    name : str
        What to call it in a message: no password.

    Raises
    ------
    StoreError
        If it cannot be reached, is no database, or has another schema.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._writer = engine.execution_options(mipc_writes=True)
        self._save_study = _upsert(engine, _studies)
        self._save_pictures = _upsert(engine, _pictures)
        try:
            with self._transaction() as connection:
                self._prepare(connection)
        except StoreError:
            engine.dispose()
            raise

    def save(self, study: StoredStudy) -> None:
        """Write a study, in place of what was kept of it."""
        key = study_key(study.study_uid)
        provenance = study.provenance
        row = {
            "study_key": key,
            "fingerprint": study.fingerprint,
            "program_version": provenance.program_version,
            "model_version": provenance.model_version,
            "protocol_name": provenance.protocol_name,
            "protocol_sha256": provenance.protocol_sha256,
            "verdict": study.verdict.value,
            "probability": study.probability,
            "reason": study.reason and study.reason.value,
            "seconds": study.seconds,
            "result": study.result,
        }
        with self._transaction() as connection:
            connection.execute(self._save_study, row)
            if study.pictures is None:
                connection.execute(_NO_PICTURES, {"key": key})
            else:
                connection.execute(self._save_pictures, {"study_key": key, "pictures": study.pictures})

    def finished(self, study_uids: Sequence[str], provenance: Provenance) -> dict[str, str]:
        """Return which studies this pipeline and protocol have judged, with the fingerprint of their images.

        A study that crashed, ran out of time or of memory is not among them: it gets
        another try each time it is asked for.
        """
        made = {
            "program": provenance.program_version,
            "model": provenance.model_version,
            "protocol": provenance.protocol_sha256,
        }
        found = {}
        for start in range(0, len(study_uids), KEYS_A_QUERY):
            uids = {study_key(uid): uid for uid in study_uids[start : start + KEYS_A_QUERY]}
            with self._reading() as connection:
                for key, fingerprint in connection.execute(_FINISHED, {**made, "keys": list(uids)}):
                    found[uids[key]] = fingerprint
        return found

    def studies(self, study_uids: Sequence[str]) -> Iterator[StoredStudy]:
        """Yield what is kept of these studies, in the order asked for; unknown ones are left out.

        Pictures are not read along: `pictures` is None here, whether or not there are any.
        """
        for start in range(0, len(study_uids), ROWS_A_QUERY):
            uids = {study_key(uid): uid for uid in study_uids[start : start + ROWS_A_QUERY]}
            with self._reading() as connection:
                rows = connection.execute(_STUDIES, {"keys": list(uids)})
                found = {row.study_key: row for row in rows}
            yield from (_stored_study(uid, found[key]) for key, uid in uids.items() if key in found)

    def screenings(self, study_uids: Sequence[str]) -> Iterator[Screening]:
        """Yield the screenings of these studies, in the order asked for; unknown ones are left out."""
        return (stored.screening for stored in self.studies(study_uids))

    def all_screenings(self) -> Iterator[Screening]:
        """Yield every screening kept, in the order of the studies' keys."""
        with self._reading() as connection:
            rows = connection.execute(
                select(_studies.c.study_key, _studies.c.result).order_by(_studies.c.study_key)
            )
            yield from (unpack(row.result, row.study_key) for row in rows)

    def pictures(self, study_uid: str) -> bytes | None:
        """Return the pictures of a study, or None if there are none."""
        with self._reading() as connection:
            return connection.execute(_PICTURES, {"key": study_key(study_uid)}).scalar_one_or_none()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, connection: Connection) -> None:
        """Make the tables of a new store, or check that an old one is ours to read."""
        if self._engine.dialect.name == "postgresql":  # two first users at once make one set of tables
            connection.execute(select(func.pg_advisory_xact_lock(0x6D697063)))
        if not inspect(connection).has_table(_version.name):
            _schema.create_all(connection)
            connection.execute(insert(_version).values(version=SCHEMA_VERSION))
            return
        found = connection.execute(select(func.max(_version.c.version))).scalar_one()
        if found != SCHEMA_VERSION:
            age = "another" if found is None else "a newer" if found > SCHEMA_VERSION else "an older"
            raise StoreError(
                f"the store {self.name} was made by {age} mipc (schema {found}, this one reads schema "
                f"{SCHEMA_VERSION}): use that version, or another --store"
            )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._sentences(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._sentences(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn what the database says into one sentence that names the store."""
        try:
            yield
        except DBAPIError as error:
            lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
            raise StoreError(f"the store {self.name} cannot be used: {lines[0]}") from error


def open_kept_store(where: str | Path) -> Store:
    """Open a study database that is there; a name mistyped makes no empty one.

    Raises
    ------
    StoreError
        If it is not there, or cannot be used.
    """
    url = _url(where)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise StoreError(f"there is no store {url.database}; mipc screen writes one")
    return open_store(where)


def open_store(where: str | Path) -> Store:
    """Open the study database, making it if it is new.

    Parameters
    ----------
    where : str or Path
        A file (SQLite) or `postgresql://user@host/database`.

    Raises
    ------
    StoreError
        If it cannot be reached, is no database, or has another schema.
    """
    url = _url(where)
    if url.get_backend_name() == "postgresql":
        return Store(_postgresql_engine(url), url.render_as_string(hide_password=True))
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"no store can be made at {path}: {error.strerror}") from error
    return Store(_sqlite_engine(url), str(path))


def study_key(study_uid: str) -> str:
    r"""Return the text by which a study is found: its UID, made safe for any database.

    A valid UID is its own key. Others may hold NUL, which PostgreSQL refuses, or be
    longer than its index takes.

    >>> study_key("1.2.840.113619.2")
    '1.2.840.113619.2'
    >>> study_key("1.2\0")
    '1.2\\x00'
    """
    key = study_uid.encode("unicode_escape").decode("ascii")
    return key if len(key) <= 256 else "sha256:" + hashlib.sha256(key.encode("ascii")).hexdigest()


def _upsert(engine: Engine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return the statement that writes a row in place of one with the same key."""
    statement: postgresql.Insert | sqlite.Insert
    statement = postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)
    rest = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=[table.c.study_key], set_=rest)


def _stored_study(study_uid: str, row: Row[Any]) -> StoredStudy:
    made = Provenance(row.program_version, row.model_version, row.protocol_name, row.protocol_sha256)
    try:
        verdict = VerdictLabel(row.verdict)
        reason = Reason(row.reason) if row.reason is not None else None
    except ValueError as error:
        raise StoreError(unreadable(study_uid)) from error
    return StoredStudy(
        study_uid=study_uid,
        fingerprint=row.fingerprint,
        provenance=made,
        verdict=verdict,
        probability=row.probability,
        reason=reason,
        seconds=row.seconds,
        result=row.result,
        pictures=None,
    )


def _url(where: str | Path) -> URL:
    if isinstance(where, str) and "://" in where:
        return _database_url(where)
    return URL.create("sqlite", database=str(Path(where).absolute()))


def _database_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "the --store URL cannot be read: expected postgresql://user@host/database"
        ) from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        return url
    if backend not in ("postgresql", "postgres"):
        raise StoreError(f"a store is an SQLite file or a postgresql:// URL, not {backend}://")
    return url.set(drivername="postgresql+psycopg")


def _postgresql_engine(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise StoreError("a PostgreSQL store needs a driver: pip install 'mipc[postgresql]'") from error


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and one writer work side by side.

    While another process does the same to a new file SQLite says that it is locked, at once: it has its
    writers wait, but not those who change the kind of journal.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.02)


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # SQLAlchemy, not sqlite3, says when a transaction begins
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once and waits its turn; taken half way, the wait could not end.
        writes = connection.get_execution_options().get("mipc_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
