"""Where the reading meets the command line: arguments in, sentences out."""

import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from records.paired import PairedReads
from records.reads import Read
from records.responses import ReaderResponse
from records.wording import counted
from viewer.pack import PackError

__all__ = ["run_adjudicate", "run_agreement", "run_collect", "run_open", "run_prepare", "run_verify"]


Respond = Callable[[Iterable[Read]], tuple[ReaderResponse, ...]]  # the analysis of responses


def run_prepare(
    inputs: Sequence[Path],
    store: str,
    readers: str,
    out: Path,
    *,
    controls: int,
    repeats: int,
    seed: int,
    recist: bool,
    marks: bool,
    passphrase: bool,
) -> str:
    """Write the packs; return what was handed out and what was left out."""
    from viewer.pack import ReadingProtocol
    from viewer.packs import prepare
    from viewer.studykey import COORDINATOR

    done = prepare(
        inputs,
        store,
        out,
        readers=[label.strip() for label in readers.split(",")],
        controls=controls,
        repeats=repeats,
        seed=seed,
        protocol=ReadingProtocol(asks_recist=recist, shows_marks=marks, asks_passphrase=passphrase),
        progress=lambda sentence: print(sentence, file=sys.stderr),
    )
    lines = [f"{out / pack.reader}: {counted(len(pack.cases), 'case')}" for pack in done.key.packs]
    lines.append(f"{out / COORDINATOR}: the key; keep it from the readers")
    return "\n".join([*lines, *(f"left out: {sentence}" for sentence in done.left_out)])


def run_open(pack: Path, marks: Path | None) -> None:
    """Open the reading room."""
    if importlib.util.find_spec("napari") is None:
        raise PackError("the reading room needs napari and Qt: pip install 'mipc[viewer]'")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise PackError("the reading room needs a screen; there is none here (DISPLAY is not set)")
    from viewer.window.room import open_room

    open_room(pack, marks)


def run_collect(packs: Path, returned: Sequence[Path], out: Path, respond: Respond) -> str:
    """Check and merge the packs, and write what the analysis takes."""
    from viewer.collecting import collect
    from viewer.export import write_collection
    from viewer.outcomes import final_responses

    collection = collect(packs, returned)
    responses = respond(collection.recist_reads())
    write_collection(collection, out, responses)
    missing = (f"{count} of reader {reader}" for reader, count in collection.missing.items() if count)
    left = ", ".join(missing)
    labels = _counted(label.basis for label in collection.labels())
    finals = _counted(final.basis for final in final_responses(collection, responses))
    of_responses = f"; responses: {finals}" if finals else ""
    waiting = f"\nstill to be signed: {left}" if left else ""
    signed = counted(len(collection.reads), "signed read")
    return f"{signed}; labels: {labels}{of_responses}; tables in {out}{waiting}"


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(Counter(words).items()))


def run_agreement(packs: Path, returned: Sequence[Path], respond: Respond) -> tuple[PairedReads, ...]:
    """Return readers side by side, and each reader beside himself."""
    from viewer.collecting import collect
    from viewer.pairing import pair_readers, pair_repeats

    collection = collect(packs, returned)
    return (*pair_readers(collection, respond(collection.recist_reads())), *pair_repeats(collection))


def run_adjudicate(packs: Path, returned: Sequence[Path], reader: str, seed: int, respond: Respond) -> str:
    """Write the adjudicator's pack."""
    from viewer.adjudication import adjudicate
    from viewer.collecting import collect

    collection = collect(packs, returned)
    responses = respond(collection.recist_reads())
    pack = adjudicate(collection, packs, responses=responses, reader=reader, seed=seed)
    return f"{packs / pack.reader}: {counted(len(pack.cases), 'discordant case')}"


def run_verify(folder: Path) -> tuple[str, bool]:
    """Check a pack, or all packs below a folder; return what was found, and whether all is well.

    Where the coordinator's folder lies beside the packs, they are also checked against what it knows,
    and every pack that was handed out has to be there.
    """
    from viewer.collecting import heads_collected, verify_pack
    from viewer.pack import PACK_FILE, load_pack
    from viewer.studykey import COORDINATOR, load_key

    is_one = (folder / PACK_FILE).exists()
    folders = [folder] if is_one else sorted(path.parent for path in folder.glob(f"*/{PACK_FILE}"))
    if not folders:
        raise PackError(f"{folder} is no pack and holds none")
    packs = folders[0].parent
    is_study = (packs / COORDINATOR).is_dir()
    readers = {pack.pack_id: pack.reader for pack in load_key(packs).packs} if is_study else {}
    known = heads_collected(packs) if is_study else {}
    here: set[str] = set()
    lines: list[str] = []
    is_well = True
    for one in folders:
        try:
            reader = readers.get(load_pack(one).pack_id, "")
            check = verify_pack(one, known.get(reader, ()))
        except PackError as error:
            lines.append(f"{one}: {error}")
            is_well = False
            continue
        problems = list(check.problems)
        if is_study and not reader:
            problems.append("it is not a pack of this study")
        elif one.name in set(readers.values()) - {reader}:
            problems.append(f"it is the pack of reader {reader}")
        if reader in here:
            problems.append(f"the pack of reader {reader} is here twice")
        here.add(reader)
        is_well = is_well and not problems
        head = f"{counted(check.head.count, 'entry', 'entries')}, last {check.head.hash[:16]}"
        lines.append(f"{one}: " + ("; ".join(problems) if problems else f"verifies ({head})"))
        lines += [f"  note: {note}" for note in check.notes]
    away = [] if is_one else sorted(set(readers.values()) - here)
    lines += [f"{packs}: the pack of reader {reader} is not here" for reader in away]
    return "\n".join(lines), is_well and not away
