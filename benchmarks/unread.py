"""Places in the LIDC-IDRI scans that no reader marked, and that look like nodules all the same.

Readers marked nodules of 3 mm and more, and smaller ones only if not clearly benign (Armato 2011,
Med Phys 38:915). Each place here is a dot, round in three planes and without a vessel to it, that a
model which never saw the patient took for a nodule. Nobody independent has read them, so the benchmark
counts them as false, and says beside it how much they weigh.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["unread_places"]

DIAMETER_MM = 3.0
PLACES = {  # LPS mm
    "lidc_0001": ((95.8, -21.9, -125.5),),
    "lidc_0003": (
        (-127.0, -31.8, -246.6),
        (41.6, 68.9, -286.5),
        (37.9, -16.4, -184.1),
        (-92.9, 97.1, -201.8),
    ),
    "lidc_0004": (
        (-97.1, 42.6, -157.2),
        (-54.8, 68.8, -53.0),
        (59.7, 56.0, -173.0),
        (50.5, 63.8, -75.0),
    ),
    "lidc_0006": ((124.3, -8.4, -187.0), (34.9, 24.3, -156.3), (-44.4, 36.5, -229.1)),
}


def unread_places(scan: str) -> NDArray[np.float64]:
    """Return the places of a scan, (M, 4): LPS mm and a diameter."""
    places = np.array(PLACES.get(scan, ()), float).reshape(-1, 3)
    return np.column_stack([places, np.full(len(places), DIAMETER_MM)])
