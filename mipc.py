"""The command line: one short function a subcommand; the work is done in the rooms."""

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


if __name__ == "__main__":
    app()
