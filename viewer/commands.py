"""`mipc review`: the commands of the reading, one short function each; the work is in `viewer.front`.

Each ends a foreseen failure with one sentence and exit status 1, or 2 where there is no
store to be used; of a file that cannot be used `mipc` itself tells. The viewer does not know the
analysis: whoever runs the commands hands over an `Analysis`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from records.paired import PairedReads
    from records.reads import Read
    from records.responses import ReaderResponse

__all__ = ["Analysis", "review"]

NOTHING_USABLE, WRONG_USAGE = 1, 2  # exit statuses

review = typer.Typer(help="Blinded reading by two readers, locked reads, adjudication.", no_args_is_help=True)

PacksFolder = Annotated[
    Path, typer.Argument(metavar="PACKS", help="The folder that prepare wrote.", exists=True, file_okay=False)
]

Returned = Annotated[
    list[Path] | None,
    typer.Option(
        "--pack",
        show_default=False,
        help="A pack that came back to another place; once for each.",
        exists=True,
    ),
]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the analysis does for the reading.

    Attributes
    ----------
    respond : callable
        From reads to what each reader's measurements come to.
    judge : callable
        From reads side by side to a report, as text or (if True) as JSON.
    """

    respond: "Callable[[Iterable[Read]], tuple[ReaderResponse, ...]]"
    judge: "Callable[[Iterable[PairedReads], bool], str]"


@contextmanager
def foreseen_errors() -> Iterator[None]:
    """Turn what is wrong with a pack or a store into one sentence and an exit status."""
    from records.errors import StoreError
    from viewer.pack import PackError

    try:
        yield
    except (PackError, StoreError) as error:
        typer.echo(f"mipc: {error}", err=True)
        raise typer.Exit(WRONG_USAGE if isinstance(error, StoreError) else NOTHING_USABLE) from error


@review.command("prepare")
def prepare(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="The images that were screened.", exists=True)
    ],
    store: Annotated[str, typer.Option(help="The study database that mipc screen wrote.")],
    readers: Annotated[str, typer.Option(help="Labels of the readers, such as A,B.")],
    out: Annotated[Path, typer.Option(help="A new folder for the packs.")],
    controls: Annotated[int, typer.Option(min=0, help="Patients of whom no scan was flagged.")] = 0,
    repeats: Annotated[int, typer.Option(min=0, help="Cases that come again, hidden.")] = 0,
    seed: Annotated[int, typer.Option(help="Draws controls, repeats and orders.")] = 0,
    recist: Annotated[bool, typer.Option(help="Ask for lesions by RECIST 1.1.")] = True,
    marks: Annotated[bool, typer.Option(help="Allow the machine's marks after signing.")] = False,
    passphrase: Annotated[bool, typer.Option(help="Ask the reader's passphrase at signing.")] = True,
) -> None:
    """Write a blinded pack a reader."""
    from viewer.front import run_prepare

    with foreseen_errors():
        typer.echo(
            run_prepare(
                inputs, store, readers, out,
                controls=controls, repeats=repeats, seed=seed,
                recist=recist, marks=marks, passphrase=passphrase,
            )
        )  # fmt: skip


@review.command("open")
def open_pack(
    pack: Annotated[Path, typer.Argument(metavar="PACK", help="The reader's pack.", exists=True)],
    marks: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Marks handed out after the reads are in.", exists=True),
    ] = None,
) -> None:
    """Open the reading room on a pack."""
    from viewer.front import run_open

    with foreseen_errors():
        run_open(pack, marks)


@review.command("collect")
def collect(
    context: typer.Context,
    packs: PacksFolder,
    out: Annotated[Path, typer.Option(help="Folder for labels, reads and their history.")],
    returned: Returned = None,
) -> None:
    """Check and merge signed packs."""
    from viewer.front import run_collect

    with foreseen_errors():
        typer.echo(run_collect(packs, returned or [], out, context.obj.respond))


@review.command("agreement")
def agreement(
    context: typer.Context,
    packs: PacksFolder,
    returned: Returned = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures for a program.")] = False,
) -> None:
    """Report how far the readers agree with each other and with themselves."""
    from viewer.front import run_agreement

    with foreseen_errors():
        pairs = run_agreement(packs, returned or [], context.obj.respond)
    typer.echo(context.obj.judge(pairs, json))


@review.command("adjudicate")
def adjudicate(
    context: typer.Context,
    packs: PacksFolder,
    reader: Annotated[str, typer.Option(help="Label of the third reader.")] = "C",
    seed: Annotated[int, typer.Option(help="Draws the order.")] = 0,
    returned: Returned = None,
) -> None:
    """Make a third reader's pack of the discordant cases."""
    from viewer.front import run_adjudicate

    with foreseen_errors():
        typer.echo(run_adjudicate(packs, returned or [], reader, seed, context.obj.respond))


@review.command("verify")
def verify(
    pack: Annotated[Path, typer.Argument(metavar="PACK", help="A pack, or a folder of packs.", exists=True)],
) -> None:
    """Check that no read, image or order was changed; works offline."""
    from viewer.front import run_verify

    with foreseen_errors():
        found, is_well = run_verify(pack)
    typer.echo(found)
    raise typer.Exit(0 if is_well else NOTHING_USABLE)
