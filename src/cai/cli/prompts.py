"""`cai prompts`: the template sets, and the exact messages of each request.

Example:
    $ cai prompts render revise -c testbed --principle stay-polite
"""

import json
from collections.abc import Sequence

import click

from cai.cli.constitution import principle_of
from cai.cli.tables import printable
from cai.constitution.loader import load_constitution
from cai.methods.judging import multiple_choice
from cai.methods.judging.requests import (
    Question,
    check_turns,
    judge_turns,
    rationale_turns,
    score_turns,
)
from cai.methods.judging.verdict import Comparison
from cai.methods.revision import critique_turns, direct_turns, revision_turns
from cai.methods.sampling import respond_turns
from cai.methods.settings import ReviseSettings
from cai.templates import STEPS, Step, TemplateSet, load_templates, shipped_sets
from cai.training.reward_model.principles import PrincipleStatement, RewardTemplate, conditioned
from cai.types import Conversation, Message, as_dicts, user_prompt


@click.group(epilog="Example: cai prompts list")
def prompts() -> None:
    """Show the exact messages that a model gets."""


@prompts.command("list", epilog="Example: cai prompts list")
def list_sets() -> None:
    """The shipped template sets."""
    for name in shipped_sets():
        templates = load_templates(name)
        click.echo(
            f"{name}  {templates.settings.kind} models, {templates.hash}: {', '.join(STEPS)}"
        )


@prompts.command(epilog="Example: cai prompts show chat critique")
@click.argument("templates")
@click.argument("step", type=click.Choice(STEPS), required=False)
def show(templates: str, step: Step | None) -> None:
    """The source of a set's templates, or of one step's."""
    loaded = load_templates(templates)
    steps: tuple[Step, ...] = (step,) if step else STEPS
    for each in steps:
        click.secho(f"# {loaded.files[each]}", dim=True)
        click.echo(printable(loaded.sources[each]))


@prompts.command(epilog="Example: cai prompts render revise -c testbed --principle stay-polite")
@click.argument("step", type=click.Choice(STEPS))
@click.option("-c", "--constitution", required=True, help="A shipped name or a YAML file.")
@click.option("--principle", "principle_id", help="Its id; the first one when not given.")
@click.option("--prompts", "templates", default="chat", help="Template set.")
@click.option("--prompt", help="The user's request; else that of the principle's example.")
@click.option("--response", help="The response, or response A; else the example's.")
@click.option("--critique", help="The critique; else the example's.")
@click.option("--response-b", help="Response B; else the example's revision.")
@click.option("--few-shots", type=click.IntRange(0), default=0)
@click.option("--minimal", "is_minimal", is_flag=True, help="Ask for the smallest change.")
@click.option("--negated", "is_negated", is_flag=True, help="Ask which response is worse.")
@click.option("--json", "is_json", is_flag=True, help="The messages as JSON.")
def render(
    step: Step,
    constitution: str,
    principle_id: str | None,
    templates: str,
    prompt: str | None,
    response: str | None,
    critique: str | None,
    response_b: str | None,
    few_shots: int,
    is_minimal: bool,
    is_negated: bool,
    is_json: bool,
) -> None:
    """Print the messages that a model gets for one step, constitution, principle and example."""
    rules = load_constitution(constitution)
    principle = rules.principles[0] if principle_id is None else principle_of(rules, principle_id)
    # a text that is neither given nor in an example is shown as its name, such as "(response)"
    shot = principle.examples[0] if principle.examples else None
    texts = [
        given if given is not None else (getattr(shot, name) if shot else f"({name})")
        for name, given in (
            ("prompt", prompt),
            ("response", response),
            ("critique", critique),
            ("revision", response_b),
        )
    ]
    settings = ReviseSettings(few_shots=few_shots, minimal=is_minimal)
    loaded = load_templates(templates)
    question = Question(principle, is_negated=is_negated, few_shots=few_shots)
    # The same functions as in a run make these messages, so what is printed is what is sent.
    messages = loaded.request(_turns(step, loaded, question, settings, texts))
    if is_json:
        click.echo(json.dumps(as_dicts(messages), ensure_ascii=False, indent=2))
        return
    for message in messages:
        click.secho(f"[{message.role}]", fg="cyan")
        click.echo(printable(message.content))


def _turns(
    step: Step,
    templates: TemplateSet,
    question: Question,
    settings: ReviseSettings,
    texts: Sequence[str],
) -> Conversation:
    request, response, critique, response_b = texts
    prompt, principle = user_prompt(request), question.asked
    exchange = (*prompt.messages, Message("assistant", response))
    comparison = Comparison(prompt, response, response_b)
    choice = multiple_choice.ChoiceQuestion(prompt, (response, response_b), right=(0,))
    statement = PrincipleStatement(principle.id, principle.text, question.is_negated)
    # lambdas: some of these need texts or templates that a set for another step may lack
    turns = {
        "respond": lambda: respond_turns(templates, prompt),
        "critique": lambda: critique_turns(templates, principle, exchange, settings),
        "revise": lambda: revision_turns(templates, principle, exchange, critique, settings),
        "direct": lambda: direct_turns(templates, principle, exchange, settings),
        "judge": lambda: judge_turns(templates, question, comparison),
        "rationale": lambda: rationale_turns(templates, question, comparison),
        "score": lambda: score_turns(templates, principle, prompt, response),
        "check": lambda: check_turns(templates, principle, prompt, response),
        "choice": lambda: multiple_choice.choice_turns(templates, choice, choice.orders[0]),
        "reward": lambda: conditioned(exchange, [statement], RewardTemplate.of(templates)),
    }
    return turns[step]()
