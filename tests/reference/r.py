"""What R says: read the kept outputs, and run the scripts again where R is installed."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).parent
Values = dict[tuple[str, str, str], float]

needs_r = pytest.mark.skipif(
    shutil.which("Rscript") is None, reason="needs R with survival: bash tests/system-packages.sh"
)


def run(script: str, data: Path, output: Path, *more: Path) -> Path:
    """Run a reference script on a folder of data and return its output file."""
    command = ["Rscript", "--vanilla", str(HERE / script), str(data), str(output), *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return output


def read(path: Path) -> Values:
    """Return (case, quantity, name) -> value."""
    table = pd.read_csv(path, dtype={"case": str, "quantity": str, "name": str}, keep_default_na=False)
    return {
        (case, quantity, name): float(value)
        for case, quantity, name, value in table.itertuples(index=False, name=None)
    }


@cache
def kept(name: str) -> Values:
    """Return the committed output of a script, `counts` for `counts.R`."""
    return read(HERE / f"{name}_r.csv")


@cache
def data(name: str) -> pd.DataFrame:
    """Return a synthetic data set kept here."""
    return pd.read_csv(HERE / f"{name}.csv")


def column(values: Values, case: str, quantity: str) -> np.ndarray:
    """Return a quantity's values in the order R wrote them."""
    return np.array([value for key, value in values.items() if key[:2] == (case, quantity)])


def assert_same_values(again: Values, before: Values, rel: float = 1e-10) -> None:
    """Check that R says today what was committed; R's own rounding moves the last digits."""
    assert again.keys() == before.keys()
    keys = list(before)
    np.testing.assert_allclose(
        [again[key] for key in keys], [before[key] for key in keys], rtol=rel, atol=1e-14
    )
