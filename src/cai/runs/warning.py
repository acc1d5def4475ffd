"""A line on the console that is not overlooked."""

from rich.console import Console


def warn(console: Console, text: str) -> None:
    """Prints a line that is not overlooked."""
    console.print(
        f"WARNING: {text}",
        style="bold yellow",
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
    )
