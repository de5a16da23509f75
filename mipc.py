"""The command line: one short function a subcommand; the work is done in the rooms."""

import atexit
import gc
import io
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from records.files import why_unusable
from viewer.commands import Analysis, review

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imaging.dicom.nodes import Nodes
    from imaging.dicom.query import Query
    from records.paired import PairedReads
    from records.reads import Read
    from records.responses import ReaderResponse

NOTHING_USABLE, WRONG_USAGE, INTERRUPTED = 1, 2, 130  # exit statuses

Answer = TypeVar("Answer")


def _stop(sentence: str, status: int) -> NoReturn:
    """End with one sentence on standard error."""
    typer.echo(f"mipc: {sentence}", err=True)
    raise typer.Exit(status)


class _Commands(TyperGroup):
    """All commands: a file that cannot be used, and Ctrl-C, end each with the same sentence and status."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            sentence = why_unusable(error)
            if sentence is None:
                raise
            _stop(sentence, WRONG_USAGE)
        except KeyboardInterrupt:
            _stop("stopped", INTERRUPTED)


app = typer.Typer(
    name="mipc",
    cls=_Commands,
    help="Find, read and analyse miliary intrapulmonary carcinomatosis on chest CT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mipc {version('mipc')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run a subcommand."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # not if it is closed
        sys.stdout.reconfigure(errors="replace")  # a name or a dash that the terminal lacks is no failure
    atexit.register(gc.freeze)  # the last search for garbage, in what is gone anyway, takes 0.1 s


def _folder_or_node(text: str) -> Path:
    """Return an input of `screen`: something that is there, or an archive by name."""
    if not text.startswith("pacs:") and not Path(text).exists():
        raise typer.BadParameter(f"Path '{text}' does not exist.")
    return Path(text)


NODES = Path(typer.get_app_dir("mipc")) / "nodes.toml"
NodesFile = Annotated[
    Path,
    typer.Option(
        envvar="MIPC_NODES", show_default=False, help="The archives, a TOML file (nodes.toml of the user)."
    ),
]
RegistryFile = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Patients to ask for, CSV with a column patient_id.",
    ),
]


@app.command()
def screen(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Folders, files, zip archives, a DICOMDIR, or pacs:NODE.",
            parser=_folder_or_node,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report, the tables and the store.")],
    store: Annotated[
        str, typer.Option(show_default=False, help="SQLite file or postgresql:// URL (OUT/mipc.db).")
    ] = "",
    protocol: Annotated[
        Path | None, typer.Option(show_default=False, help="Thresholds, a TOML file (those shipped).")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, show_default=False, help="Processes (one a core).")] = 0,
    scheduler: Annotated[
        str, typer.Option(show_default=False, help="Screen on this dask cluster (tcp://HOST:PORT).")
    ] = "",
    time_limit: Annotated[float, typer.Option(min=1, help="Seconds a study may take.")] = 600,
    memory_limit: Annotated[
        float,
        typer.Option(min=0, show_default=False, help="GiB a study may take (a worker's share)."),
    ] = 0,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run stopped.")] = True,
    dicom: Annotated[bool, typer.Option("--dicom", help="Write the results as DICOM to OUT/dicom.")] = False,
    push: Annotated[
        str, typer.Option(metavar="NODE", show_default=False, help="Send the DICOM results to this archive.")
    ] = "",
    registry: RegistryFile = None,
    nodes: NodesFile = NODES,
    json: Annotated[bool, typer.Option("--json", help="Print a summary for a program.")] = False,
) -> None:
    """Screen studies for miliary carcinomatosis and write a report."""
    from imaging.worker import Limits, warm_up

    warm_up("imaging.screen", "imaging.batch")  # beside what follows
    from imaging.front import screen_command
    from imaging.patience import EngineError
    from imaging.protocol import ProtocolError
    from records.errors import StoreError

    archives = push or any(str(place).startswith("pacs:") for place in inputs)
    if archives:
        inputs = _fetched(inputs, out, nodes, registry)
    try:
        status = screen_command(
            inputs,
            out,
            store=store or out / "mipc.db",
            protocol_file=protocol,
            workers=workers,
            limits=Limits(time_limit, int(memory_limit * 2**30) or None),
            resumes=resume,
            prints_json=json,
            writes_dicom=dicom or bool(push),
            scheduler=scheduler,
        )
    except (EngineError, ProtocolError, StoreError) as error:
        _stop(str(error), WRONG_USAGE)
    except KeyboardInterrupt:
        _stop("stopped", INTERRUPTED)
    if push and status == 0:
        _asking(lambda known: _sent(known, push, out / "dicom"), nodes)
    raise typer.Exit(status)


@app.command("track")
def track_patients(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Studies of one patient or of many.", exists=True),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables, the change maps and the store.")],
    store: Annotated[
        str, typer.Option(show_default=False, help="SQLite file or postgresql:// URL (OUT/mipc.db).")
    ] = "",
    protocol: Annotated[
        Path | None, typer.Option(show_default=False, help="Thresholds, a TOML file (those shipped).")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, show_default=False, help="Processes (one a core).")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print a summary for a program.")] = False,
) -> None:
    """Follow micronodules from each patient's first study to the later ones."""
    from imaging.worker import Limits, warm_up

    warm_up("imaging.screen", "imaging.batch")
    from imaging.front import screen_command
    from imaging.patience import EngineError
    from imaging.protocol import ProtocolError
    from records.errors import StoreError

    try:
        status = screen_command(
            inputs, out, store=store or out / "mipc.db", protocol_file=protocol, workers=workers,
            limits=Limits(600, None), resumes=True, prints_json=json, follows_all=True,
        )  # fmt: skip
    except (EngineError, ProtocolError, StoreError) as error:
        _stop(str(error), WRONG_USAGE)
    except KeyboardInterrupt:
        _stop("stopped", INTERRUPTED)
    raise typer.Exit(status)


