"""How long a reader waits: python -m benchmarks.viewer [FOLDER...], under a screen or xvfb-run.

Without folders, two synthetic scans of 300 x 512 x 512. Prints the opening of a
case, of one that was read ahead, a slice step until the plane that is read is drawn (the
crosshairs of the other planes follow within 60 ms, and are not waited for), and the memory
of the whole program.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

STEPS = 40


def main(folders: Sequence[str]) -> None:
    """Open every case, step through slices, and print the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        pack = _make_pack(Path(scratch), [Path(folder) for folder in folders])
        began = time.perf_counter()
        from qtpy.QtWidgets import QApplication

        from viewer.window.room import Room

        room = Room(pack)
        draw = QApplication.processEvents
        room.window.resize(1900, 1150)
        for _ in range(10):
            draw()
        print(f"start to first case on screen   {time.perf_counter() - began:6.1f} s")
        items = room.session.desk.items
        shown = room.images.shown
        print(f"scan                            {shown.hu.shape if shown else None}")
        room._scans.clear()
        print(f"open a case                     {_seconds(lambda: (room.open(items[1]), draw())):6.2f} s")
        time.sleep(5)
        print(f"open a case that was read ahead {_seconds(lambda: (room.open(items[0]), draw())):6.2f} s")
        for name, key in (
            ("axial", room.do_axial),
            ("coronal", room.do_coronal),
            ("sagittal", room.do_sagittal),
        ):
            key()
            steps = [_seconds(lambda: (room.do_slice_down(), draw())) * 1000 for _ in range(STEPS)]
            print(f"slice step, {name:<19} {statistics.median(steps):6.0f} ms (slowest {max(steps):.0f})")
        room.do_slab()
        room.do_slab()
        room.do_axial()
        steps = [_seconds(lambda: (room.do_slice_up(), draw())) * 1000 for _ in range(STEPS)]
        print(
            f"slice step, 10 mm MIP           {statistics.median(steps):6.0f} ms (slowest {max(steps):.0f})"
        )
        print(f"memory, highest                 {_peak_mib():6.0f} MiB")
        room.close()


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _peak_mib() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _make_pack(folder: Path, sources: list[Path]) -> Path:
    """Write a pack of two cases."""
    from imaging.dicom import choose_series, find_studies
    from viewer.pack import ReadingProtocol
    from viewer.packs import Scan, write_pack
    from viewer.planning import Candidate, PlannedCase

    studies = find_studies(sources or [_synthetic(folder / "images")]).studies
    scans = {}
    for number in range(2):
        study = studies[number % len(studies)]
        series = choose_series(study).series
        scans[f"P{number}"] = (Scan(study.study.uid, f"P{number}", "2020-01-01", True, series, ()),)
    planned = [PlannedCase(f"A-{n:03d}", Candidate(name, (), True)) for n, name in enumerate(scans, start=1)]
    write_pack(folder / "packs", "A", planned, scans, ReadingProtocol())
    return folder / "packs" / "A"


def _synthetic(folder: Path) -> Path:
    """Write two scans of noise: their cost is that of any scan of their size."""
    from imaging.dicom import derive_uid
    from imaging.dicom.write import write_series
    from records.model import Study, Volume

    noise = np.random.default_rng(1).integers(-1000, 200, (300, 512, 512), dtype=np.int16)
    axes = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    volume = Volume(noise, (-180, -180, 0), axes, (1.0, 0.7, 0.7), 1.0, "STANDARD", "", "", ("",) * 300)
    for number in range(2):
        study = Study(derive_uid("benchmark", str(number)), f"P{number}", "Nobody", "2020-01-01", "CHEST")
        write_series(replace(volume), folder / str(number), study=study, series_number=1, description="CHEST")
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
