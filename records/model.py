"""Records: what a step of one room hands to the next, frozen and typed.

Lengths are millimetres, places are DICOM patient coordinates (LPS: x to the
patient's left, y to the back, z to the head), arrays are indexed
`(plane, row, column)`.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from records.errors import Reason

__all__ = [
    "Arrangement",
    "Attenuation",
    "CountSource",
    "Estimate",
    "Finding",
    "LungSummary",
    "Nodule",
    "Pattern",
    "Provenance",
    "Screening",
    "Series",
    "Side",
    "Study",
    "Verdict",
    "VerdictLabel",
    "Volume",
    "Zone",
    "ZoneSummary",
]

Point = tuple[float, float, float]


class VerdictLabel(StrEnum):
    """What the screening says of a study."""

    MIPC = "mipc"
    NOT_MIPC = "not_mipc"
    INDETERMINATE = "indeterminate"
    NOT_EVALUABLE = "not_evaluable"


class Attenuation(StrEnum):
    """Nodule attenuation class (MacMahon 2017, Radiology 284:228; Bankier 2024, Fleischner glossary)."""

    SOLID = "solid"
    PART_SOLID = "part_solid"
    GROUND_GLASS = "ground_glass"
    CALCIFIED = "calcified"


class Side(StrEnum):
    """A lung."""

    RIGHT = "right"
    LEFT = "left"


class Zone(StrEnum):
    """A third of a lung's height: cranial, middle, caudal."""

    UPPER = "upper"
    MIDDLE = "middle"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Study:
    """Who and when, as the headers say it; untrusted text."""

    uid: str
    patient_id: str
    patient_name: str
    study_date: str  # ISO 8601, "" if absent
    description: str

    @property
    def is_dated(self) -> bool:
        """Whether there is such a day: headers also name the 31st of February, or the day 00000000."""
        try:
            date.fromisoformat(self.study_date)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Series:
    """One series as its headers describe it, without pixels."""

    uid: str
    study_uid: str
    description: str
    image_type: tuple[str, ...]
    manufacturer: str
    scanner: str
    kernel: str
    slices: int
    rows: int
    columns: int
    slice_thickness_mm: float | None  # (0018,0050)
    slice_spacing_mm: float | None  # from Image Position (Patient); None if it cannot be told
    tube_current_time_product_mas: float | None
    transfer_syntax: str


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """CT in Hounsfield units on a regular grid.

    Attributes
    ----------
    hu : (planes, rows, columns) int16 ndarray
        Plane 0 is the most caudal; padding outside the field of view is air, -1024 HU or less.
    origin_mm : Point
        Centre of voxel (0, 0, 0), LPS.
    axes : (3, 3) float ndarray
        Row i is the unit vector, in LPS, along array axis i.
    spacing_mm : Point
        Distance between voxel centres along (plane, row, column).
    slice_thickness_mm : float or None
        Slice Thickness (0018,0050).
    sop_instance_uids : tuple of str
        The image each plane came from, one entry a plane.
    notes : tuple of str
        What was odd in the files and how it was handled, a sentence each.
    """

    hu: NDArray[np.int16]
    origin_mm: Point
    axes: NDArray[np.float64]
    spacing_mm: Point
    slice_thickness_mm: float | None
    kernel: str
    series_uid: str
    frame_of_reference_uid: str
    sop_instance_uids: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with the interval it may lie in (90 % unless said otherwise)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Nodule:
    """A candidate lung nodule measured on one scan."""

    nodule_id: int
    centre_mm: Point  # LPS
    diameter_mm: Estimate
    volume_mm3: float
    mean_hu: float
    attenuation: Attenuation
    roundness: float  # 0 line or plate ... 1 ball
    probability: float
    reported: bool  # at or above the operating point
    side: Side
    zone: Zone
    pleura_distance_mm: float
    sop_instance_uid: str
    slice_index: int  # counted from the most caudal plane
    long_axis_mm: float | None = None  # on the axial slice where it is longest; None below 6 mm
    short_axis_mm: float | None = None  # its extent across the long axis


@dataclass(frozen=True, slots=True)
class LungSummary:
    """The lungs that were found."""

    right_ml: float
    left_ml: float
    mean_hu: float
    noise_hu: float  # standard deviation of noise, by robust high-pass inside the lungs


@dataclass(frozen=True, slots=True)
class ZoneSummary:
    """A sixth of the lungs and what lies in it."""

    side: Side
    zone: Zone
    volume_ml: float
    nodule_count: float  # estimated

    @property
    def density_per_l(self) -> float:
        """Estimated nodules a litre."""
        return 1000.0 * self.nodule_count / self.volume_ml if self.volume_ml > 0 else 0.0


class CountSource(StrEnum):
    """What the number of nodules was estimated from."""

    MARKS = "marks"  # what was found, corrected for what is missed
    TEXTURE = "texture"  # nodules merge: the strength of the lung's texture at their size


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How nodules lie to each other, to the pleura and to vessels, against chance in these lungs.

    Each is a ratio to what as many places drawn at random show, zone by zone: 1 is chance.
    """

    nearest: Estimate  # mean distance to the nearest neighbour (Clark and Evans 1954)
    clustering: Estimate  # pairs within 10 mm, farther where nodules are few (Ripley 1977)
    pleural: Estimate  # nodules within 5 mm of the pleura
    vascular: Estimate  # nodules within 3 mm of a vessel


@dataclass(frozen=True, slots=True)
class Pattern:
    """How the nodules of one scan are spread: what the criteria are judged on."""

    nodule_count: Estimate
    count_right: float
    count_left: float
    zones: tuple[ZoneSummary, ...]  # right upper, middle, lower, left upper, middle, lower
    zones_occupied: int
    fraction_le_5mm: Estimate | None  # None: no nodule to take a share of
    median_diameter_mm: float | None
    diameter_cv: Estimate | None
    roundness: Estimate | None
    balance: Estimate  # density of the emptier lung over density of the fuller; 1 is even
    evenness: Estimate  # entropy of the six zone densities over its maximum; 1 is even
    ground_glass_fraction: Estimate  # of the nodules
    septal_index: Estimate  # share of the inner lung in sheets
    haze_fraction: Estimate  # share of the lungs in ground glass
    arrangement: Arrangement | None  # None: too few nodules to tell
    lesions_ge_10mm: int
    consolidation_ml: float
    count_source: CountSource = CountSource.MARKS


@dataclass(frozen=True, slots=True)
class Finding:
    """One criterion or exclusion: measured, compared, said in words."""

    name: str
    value: Estimate | None
    threshold: float
    unit: str
    holds: bool | None  # None: cannot be told
    sentence: str
    source: str
    settled_by: str = ""  # where it cannot be told: the measurement that would


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer and why.

    `not_evaluable` and `indeterminate` always carry a `reason`.
    """

    label: VerdictLabel
    probability: float | None
    criteria: tuple[Finding, ...]
    exclusions: tuple[Finding, ...]
    reason: Reason | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a result."""

    program_version: str
    model_version: str
    protocol_name: str
    protocol_sha256: str

    @property
    def protocol_label(self) -> str:
        """The protocol's name and the first digits of its hash, as tables hold them."""
        return f"{self.protocol_name}@{self.protocol_sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Screening:
    """All that is kept of one screened study; pixels are not."""

    study: Study
    series: Series | None
    choice: str  # why this series, or why none
    lungs: LungSummary | None
    nodules: tuple[Nodule, ...]
    pattern: Pattern | None
    verdict: Verdict
    provenance: Provenance
    seconds: float
