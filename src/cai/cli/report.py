"""`cai report`: one HTML file that people read, of a run or of a whole chain."""

from pathlib import Path

import click

from cai.cli.tables import printable


@click.command(epilog="Example: cai report demo -o demo.html")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="The file to write.  [default: report.html in the folder]",
)
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False), help="File of prices.")
def report(paths: tuple[Path, ...], out: Path | None, prices: Path | None) -> int:
    """Write what the folders PATH… hold as one HTML file that needs nothing else.

    A PATH is the folder of a run, a training, an evaluation or rounds, or one that holds several:
    then the report is of the whole chain. It says what was done, whether it worked, what it cost
    and what to distrust, and shows tables, plots and examples. No model is asked.
    """
    from cai.report.build import write_report  # heavy: matplotlib
    from cai.testbed.truth import OracleTruth

    written = write_report(paths, out, prices=prices, truth=OracleTruth())
    click.echo(f"{printable(str(written))}  {written.stat().st_size / 1e6:.1f} MB")
    return 0
