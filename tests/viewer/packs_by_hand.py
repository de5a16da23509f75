"""Packs without images, for tests of what needs none."""

from decimal import Decimal
from pathlib import Path

from records.ledger import Ledger
from records.model import Zone
from viewer.desk import LEDGER_FILE, Desk
from viewer.pack import (
    PACK_FILE,
    BlindedCase,
    Pack,
    ReadingProtocol,
    TimePoint,
    digest_of_description,
    save_pack,
)
from viewer.questions import CRITERIA, EXCLUSIONS, ZONES, zone_name
from viewer.reading import Form
from viewer.signing import OPEN


def time_point(number: int = 1, thickness_mm: str = "1.25") -> TimePoint:
    day = 90 * (number - 1)
    return TimePoint(number, day, f"2013-0{3 * number - 2}-05", 240, Decimal("1.25"), Decimal(thickness_mm))


def make_desk(
    folder: Path,
    cases: int = 2,
    time_points: int = 1,
    protocol: ReadingProtocol | None = None,
    reader: str = "A",
) -> Desk:
    pack = Pack(
        pack_id=f"pack-{reader}",
        reader=reader,
        protocol=protocol or ReadingProtocol(asks_recist=False),
        cases=tuple(
            BlindedCase(
                f"{reader}-{case:03d}", tuple(time_point(number) for number in range(1, time_points + 1))
            )
            for case in range(1, cases + 1)
        ),
    )
    save_pack(pack, folder)
    handed_out = {PACK_FILE: digest_of_description(folder)}
    Ledger(folder / LEDGER_FILE).append(
        who="coordinator", action=OPEN, subject=pack.pack_id, after=handed_out
    )
    return Desk(folder)


def miliary_form(**changes: str) -> Form:
    """Return a complete read of a miliary chest, all answers consistent."""
    answers = {
        "evaluable": "yes",
        **{question.name: "yes" for question in CRITERIA},
        **{question.name: "no" for question in EXCLUSIONS},
        **{zone_name(side, zone): "3" if zone is Zone.LOWER else "2" for side, zone in ZONES},
        "largest_mm": "4.5",
        "typical_mm": "2.5",
        "confidence": "5",
    }
    return Form(answers={**answers, **changes})


def clear_form() -> Form:
    """Return a complete read of a chest without nodules."""
    answers = {
        "evaluable": "yes",
        **{question.name: "no" for question in (*CRITERIA, *EXCLUSIONS)},
        **{zone_name(side, zone): "0" for side, zone in ZONES},
        "confidence": "5",
    }
    return Form(answers=answers)
