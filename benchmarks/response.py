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
    rows = 0
    with (
        (folder / "tu.csv").open("w", newline="") as tu_file,
        (folder / "tr.csv").open("w", newline="") as tr_file,
    ):
        tu, tr = csv.writer(tu_file), csv.writer(tr_file)
        tu.writerow(TU_HEADER.split(","))
        tr.writerow(TR_HEADER.split(","))
        for patient in range(patients):
            subject = f"P{patient:05d}"
            start = date(2020, 1, 1) + timedelta(days=draw.randrange(365))
            for reader in range(readers):
                who = ("INDEPENDENT ASSESSOR", f"RADIOLOGIST {reader + 1}")
                sizes = [draw.uniform(16, 60) for _ in ORGANS]
                for lesion, organ in enumerate(ORGANS, start=1):
                    tu.writerow(
                        [
                            subject,
                            "SCREENING",
                            1,
                            organ,
                            "TUMIDENT",
                            "TARGET",
                            "CT SCAN",
                            f"T{lesion:02d}",
                            *who,
                            "",
                        ]
                    )
                tu.writerow(
                    [
                        subject,
                        "SCREENING",
                        1,
                        "LUNG, MILIARY",
                        "TUMIDENT",
                        "NON-TARGET",
                        "CT SCAN",
                        "NT01",
                        *who,
                        "",
                    ]
                )
                for visit in range(visits + 1):
                    name = f"WEEK {6 * visit}" if visit else "SCREENING"
                    day = (start + timedelta(days=42 * visit)).isoformat()
                    for lesion, organ in enumerate(ORGANS):
                        test = "LPERP" if organ == "LYMPH NODE" else "LDIAM"
                        size = f"{sizes[lesion]:.1f}"
                        link = f"T{lesion + 1:02d}"
                        tr.writerow(
                            [
                                subject,
                                "TARGET",
                                link,
                                test,
                                size,
                                "mm",
                                size,
                                "mm",
                                visit + 1,
                                name,
                                *who,
                                day,
                            ]
                        )
                        sizes[lesion] = max(0.0, sizes[lesion] * draw.uniform(0.8, 1.15))
                    state = "PRESENT" if draw.random() < 0.98 else "UNEQUIVOCAL PROGRESSION"
                    tr.writerow(
                        [
                            subject,
                            "NON-TARGET",
                            "NT01",
                            "TUMSTATE",
                            state,
                            "",
                            "",
                            "",
                            visit + 1,
                            name,
                            *who,
                            day,
                        ]
                    )
                    rows += len(ORGANS) + 1
    return rows


def pandas_floor(tr: Path) -> int:
    """Sum targets by visit and take running minima: the least any engine does."""
    import pandas as pd

    frame = pd.read_csv(tr)
    targets = frame[frame["TRGRPID"] == "TARGET"]
    sums = targets.groupby(["USUBJID", "TREVALID", "VISITNUM"])["TRSTRESN"].sum()
    nadirs = sums.groupby(level=[0, 1]).cummin()
    return len(nadirs)


def timed(action: Callable[[], T]) -> tuple[float, T]:
    """Return the best of three runs, in seconds, and the result."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        result = action()
        times.append(time.perf_counter() - begin)
    return min(times), result


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
        read_s, courses = timed(lambda: read_sdtm(folder / "tu.csv", folder / "tr.csv"))
        judge_s, judgement = timed(lambda: judge(courses))
        write_s, written = timed(lambda: tables(judgement))
        pandas_floor(folder / "tr.csv")  # the import is not the floor's time
        floor_s, _ = timed(lambda: pandas_floor(folder / "tr.csv"))
    total_s = read_s + judge_s + write_s
    report(courses, rows, written)
    print(f"read and check TU, TR   {read_s:6.2f} s")
    print(f"judge, best responses   {judge_s:6.2f} s")
    print(f"rows of the tables      {write_s:6.2f} s")
    verdict = "met" if total_s < GOAL_SECONDS else "MISSED"
    print(f"total                   {total_s:6.2f} s   goal {GOAL_SECONDS} s: {verdict}")
    print(f"floor, pandas sums      {floor_s:6.2f} s   (no checks, no rules, no sentences)")


def tables(judgement: Judgement) -> int:
    """Make the rows of responses.csv and adrs.csv."""
    return len(response_rows(judgement.points)) + len(adrs_rows(judgement.points, judgement.best))


def report(courses: tuple[Course, ...], rows: int, written: int) -> None:
    """Say what was timed."""
    visits = sum(len(course.reads) - 1 for course in courses)
    print(f"{len(courses)} patients x readers, {visits} time points, {rows} rows of TR, {written} rows out")


if __name__ == "__main__":
    main()
