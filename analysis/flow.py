"""Who was left out of an analysis, where and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

__all__ = ["Flow", "Step", "choose"]


@dataclass(frozen=True, slots=True)
class Step:
    """How many stayed after a criterion, and how many it took away for what reason."""

    name: str
    n: int
    n_excluded: int
    reason: str


@dataclass(frozen=True, slots=True)
class Flow:
    """The steps from the table to the analysis, first to last."""

    steps: tuple[Step, ...]

    def then(self, name: str, n: int, reason: str) -> "Flow":
        """Return the flow with one more step."""
        before = self.steps[-1].n if self.steps else n
        return Flow((*self.steps, Step(name, n, before - n, reason)))

    def as_text(self) -> str:
        """Return the flow as lines of text."""
        lines = []
        for step in self.steps:
            if step.n_excluded:
                lines.append(f"  - {step.n_excluded} left out: {step.reason}")
            lines.append(f"{step.name}: {step.n}")
        return "\n".join(lines) + "\n"


def choose(
    frame: pd.DataFrame, flow: Flow, criteria: Sequence[tuple[str, "pd.Series[bool]", str]]
) -> tuple[pd.DataFrame, Flow]:
    """Apply criteria one after another.

    Parameters
    ----------
    frame : DataFrame
    flow : Flow
        So far.
    criteria : sequence of (name, truth by patient, reason of those left out)
        Where the truth is unknown the patient is left out.
    """
    for name, holds, reason in criteria:
        frame = frame[holds.reindex(frame.index).fillna(False).astype(bool)]
        flow = flow.then(name, len(frame), reason)
    return frame, flow
