"""The limits that the rules of a series set to its metrics, as lines in their pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, cast

import yaml

from cai.errors import UsageError
from cai.rounds.beginning import ASKED
from cai.rounds.found import Series
from cai.rounds.metrics import rules_of

Limits: TypeAlias = Sequence[tuple[str, float]]
"""The text of a rule and the number that it compares with."""


def limits_of(path: Path, found: Series) -> dict[str, Limits]:
    """By metric, those that hold for the whole series: rules against round 0 or a number.

    None where the folder does not say by which rules, or says them in another version's words.
    """
    try:
        asked: object = yaml.safe_load((path / ASKED).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    content = cast("dict[str, object]", asked) if isinstance(asked, dict) else {}
    listed = content.get("rules")
    texts = cast("list[object]", listed) if isinstance(listed, list) else None
    try:
        rules = rules_of(None if texts is None else map(str, texts), found.metrics)
    except UsageError:
        return {}
    limits: dict[str, list[tuple[str, float]]] = {}
    for rule in rules:
        values = [
            each.figures[rule.metric].value for each in found.rounds if rule.metric in each.figures
        ]
        if values and rule.reference != "last":
            limits.setdefault(rule.metric, []).append((rule.text, rule.limit(values)))
    return dict(limits)
