"""The archives we may speak to: one TOML file of named nodes, read and checked once.

Passwords and tokens are not in it: it names the files that hold them, which only
their owner may be able to read.
"""

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

__all__ = [
    "DimseNode",
    "Nodes",
    "NodesFileError",
    "Ourselves",
    "PacsError",
    "Retrieve",
    "Tls",
    "WebNode",
    "load_nodes",
]

PATIENCE_SECONDS = 60.0


class PacsError(Exception):
    """An archive cannot be reached, refuses, or stopped half way: a sentence says which and what to do."""


class NodesFileError(PacsError):
    """The file of archives is not there, cannot be read, or has no archive of that name: wrong usage."""


class Retrieve(StrEnum):
    """How images come over DICOM networking."""

    GET = "get"  # on the connection we opened
    MOVE = "move"  # on a connection that the archive opens to us; most archives know only this


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption of DICOM networking.

    Attributes
    ----------
    ca : Path or None
        Who vouches for the archive; None asks the system's list.
    certificate, key : Path or None
        Ours, where the archive asks for one.
    checks_name : bool
        Whether the archive's certificate has to name its host.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    checks_name: bool = True


@dataclass(frozen=True, slots=True)
class Ourselves:
    """How we introduce ourselves.

    Attributes
    ----------
    ae_title : str
        What archives know us by.
    host, port
        Where we listen while images are moved to us.
    """

    ae_title: str = "MIPC"
    host: str = "0.0.0.0"
    port: int = 11112


@dataclass(frozen=True, slots=True)
class DimseNode:
    """An archive that speaks DICOM networking (PS3.7, PS3.8)."""

    name: str
    host: str
    port: int
    ae_title: str
    retrieve: Retrieve = Retrieve.GET
    timeout_seconds: float = PATIENCE_SECONDS
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class WebNode:
    """An archive that speaks DICOMweb (PS3.18)."""

    name: str
    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    ca: Path | None = None
    timeout_seconds: float = PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Nodes:
    """What the file says."""

    ourselves: Ourselves
    by_name: Mapping[str, DimseNode | WebNode]

    def named(self, name: str) -> DimseNode | WebNode:
        """Return a node.

        Raises
        ------
        NodesFileError
            If there is none of that name; tells which there are.
        """
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise NodesFileError(f"no node is called {name!r}; the file has: {known}")
        return self.by_name[name]


def load_nodes(path: Path) -> Nodes:
    """Read the file of nodes.

    Raises
    ------
    NodesFileError
        If it cannot be read, or says something that is not understood.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NodesFileError(f"there is no file of archives at {path}; docs/pacs.md shows one") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise NodesFileError(f"{path} cannot be read: {error}") from error
    table = _Table(path, "the file", said)
    ours = table.table("mipc")
    ourselves = Ourselves(
        ae_title=_ae_title(ours, "MIPC"),
        host=ours.text("host", Ourselves().host),
        port=ours.port("port", Ourselves().port),
    )
    ours.ends()
    nodes = table.table("nodes")
    by_name = {name: _node(name, nodes.table(name)) for name in list(nodes.said)}
    table.ends()
    return Nodes(ourselves, by_name)


def _node(name: str, table: "_Table") -> DimseNode | WebNode:
    kind = table.one_of("kind", ("dimse", "dicomweb"))
    timeout = table.seconds("timeout_seconds", PATIENCE_SECONDS)
    node: DimseNode | WebNode
    if kind == "dicomweb":
        url = table.text("url")
        if not url.startswith(("http://", "https://")):
            raise table.fault(f"url has to start with http:// or https://, not {url!r}")
        node = WebNode(
            name=name,
            url=url.rstrip("/"),
            user=table.text("user", ""),
            password=table.secret("password_file"),
            token=table.secret("token_file"),
            ca=table.file("ca"),
            timeout_seconds=timeout,
        )
    else:
        node = DimseNode(
            name=name,
            host=table.text("host"),
            port=table.port("port", 104),
            ae_title=_ae_title(table),
            retrieve=Retrieve(table.one_of("retrieve", tuple(Retrieve), Retrieve.GET)),
            timeout_seconds=timeout,
            tls=_tls(table.table("tls")) if "tls" in table.said else None,
        )
    table.ends()
    return node


def _tls(table: "_Table") -> Tls:
    tls = Tls(
        table.file("ca"), table.file("certificate"), table.file("key"), table.truth("checks_name", True)
    )
    table.ends()
    return tls


def _ae_title(table: "_Table", default: str | None = None) -> str:
    title = table.text("ae_title", default).strip()
    if not 0 < len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise table.fault(f"ae_title has to be 1 to 16 plain letters (PS3.5 6.2), not {title!r}")
    return title


class _Table:
    """A table of the file, from which values are taken one by one; what is left over is a mistake."""

    def __init__(self, path: Path, name: str, said: Mapping[str, Any]) -> None:
        self.path, self.name, self.said = path, name, dict(said)

    def fault(self, sentence: str) -> NodesFileError:
        return NodesFileError(f"{self.path}, {self.name}: {sentence}")

    def ends(self) -> None:
        if self.said:
            raise self.fault(f"{', '.join(sorted(self.said))} is not known here")

    def table(self, key: str) -> "_Table":
        value = self.said.pop(key, {})
        if not isinstance(value, dict):
            raise self.fault(f"{key} has to be a table")
        return _Table(self.path, f"[{key}]" if self.name == "the file" else f"{self.name} {key}", value)

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._take(key, str, default))

    def truth(self, key: str, default: bool) -> bool:
        return bool(self._take(key, bool, default))

    def seconds(self, key: str, default: float) -> float:
        value = float(self._take(key, (int, float), default))
        if not 0 < value <= 86400:
            raise self.fault(f"{key} has to be between 0 and 86400, not {value:g}")
        return value

    def port(self, key: str, default: int) -> int:
        value = int(self._take(key, int, default))
        if not 0 < value < 65536:
            raise self.fault(f"{key} has to be between 1 and 65535, not {value}")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in allowed:
            raise self.fault(f"{key} is {' or '.join(allowed)}, not {value!r}")
        return value

    def file(self, key: str) -> Path | None:
        value = self.text(key, "")
        if not value:
            return None
        path = self.path.parent / Path(value).expanduser()  # an absolute path stays as it is
        if not path.is_file():
            raise self.fault(f"{key} names {path}, which is not there")
        return path

    def secret(self, key: str) -> str:
        path = self.file(key)
        if path is None:
            return ""
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise self.fault(f"{path} can be read by others (mode {mode:o}); make it 600")
        return path.read_text(encoding="utf-8").strip()

    def _take(self, key: str, kind: type | tuple[type, ...], default: object) -> Any:
        value = self.said.pop(key, default)
        if value is None:
            raise self.fault(f"{key} is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fault(f"{key} has a value of the wrong kind: {value!r}")
        return value
