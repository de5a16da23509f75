"""Real scans and tables that are not part of the project; tests that need them are skipped without them."""

import os
from pathlib import Path

import pytest

__all__ = ["CT", "SAMPLES", "SHARED", "needs_ct"]

SHARED = Path(os.environ.get("MIPC_SHARED", Path(__file__).parents[2] / "shared"))
CT = SHARED / "ct"
needs_ct = pytest.mark.skipif(not CT.is_dir(), reason=f"needs the real scans in {CT}: set MIPC_SHARED")
SAMPLES = Path(__file__).parents[1] / "sample_dicoms"