def _fetched(inputs: list[Path], out: Path, nodes: Path, registry: Path | None) -> list[Path]:
    """Fetch what is in an archive; the file of nodes is checked before anything long begins."""
    from imaging.archives import fetch_inputs

    def fetch(known: "Nodes") -> list[Path]:
        return fetch_inputs(inputs, out, lambda: known, registry)

    return _asking(fetch, nodes)


def _sent(known: "Nodes", name: str, folder: Path) -> None:
    from imaging.archives import send

    send(known, name, [folder])


def _asking(what: "Callable[[Nodes], Answer]", nodes: Path) -> "Answer":
    """Read the file of nodes and do `what` with it; an archive that fails ends with its sentence."""
    from imaging.dicom.nodes import NodesFileError, PacsError, load_nodes

    try:
        return what(load_nodes(nodes))
    except NodesFileError as error:
        _stop(str(error), WRONG_USAGE)
    except PacsError as error:
        _stop(str(error), NOTHING_USABLE)
    except KeyboardInterrupt:
        _stop("stopped; the same command goes on where this one stopped", INTERRUPTED)


StoreOption = Annotated[str, typer.Option(help="The study database that mipc screen wrote, file or URL.")]


@app.command()
def explain(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Study Instance UID, patient ID, or start of the UID.")
    ],
    store: StoreOption,
    out: Annotated[Path, typer.Option(help="Folder for the picture.")] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print the verdict for a program.")] = False,
) -> None:
    """Say why a study was judged as it was, and show it."""
    from imaging.explain import NoSuchStudyError, explain_command
    from records.errors import StoreError

    try:
        explain_command(study, store, out, prints_json=json)
    except NoSuchStudyError as error:
        _stop(str(error), NOTHING_USABLE)
    except StoreError as error:
        _stop(str(error), WRONG_USAGE)


@app.command()
def rejudge(
    store: StoreOption,
    out: Annotated[Path, typer.Option(help="Folder for the new store, tables, report and changes.csv.")],
    protocol: Annotated[
        Path | None, typer.Option(show_default=False, help="Thresholds, a TOML file (those shipped).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print who changed side for a program.")] = False,
) -> None:
    """Judge screened studies by other thresholds, without reading a pixel."""
    from imaging.protocol import ProtocolError
    from imaging.rejudge import rejudge_command
    from records.errors import StoreError

    try:
        status = rejudge_command(store, protocol, out, prints_json=json)
    except (ProtocolError, StoreError) as error:
        _stop(str(error), WRONG_USAGE)
    raise typer.Exit(status)


