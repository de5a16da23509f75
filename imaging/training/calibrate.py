"""How the model does on lungs it has not seen: `python -m imaging.training.calibrate SCANS`.

Nodules, emphysema and noise are put into each patient's scans (`imaging.training.trials`), and the scans are
screened by the fold model that never saw that patient. What comes out goes into the card of the shipped
model: what a census of the marks is read by (`imaging.census`), recall by diameter at the operating point and
false marks.
The card of a fold model has the census of the other patients alone: a benchmark judges nobody by himself.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from math import nan
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from imaging import dicom
from imaging.background import background_by_zone, background_of
from imaging.card import MODEL_FILE, read_card
from imaging.census import LARGEST_MM, Marks
from imaging.classifier import load_model
from imaging.disease import Chest
from imaging.disease.canvas import Canvas
from imaging.geometry import index_of
from imaging.screen import Marked, mark_nodules
from imaging.speckle import measure_speckle
from imaging.training.examples import read_marks, thicken
from imaging.training.hits import are_false, own_marks
from imaging.training.response import Condition, Trial, measure_response, measure_speckles
from imaging.training.tasks import KINDS, SCANS_AND_PATIENTS, THIN_SCANS, use_one_thread
from imaging.training.trials import PLAIN_TESTS, Test, paint, tests_of
from imaging.vessels import vessel_distance_mm

__all__ = ["calibrate"]

FOLDS = Path("benchmarks/folds")
OPERATING_PROBABILITY = 0.5  # more likely a nodule than not, in this scan
SOLID_HU = -150.0  # recall by diameter is told of solid nodules
SIZES_MM = ((1.5, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0))
FROC_POINTS = ((2, 5, 4), (3, 5, 4), (3, 5, 8), (2, 3, 8))  # from mm, to mm, false marks a scan


@lru_cache(maxsize=1)
def _chest(scans: Path, scan: str, slices: int) -> Chest:
    study = dicom.find_studies([scans / scan]).studies[0]
    volume = dicom.read_volume(dicom.choose_series(study).series)
    return Chest.of(thicken(volume, slices) if slices > 1 else volume)


def _tested(test: Test, scans: Path, folds: Path) -> Trial:
    """Put nodules into a scan, screen it by the model that never saw the patient, and match."""
    canvas = Canvas(_chest(scans, test.scan, test.slices), np.random.default_rng(test.seed))
    paint(canvas, test)
    marked = mark_nodules(canvas.volume, load_model(folds / f"{test.scan}.npz"))
    nodules = [n for n in marked.nodules if n.diameter_mm.value < LARGEST_MM]
    truth = canvas.nodules
    diameter_mm, hu = np.array([n.diameter_mm for n in truth]), np.array([n.hu for n in truth])
    places = index_of(canvas.volume, np.array([n.centre_mm for n in truth]).reshape(-1, 3))
    before = background_of(canvas.chest.volume, canvas.chest.lungs)  # nodules aren't behind themselves
    read = read_marks(scans / "lidc_marks.csv", SCANS_AND_PATIENTS[test.scan])
    probability = np.array([n.probability for n in nodules])
    return Trial(
        patient=test.scan,
        slices="thin" if test.scan in THIN_SCANS and test.slices == 1 else "thick",
        nodules=test.nodules,
        condition=test.condition,
        diameter_mm=diameter_mm,
        hu=hu,
        visibility=marked.sight.visibility(diameter_mm, hu),
        behind=canvas.chest.lungs.sample(before, places, order=0).astype(int),
        lung=background_by_zone(canvas.volume, marked.lungs).sum(axis=0),
        sight=marked.sight,
        own=own_marks(truth, nodules),
        marks=Marks.of(nodules, marked.commonness, marked.sight),
        probability=probability,
        is_false=are_false(truth, nodules, read),
        speckle_hu2=nan if test.nodules else _speckle_hu2(marked),
    )


def _speckle_hu2(marked: Marked) -> float:
    return measure_speckle(marked.space, marked.lungs, vessel_distance_mm(marked.space, marked.lungs))


def _is_solid(tested: Trial, low_mm: float, high_mm: float) -> NDArray[np.bool_]:
    size = tested.diameter_mm
    return np.asarray((size >= low_mm) & (size < high_mm) & (tested.hu >= SOLID_HU))


def _sensitivity(tested: list[Trial], low_mm: float, high_mm: float, false_marks: float) -> float:
    false = np.sort(np.concatenate([t.probability[t.is_false] for t in tested]))[::-1]
    threshold = false[int(false_marks * len(tested))]
    found = np.concatenate([t.found[_is_solid(t, low_mm, high_mm)] for t in tested])
    return float((found > threshold).mean())


def _false_marks(tested: list[Trial]) -> float:
    """Return the marks of a scan that are reported and false."""
    return float(np.mean([(t.probability[t.is_false] >= OPERATING_PROBABILITY).sum() for t in tested]))


def _recall(tested: list[Trial]) -> dict[str, Any]:
    """Return the share of solid nodules found by diameter, and how many marks such scans have."""
    shares = []
    for low_mm, high_mm in SIZES_MM:
        found = np.concatenate([t.found[_is_solid(t, low_mm, high_mm)] for t in tested])
        shares.append(round(float((found >= OPERATING_PROBABILITY).mean()), 3))
    reported = np.mean([(t.found >= OPERATING_PROBABILITY).sum() for t in tested])
    return {
        "nodules": round(float(np.mean([len(t.own) for t in tested]))),
        "reported": round(float(reported) + _false_marks(tested), 1),
        "false_marks": round(_false_marks(tested), 1),
        "shares": shares,
    }


def calibrate(scans: Path, model: Path, folds: Path, *, workers: int, console: Console) -> dict[str, Any]:
    """Judge unseen lungs by the fold models and write what comes out into every card.

    Returns
    -------
    dict
        The shipped model's card.
    """
    tests = [test for scan, slices in KINDS for test in tests_of(scan, slices)]
    # New processes: a fork would inherit the filters' pool of threads without its threads.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=use_one_thread) as pool:
        jobs = [pool.submit(_tested, test, scans, folds) for test in tests]
        tested = [job.result() for job in track(jobs, "scans", console=console)]
    measured = _measured(tested)
    for file in sorted(folds.glob("*.npz")):
        _rewrite_card(file, measured | _of_clean_and_ill([t for t in tested if t.patient != file.stem]))
    _rewrite_card(model, measured | _of_clean_and_ill(tested))
    card = read_card(model)
    console.print(json.dumps({key: value for key, value in card.items() if key != "features"}))
    return card


def _of_clean_and_ill(tested: list[Trial]) -> dict[str, Any]:
    """Return what a census is read by."""
    return {"response": measure_response(tested), "speckle": measure_speckles(tested)}


def _measured(tested: list[Trial]) -> dict[str, Any]:
    """Return what the cards of all models say alike, of scans as they are."""
    tested = [t for t in tested if t.condition is Condition.PLAIN]
    with_nodules = {
        slices: {n: [t for t in tested if t.slices == slices and t.nodules == n] for n in PLAIN_TESTS if n}
        for slices in ("thin", "thick")
    }
    return {
        "operating_probability": OPERATING_PROBABILITY,
        "false_marks_a_scan": round(_false_marks([t for t in tested if not t.nodules]), 2),
        "recall_diameters_mm": [list(size) for size in SIZES_MM],
        "recall": {
            slices: [_recall(some) for some in rows.values()] for slices, rows in with_nodules.items()
        },
        "cross_validated_by_patient": {
            slices: {
                f"{a:g}-{b:g} mm at {n}": round(_sensitivity(rows[150], a, b, n), 3)
                for a, b, n in FROC_POINTS
            }
            for slices, rows in with_nodules.items()
        },
    }


def _rewrite_card(file: Path, measured: dict[str, Any]) -> None:
    with np.load(file, allow_pickle=False) as arrays:
        parts: dict[str, Any] = {name: arrays[name] for name in arrays.files}
    parts["card"] = json.dumps(json.loads(str(parts["card"])) | measured)
    np.savez_compressed(file, **parts)


def main(
    scans: Annotated[Path, typer.Argument(help="Folder of the CC BY scans and lidc_marks.csv.")],
    model: Annotated[Path, typer.Option(help="Model whose card is written.")] = MODEL_FILE,
    folds: Annotated[Path, typer.Option(help="The fold models of the same training.")] = FOLDS,
    workers: Annotated[int, typer.Option()] = 2,
) -> None:
    """Measure the model on lungs it has not seen and write the card."""
    calibrate(scans, model, folds, workers=workers, console=Console(stderr=True))


if __name__ == "__main__":
    typer.run(main)
