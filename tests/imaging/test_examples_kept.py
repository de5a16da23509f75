"""A stopped training goes on: an example that was made is not made again."""

import numpy as np
from rich.console import Console

from imaging.training.examples import Recipe
from imaging.training.tasks import Task, make_all

TASK = Task("phantom_211", 1, 1, Recipe(nodules=8))


def test_an_example_is_made_once(tmp_path):
    def made():
        (one,) = make_all([TASK], tmp_path, None, tmp_path, 1, Console(quiet=True))
        return one.example

    first = made()
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = made()
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files
    assert sorted(file.name.split(".", 1)[1] for file in files) == ["cubes.npy", "features.npy", "label.npy"]
    assert np.count_nonzero(first.label == 1) > 0
    np.testing.assert_array_equal(first.features, again.features)
