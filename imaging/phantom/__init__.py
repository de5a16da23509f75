"""Synthetic chest CT with known truth: a patient drawn from a seed, scanned as a scanner would.

>>> from imaging.phantom import ChestSpec, NoduleSpec, chest
>>> spec = ChestSpec(spacing_mm=(5.0, 3.0, 3.0), matrix=128, nodules=NoduleSpec(count=3))
>>> phantom = chest(spec, seed=1)
>>> len(phantom.nodules), phantom.volume.hu.shape[1:]
(3, (128, 128))
"""

from imaging.phantom.chest import Patient, Phantom, chest, draw_patient, scan
from imaging.phantom.nodules import NoduleSpec, NoduleTruth, treated
from imaging.phantom.scanner import Kernel
from imaging.phantom.spec import Breath, ChestSpec

__all__ = [
    "Breath",
    "ChestSpec",
    "Kernel",
    "NoduleSpec",
    "NoduleTruth",
    "Patient",
    "Phantom",
    "chest",
    "draw_patient",
    "scan",
    "treated",
]
