"""Files of preferences, and policies trained on them: what several experiments ask for."""

from collections.abc import Iterable
from dataclasses import replace

from experiment import Figures, Trial
from weak import JUDGE_NOISE, weakened

from cai.methods.judging.ranking import Judged
from cai.testbed.feedback import Judging, best_over_worst, write_preferences
from cai.training.plan import LabelKind, LabelPlan


def weak_judging(trial: Trial) -> Judging:
    """As the usual one, by a weak judge."""
    spec = weakened(trial.chain.folder / "weak-judge", JUDGE_NOISE, trial.chain.seed)
    return replace(Judging(), name="judged-weakly", model=spec)


def best_file(trial: Trial, name: str, judged: Iterable[Judged]) -> str:
    """A file with the best response over the worst of each group."""
    return write_preferences(trial.chain.folder / f"{name}.jsonl", best_over_worst(judged))


def policy_of(
    trial: Trial,
    name: str,
    judged: Iterable[Judged],
    kind: LabelKind = "hard",
    temperature: float = 1.0,
) -> Figures:
    """SL and DPO on the best over the worst of each group, measured; `name` is that of the labels.

    The same name is the same policy, whichever experiment asks for it.
    """
    source = best_file(trial, f"best-{name}", judged)
    scaled = "" if temperature == 1 else "-scaled"
    plan = LabelPlan(kind, temperature=temperature)
    return trial.policy(trial.chain.dpo_on(source, f"dpo-{name}-{kind}{scaled}", plan))
