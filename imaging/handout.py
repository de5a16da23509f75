"""What `mipc deidentify` does, said once: write what may leave, say what may not."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from imaging.console import Display
from imaging.dicom.deidentify import deidentify
from imaging.outlet import writing_to
from records.wording import counted

__all__ = ["deidentify_command"]

DONE, NOTHING_USABLE = 0, 1  # exit statuses; 2 is wrong usage
FEW = 12  # refused files that are named one by one


def deidentify_command(inputs: Sequence[Path], out: Path, key: Path, *, prints_json: bool = False) -> int:
    """Write the CT images of `inputs` without what tells who they are of, and say what was kept back.

    Raises
    ------
    RelinkError
        If the key cannot be used.
    StoreError
        If the folder `out` cannot be used, or takes no more.
    ValueError
        If the key would lie in the folder that is handed out.
    """
    with writing_to(out), Display() as display:

        def show(number: int, total: int) -> None:
            display.show("Writing", number, total, f"{number}/{total} studies")

        done = deidentify(inputs, out, key_path=key, progress=show)
        display.close()
    if prints_json:
        summary = {
            "written": len(done.written),
            "refused": done.refused,
            "unsure": done.unsure,
            "key": str(key),
        }
        print(json.dumps(summary, indent=2))
    else:
        for said, sentences in (("kept back", done.refused), ("look at it first", done.unsure)):
            for sentence, count in _grouped(sentences)[:FEW]:
                more = f" (and {count - 1} like it)" if count > 1 else ""
                print(f"{said}: {sentence}{more}", file=sys.stderr)
        written = counted(len(done.written), "image is", "images are")
        print(f"{written} in {out}, {counted(len(done.refused), 'was', 'were')} kept back.")
        print(f"{key} leads back to the patients: keep it, and keep it apart.")
    return DONE if done.written else NOTHING_USABLE


def _grouped(refused: Sequence[str]) -> list[tuple[str, int]]:
    """Return one sentence for each reason, with how many there are of it, most first."""
    counts = Counter(_reason(sentence) for sentence in refused)
    first = {_reason(sentence): sentence for sentence in reversed(refused)}
    return [(first[reason], count) for reason, count in counts.most_common()]


def _reason(sentence: str) -> str:
    return sentence.rpartition(": ")[2]