@app.command()
def respond(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="SDTM TU, TR (and RS) as CSV, reads as JSON, or their folder.",
            exists=True,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables.")],
    subjects: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            show_default=False,
            help="Dates of the patients, CSV, for times to events.",
        ),
    ] = None,
    protocol: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, show_default=False, help="The study's choices, TOML."),
    ] = None,
    confirmation_days: Annotated[
        int | None,
        typer.Option(min=0, help="Days from a response to its confirmation (28).", show_default=False),
    ] = None,
    stable_days: Annotated[
        int | None, typer.Option(min=0, help="Days that stable disease has to last (42).", show_default=False)
    ] = None,
    scan_days: Annotated[int, typer.Option(min=1, help="Days from one scan to the next that is due.")] = 42,
    scan_window: Annotated[int, typer.Option(min=0, help="Days a scan may be early or late.")] = 7,
    irecist: Annotated[bool, typer.Option("--irecist", help="Judge by iRECIST as well.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a summary for a program.")] = False,
) -> None:
    """Judge responses by RECIST 1.1, with the rule that decided each."""
    from dataclasses import replace
    from json import dumps

    from analysis.csvtable import text_of
    from analysis.endpoints import Schedule
    from analysis.errors import AnalysisError
    from analysis.recist.protocol import read_response_protocol
    from analysis.respond import find_inputs, in_words
    from analysis.respond import respond as judge_study

    try:
        choices = read_response_protocol("" if protocol is None else text_of(protocol))
        if confirmation_days is not None:
            choices = replace(choices, confirmation_days=confirmation_days)
        if stable_days is not None:
            choices = replace(choices, minimum_stable_days=stable_days)
        done = judge_study(
            find_inputs(inputs),
            out,
            subjects_file=subjects,
            protocol=choices,
            schedule=Schedule(((scan_days, None),), scan_window),
            irecist=irecist,
        )
    except AnalysisError as error:
        _stop(str(error), NOTHING_USABLE)
    typer.echo(dumps(done) if json else f"{in_words(done)}; tables in {out}")


@app.command("demo-cohort")
def demo_cohort(
    out: Annotated[Path, typer.Option(help="Write the table here (CSV).")] = Path("demo_cohort.csv"),
    seed: Annotated[int, typer.Option(help="The same seed makes the same cohort.")] = 1,
) -> None:
    """Make a synthetic cohort with the counts of Wu 2013."""
    from analysis import front

    front.run_demo(seed, out)


@app.command()
def analyse(
    clinical: Annotated[
        Path, typer.Argument(help="Clinical table: CSV or Excel.", exists=True, dir_okay=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for tables, figures and the page.")],
    labels: Annotated[
        str | None, typer.Option(help="studies.csv, labels.csv of review collect, or the study database.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(help="How the table's columns are called (TOML), or nsclc_radiogenomics.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="Analysis plan (TOML), or wu2013.")] = None,
    paper: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of printed tables to lay beside ours."),
    ] = None,
    responses: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder that mipc respond wrote.")
    ] = None,
    evaluator: Annotated[str | None, typer.Option(help="Whose responses, if there are several.")] = None,
) -> None:
    """Turn a clinical table into the tables and figures of a paper."""
    from analysis import front

    front.run_analysis(clinical, labels, mapping, plan, paper, out, responses, evaluator)


@app.command("audit-tables")
def audit_tables(
    folder: Annotated[
        Path, typer.Argument(help="Folder of a paper's tables as CSV files.", exists=True, file_okay=False)
    ],
    claims: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="TOML file of numbers in the text.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="The paper's rule for its tests (the claims', or expected_below_5)."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report here, in place of printing it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON, not Markdown.")] = False,
) -> None:
    """Compute a paper's printed p-values again, and check its sums."""
    from analysis import front

    front.run_audit(folder, claims, rule, out, as_json)


def _hand_over_analysis(context: typer.Context) -> None:
    """Blinded reading by two readers, locked reads, adjudication."""
    context.obj = Analysis(_respond, _judge)


def _respond(reads: "Iterable[Read]") -> "tuple[ReaderResponse, ...]":
    from analysis.errors import AnalysisError
    from analysis.reader_responses import reader_responses

    try:
        return reader_responses(reads)
    except AnalysisError as error:
        _stop(f"the reads cannot be judged by RECIST: {error}", NOTHING_USABLE)


def _judge(pairs: "Iterable[PairedReads]", as_json: bool) -> str:
    from analysis.reader_agreement import as_json_text, as_text, judge_agreement

    judged = [judge_agreement(pair) for pair in pairs]
    return as_json_text(judged) if as_json else as_text(judged)


