"""The protocol: every threshold of the verdict in one file, with its source."""

import hashlib
import tomllib
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from records.model import Provenance

__all__ = ["PROTOCOL_FILE", "Protocol", "ProtocolError", "load_protocol", "provenance"]

PROTOCOL_FILE = Path(__file__).parent / "protocol.toml"


class ProtocolError(ValueError):
    """A protocol file that can't be used; the sentence names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Thresholds; `protocol.toml` says what each means and where it comes from."""

    name: str
    sha256: str
    profuse_least_nodules: float
    tiny_largest_diameter_mm: float
    tiny_least_fraction: float
    uniform_largest_cv: float
    round_least_roundness: float
    bilateral_least_balance: float
    diffuse_least_zones: float
    diffuse_least_evenness: float
    random_largest_clustering: float
    ground_glass_largest_fraction: float
    ground_glass_largest_haze: float
    lymphangitic_largest_septal_index: float
    quality_largest_slice_mm: float
    quality_largest_noise_hu: float
    probability_offset: float
    probability_slope: float
    probability_prevalence: float
    sources: dict[str, str]


def load_protocol(path: Path | None = None) -> Protocol:
    """Read a protocol file, or the shipped one.

    Raises
    ------
    ProtocolError
        If the file is missing, is not TOML, lacks an entry, has one too many, or an entry is no number.
    """
    path = path or PROTOCOL_FILE
    try:
        raw = path.read_bytes()
        document: dict[str, Any] = tomllib.loads(raw.decode())
    except OSError as error:
        raise ProtocolError(f"cannot read the protocol {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the protocol {path} is not a TOML file: {error}") from error
    name = document.pop("name", path.stem)
    if not isinstance(name, str):
        raise ProtocolError(f"the protocol {path}: name must be text")
    values: dict[str, float] = {}
    sources: dict[str, str] = {}
    for section, entries in document.items():
        if not isinstance(entries, dict):
            raise ProtocolError(f"the protocol {path}: {section} must be a section of thresholds")
        for key, value in entries.items():
            if key == "source":
                sources[section] = str(value)
            elif isinstance(value, bool) or not isinstance(value, int | float):
                raise ProtocolError(f"the protocol {path}: {section}.{key} must be a number, found {value!r}")
            else:
                values[f"{section}_{key}"] = float(value)
    known = {field.name for field in fields(Protocol)} - {"name", "sha256", "sources"}
    if missing := sorted(known - set(values)):
        raise ProtocolError(f"the protocol {path} lacks {', '.join(missing)}")
    if unknown := sorted(set(values) - known):
        raise ProtocolError(f"the protocol {path} has unknown entries: {', '.join(unknown)}")
    return Protocol(name=name, sha256=hashlib.sha256(raw).hexdigest(), sources=sources, **values)


def provenance(protocol: Protocol, model_version: str) -> Provenance:
    """Return what every result made now is signed with."""
    return Provenance(version("mipc"), model_version, protocol.name, protocol.sha256)
