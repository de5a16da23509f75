"""Simulated disease in real lungs: miliary carcinomatosis, and what can be taken for it.

Everything is put into a scan by the physics of its scanner (`imaging.insertion`), from a seed, with the
truth kept. `KINDS` lists what there is; `make_ill` makes one.
"""

from imaging.disease.canvas import Canvas, Chest
from imaging.disease.kinds import KINDS, Ill, Kind, make_ill

__all__ = ["KINDS", "Canvas", "Chest", "Ill", "Kind", "make_ill"]
