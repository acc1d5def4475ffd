"""A reward model as it is named on the command line and in a recipe: `FOLDER`, or `FOLDER*0.5`."""

from math import isfinite

from cai.errors import UsageError


def weighted(named: str) -> tuple[str, float]:
    """The reward model's folder or name, and its weight, 1 where none is given.

    Raises:
        UsageError: What stands after the star is no number.
    """
    spec, star, weight = named.partition("*")
    try:
        number = float(weight) if star else 1.0
    except ValueError:
        number = float("nan")
    if not isfinite(number) or not spec:
        raise UsageError(
            f"The reward model {named!r}: {weight!r} is no weight. Write {spec or 'FOLDER'}*0.5."
        )
    return spec, number