app.add_typer(review, name="review", callback=_hand_over_analysis)


@app.command()
def deidentify(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Folders, files, zip archives or a DICOMDIR.", exists=True),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the images that may leave.")],
    key: Annotated[Path, typer.Option(help="File that leads back to the patients; made if it is not there.")],
    json: Annotated[bool, typer.Option("--json", help="Print a summary for a program.")] = False,
) -> None:
    """Write CT images without what tells who they are of (DICOM PS3.15)."""
    from imaging.dicom.relink import RelinkError
    from imaging.handout import deidentify_command
    from records.errors import StoreError

    try:
        status = deidentify_command(inputs, out, key, prints_json=json)
    except (RelinkError, StoreError, ValueError) as error:
        _stop(str(error), WRONG_USAGE)
    except KeyboardInterrupt:
        _stop("stopped; the same command writes the same names", INTERRUPTED)
    raise typer.Exit(status)


pacs = typer.Typer(help="Ask archives, fetch from them, send to them.", no_args_is_help=True)
app.add_typer(pacs, name="pacs")

Node = Annotated[str, typer.Argument(metavar="NODE", help="An archive, as the file of nodes names it.")]
From = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], show_default=False, help="First study date."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", formats=["%Y-%m-%d"], show_default=False, help="Last study date."),
]
Modality = Annotated[str, typer.Option(help="Of the series, such as CT; empty for any.")]
Description = Annotated[str, typer.Option(show_default=False, help="Of the study; * stands for anything.")]
Accession = Annotated[str, typer.Option(show_default=False, help="Accession number.")]
Patient = Annotated[str, typer.Option(show_default=False, help="Patient number.")]


def _questions(
    patient: str,
    first: datetime | None,
    last: datetime | None,
    modality: str,
    description: str,
    accession: str,
    registry: Path | None,
) -> "list[Query]":
    from imaging.archives import questions
    from imaging.dicom.query import Query

    first_day, last_day = (day.date() if day else None for day in (first, last))
    return questions(Query(patient, first_day, last_day, modality, description, accession), registry)


@pacs.command("check")
def pacs_check(node: Node, nodes: NodesFile = NODES) -> None:
    """Ask an archive whether it is there and lets us in."""
    from imaging.archives import check_command

    raise typer.Exit(_asking(lambda known: check_command(known, node), nodes))


@pacs.command("find")
def pacs_find(
    node: Node,
    patient: Patient = "",
    first: From = None,
    last: Until = None,
    modality: Modality = "CT",
    description: Description = "",
    accession: Accession = "",
    registry: RegistryFile = None,
    nodes: NodesFile = NODES,
    json: Annotated[bool, typer.Option("--json", help="Print the studies for a program.")] = False,
) -> None:
    """List the studies that an archive has."""
    from imaging.archives import find_command

    def ask(known: "Nodes") -> int:
        asked = _questions(patient, first, last, modality, description, accession, registry)
        return find_command(known, node, asked, prints_json=json)

    raise typer.Exit(_asking(ask, nodes))


@pacs.command("pull")
def pacs_pull(
    node: Node,
    out: Annotated[Path, typer.Option(help="Folder for the images.")],
    patient: Patient = "",
    first: From = None,
    last: Until = None,
    modality: Modality = "CT",
    description: Description = "",
    accession: Accession = "",
    registry: RegistryFile = None,
    nodes: NodesFile = NODES,
    json: Annotated[bool, typer.Option("--json", help="Print a summary for a program.")] = False,
) -> None:
    """Fetch studies; the same command again fetches what is missing."""
    from imaging.archives import pull_command

    def ask(known: "Nodes") -> int:
        asked = _questions(patient, first, last, modality, description, accession, registry)
        return pull_command(known, node, asked, out, prints_json=json)

    raise typer.Exit(_asking(ask, nodes))


@pacs.command("push")
def pacs_push(
    node: Node,
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Files or folders.", exists=True)],
    nodes: NodesFile = NODES,
) -> None:
    """Send DICOM files that an archive does not have yet."""
    from imaging.archives import push_command

    raise typer.Exit(_asking(lambda known: push_command(known, node, inputs), nodes))


if __name__ == "__main__":
    app()
