"""Whether a pack is still as it was handed out, by the digests in the first entry of its ledger."""

from pathlib import Path

from records.ledger import Entry
from viewer.pack import PACK_FILE, digest_of_description, digest_of_images

__all__ = ["fault_of_description", "fault_of_images"]


def fault_of_description(folder: Path, opening: Entry) -> str:
    """Say that what is asked, of which scans, is not what was handed out; nothing if it is."""
    handed_out = opening.after if isinstance(opening.after, dict) else {}
    is_own = digest_of_description(folder) == handed_out.get(PACK_FILE)
    return "" if is_own else f"{PACK_FILE} is not the one that was handed out"


def fault_of_images(folder: Path, opening: Entry, code: str, number: int) -> str:
    """Say what is wrong with the images of a time point; nothing if they are those that were handed out.

    Parameters
    ----------
    folder : Path
        A pack.
    opening : Entry
        The first entry of its ledger, which holds a digest for each time point.
    code, number
        Of the case and the time point.
    """
    name = f"{code}/{number}"
    handed_out = opening.after if isinstance(opening.after, dict) else {}
    try:
        found = digest_of_images(folder, code, number)
    except FileNotFoundError:
        return f"the images of {name} are missing"
    except OSError as error:
        return f"the images of {name} cannot be read: {error}"
    return "" if found == handed_out.get(name) else f"the images of {name} are not those that were handed out"
