"""Write the sample studies: `python -m imaging.phantom sample_dicoms`."""

import sys
from pathlib import Path

from imaging.phantom.samples import write_samples

USAGE = "usage: python -m imaging.phantom FOLDER"


def main(arguments: list[str]) -> int:
    """Write every sample into the folder named; return the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    for sample, phantom in write_samples(Path(arguments[0])):
        print(f"{sample.name}: {len(phantom.volume.hu)} slices, {len(phantom.nodules)} nodules")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
