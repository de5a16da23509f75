"""The command line: one short function a subcommand; the work is done in the rooms."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="mipc",
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


@app.command("audit-tables")
def audit_tables(
    folder: Annotated[Path, typer.Argument(help="Folder of a paper's tables as CSV files.")],
    claims: Annotated[Path | None, typer.Option(help="TOML file of numbers in the text.")] = None,
    rule: Annotated[str, typer.Option(help="The paper's rule for its tests.")] = "expected_below_5",
    out: Annotated[Path | None, typer.Option(help="Write the report here (Markdown).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Compute a paper's printed p-values again, and check its sums."""
    from analysis import front

    front.run_audit(folder, claims, rule, out, as_json)


if __name__ == "__main__":
    app()
