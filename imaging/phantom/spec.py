"""What to scan, and how."""

from dataclasses import dataclass, field

from imaging.phantom.nodules import NoduleSpec, NoduleTruth
from imaging.phantom.scanner import Kernel

__all__ = ["Breath", "ChestSpec"]


@dataclass(frozen=True, slots=True)
class Breath:
    """How this scan's patient lies and breathes, against the patient's own frame."""

    depth: float = 0.0  # relative stretch towards the feet; -0.04 is a somewhat shallower breath
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_deg: float = 0.0  # about the body's length


@dataclass(frozen=True, slots=True)
class ChestSpec:
    """A scan: the grid, the scanner's qualities, the patient's state, the disease."""

    spacing_mm: tuple[float, float, float] = (1.25, 0.75, 0.75)  # plane, row, column
    matrix: int = 512
    slice_thickness_mm: float | None = None  # None: as thick as the slices are apart
    kernel: Kernel = Kernel.STANDARD
    noise_hu: float = 14.0  # standard deviation at the centre of an average slice
    has_clean_air: bool = False  # no noise outside the patient, as scanners that mask it write it
    field_of_view_mm: float | None = (
        None  # diameter reconstructed, padding around it; None: all of the matrix
    )
    blood_hu: float | None = None  # None: unenhanced, the patient's own
    parenchyma_hu: float = -868.0  # without vessels, halfway from front to back
    emphysema: float = 0.0  # share of the parenchyma that is air, mostly above
    breath: Breath = field(default_factory=Breath)
    nodules: NoduleSpec | tuple[NoduleTruth, ...] = ()  # to draw at random, or these, in the patient's frame
    acquisition: int = 0  # the same patient scanned again gets other noise
    margin_mm: float = 8.0  # scanned above the lungs and below

    @property
    def thickness_mm(self) -> float:
        """Full width at half maximum of the slice profile."""
        return self.spacing_mm[0] if self.slice_thickness_mm is None else self.slice_thickness_mm
