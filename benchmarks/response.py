"""Time RECIST on a large trial: 1,000 patients x 10 visits, from SDTM files to tables.

    python -m benchmarks.response [--patients 1000] [--visits 10] [--readers 1]

Floor: what pandas needs to read the same TR file and take sums and nadirs in
binary floats, with no checks, non-targets, new lesions, sentences or dates.
"""

import argparse
import csv
import random
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from analysis.adam import adrs_rows
from analysis.response import Judgement, judge, response_rows
from analysis.sdtm import read_sdtm
from analysis.sdtm_reads import Course

ORGANS = ("LUNG", "LIVER", "LYMPH NODE", "ADRENAL GLAND", "BRAIN")
T = TypeVar("T")
GOAL_SECONDS = 2.0
TU_HEADER = "USUBJID,VISIT,VISITNUM,TULOC,TUTESTCD,TUORRES,TUMETHOD,TULNKID,TUEVAL,TUEVALID,TUACPTFL"
TR_HEADER = (
    "USUBJID,TRGRPID,TRLNKID,TRTESTCD,TRORRES,TRORRESU,TRSTRESN,TRSTRESU,VISITNUM,VISIT,TREVAL,TREVALID,TRDTC"
)


def write_trial(folder: Path, *, patients: int, visits: int, readers: int, seed: int = 1) -> int:
    """Write tu.csv and tr.csv of a made-up trial; return the rows of TR."""
    draw = random.Random(seed)
    tu_rows: list[list[str]] = [TU_HEADER.split(",")]
    tr_rows: list[list[str]] = [TR_HEADER.split(",")]
    for patient in range(patients):
        subject = f"P{patient:05d}"
        start = date(2020, 1, 1) + timedelta(days=draw.randrange(365))
        days = [(start + timedelta(days=42 * visit)).isoformat() for visit in range(visits + 1)]
        for reader in range(readers):
            who = ["INDEPENDENT ASSESSOR", f"RADIOLOGIST {reader + 1}"]
            tu_rows += lesions_of(subject, who)
            tr_rows += measurements_of(subject, who, days, draw)
    for name, rows in (("tu.csv", tu_rows), ("tr.csv", tr_rows)):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return len(tr_rows) - 1


def lesions_of(subject: str, who: list[str]) -> list[list[str]]:
    """Return the rows of TU of one patient and reader: five targets, miliary disease as a non-target."""
    named = [(organ, "TARGET", f"T{number:02d}") for number, organ in enumerate(ORGANS, start=1)]
    named.append(("LUNG, MILIARY", "NON-TARGET", "NT01"))
    return [
        [subject, "SCREENING", "1", organ, "TUMIDENT", role, "CT SCAN", link, *who, ""]
        for organ, role, link in named
    ]


def measurements_of(subject: str, who: list[str], days: list[str], draw: random.Random) -> list[list[str]]:
    """Return the rows of TR of one patient and reader: sizes that wander, mostly down."""
    rows = []
    sizes = [draw.uniform(16, 60) for _ in ORGANS]
    for visit, day in enumerate(days):
        place = [str(visit + 1), f"WEEK {6 * visit}" if visit else "SCREENING", *who, day]
        for number, organ in enumerate(ORGANS):
            test = "LPERP" if organ == "LYMPH NODE" else "LDIAM"
            size = f"{sizes[number]:.1f}"
            rows.append([subject, "TARGET", f"T{number + 1:02d}", test, size, "mm", size, "mm", *place])
            sizes[number] *= draw.uniform(0.8, 1.15)
        state = "PRESENT" if draw.random() < 0.98 else "UNEQUIVOCAL PROGRESSION"
        rows.append([subject, "NON-TARGET", "NT01", "TUMSTATE", state, "", "", "", *place])
    return rows


def pandas_floor(tr: Path) -> int:
    """Sum targets by visit and take running minima: the least any engine does."""
    import pandas as pd

    frame = pd.read_csv(tr)
    targets = frame[frame["TRGRPID"] == "TARGET"]
    sums = targets.groupby(["USUBJID", "TREVALID", "VISITNUM"])["TRSTRESN"].sum()
    nadirs = sums.groupby(level=[0, 1]).cummin()
    return len(nadirs)


def timed(action: Callable[[], T]) -> tuple[float, float, T]:
    """Return the best of three runs, in seconds by the clock and of the processor, and the result."""
    times = []
    for _ in range(3):
        begin, worked = time.perf_counter(), time.process_time()
        result = action()
        times.append((time.perf_counter() - begin, time.process_time() - worked))
    wall, processor = min(times)
    return wall, processor, result


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--readers", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_trial(folder, patients=asked.patients, visits=asked.visits, readers=asked.readers)
        read_s, read_cpu, courses = timed(lambda: read_sdtm(folder / "tu.csv", folder / "tr.csv"))
        judge_s, judge_cpu, judgement = timed(lambda: judge(courses))
        write_s, write_cpu, written = timed(lambda: tables(judgement))
        pandas_floor(folder / "tr.csv")  # the import is not the floor's time
        floor_s, floor_cpu, _ = timed(lambda: pandas_floor(folder / "tr.csv"))
    total_s, total_cpu = read_s + judge_s + write_s, read_cpu + judge_cpu + write_cpu
    report(courses, rows, written)
    verdict = "met" if total_s < GOAL_SECONDS else "MISSED"
    if total_s >= GOAL_SECONDS > total_cpu:
        verdict = "missed by the clock, met by the processor: other work ran beside"
    print("                            clock  processor")
    print(f"read and check TU, TR    {read_s:6.2f} s   {read_cpu:6.2f} s")
    print(f"judge, best responses    {judge_s:6.2f} s   {judge_cpu:6.2f} s")
    print(f"rows of the tables       {write_s:6.2f} s   {write_cpu:6.2f} s")
    print(f"total                    {total_s:6.2f} s   {total_cpu:6.2f} s  goal {GOAL_SECONDS} s {verdict}")
    print(f"floor, pandas sums       {floor_s:6.2f} s   {floor_cpu:6.2f} s   (no checks, rules, words)")


def tables(judgement: Judgement) -> int:
    """Make the rows of responses.csv and adrs.csv."""
    return len(response_rows(judgement.points)) + len(adrs_rows(judgement.points, judgement.best))


def report(courses: tuple[Course, ...], rows: int, written: int) -> None:
    """Say what was timed."""
    visits = sum(len(course.reads) - 1 for course in courses)
    print(f"{len(courses)} patients x readers, {visits} time points, {rows} rows of TR, {written} rows out")


if __name__ == "__main__":
    main()
