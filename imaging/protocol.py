"""The protocol: every threshold of the verdict in one file, with its source."""

import hashlib
import tomllib
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imaging.legible import legible
from records.model import Provenance

__all__ = ["PROTOCOL_FILE", "Protocol", "ProtocolError", "load_protocol", "provenance"]

PROTOCOL_FILE = Path(__file__).parent / "protocol.toml"

# What an entry may be: from 0 on, where nothing else is said. Percent for a share, or a number nothing can
# measure, would change the answer of every study without a word.
RANGE = (0.0, 1e6)
SHARE = (0.0, 1.0)
RANGES = {
    "tiny_least_fraction": SHARE,
    "round_least_roundness": SHARE,
    "bilateral_least_balance": SHARE,
    "diffuse_least_zones": (0.0, 6.0),
    "diffuse_least_evenness": SHARE,
    "ground_glass_largest_fraction": SHARE,
    "ground_glass_largest_haze": SHARE,
    "lymphangitic_largest_septal_index": SHARE,
    "probability_offset": (-1e6, 1e6),
    "probability_prevalence": (1e-6, 1 - 1e-6),  # 0 and 1 have no odds
}


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
        If the file is missing, is not TOML, lacks an entry, has one too many, or an entry is no number or
        one that cannot be meant.
    """
    path = path or PROTOCOL_FILE
    try:
        raw = path.read_bytes()
        document: dict[str, Any] = tomllib.loads(raw.decode("utf-8-sig"))  # some editors begin with a mark
    except OSError as error:
        raise ProtocolError(f"cannot read the protocol {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the protocol {path} is not a TOML file: it has to be saved as UTF-8") from error
    except ValueError as error:  # also of a number of thousands of digits
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
                low, high = RANGES.get(f"{section}_{key}", RANGE)
                if not low <= value <= high:  # neither is what is not a number
                    raise ProtocolError(
                        f"the protocol {path}: {section}.{key} must lie between {low:g} and {high:g}, "
                        f"found {legible(str(value), 40)}"
                    )
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
