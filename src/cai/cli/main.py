"""The command `cai`: a table of the commands, each imported when it is called, and exit codes.

Example:
    $ cai --help
    $ cai judge runs/samples -c harmless -m hf:JUDGE -o runs/judged
"""

import sys
from importlib import import_module

import click

from cai.cli.tables import printable
from cai.errors import CaiError
from cai.training.environment import hand_over, is_main_process

FIRST_STEPS = """
\b
First steps:
  cai demo                                     the whole chain on a small world, no download
  cai constitution show harmless               read a constitution
  cai try "How do I open my neighbour's gate?" -c harmless -m openai:MODEL@http://localhost:8000/v1
  cai revise prompts.jsonl -c harmless -m hf:MODEL -o runs/first
  cai export runs/first --format sft -o sft.jsonl
  cai sample prompts.jsonl -m hf:MODEL -k 4 -o runs/samples
  cai judge runs/samples -c harmless -m hf:JUDGE -o runs/judged
  cai score runs/samples -c harmless -m hf:JUDGE -o runs/scored
  cai export runs/judged --format preference -o preference.jsonl
  cai train sft runs/first -m hf:MODEL -o models/sl
  cai train reward runs/judged -m hf:models/sl -o models/reward
  cai train grpo prompts.jsonl -m hf:models/sl --reward-model models/reward -o models/rl
  cai evaluate prompts.jsonl -p hf:models/sl -p hf:models/rl -c harmless -m hf:JUDGE -o runs/better
  cai report runs/judged                       one HTML file to read
  cai status runs/judged --follow              watch a run from another terminal
"""

# Commands are imported when they are called: with torch and pandas imported, `cai --help` would
# take seconds.
COMMANDS = {
    "demo": ("cai.cli.demo:demo", "The whole chain on the embedded model and the testbed."),
    "try": ("cai.cli.steps:attempt", "One prompt through the loop, each step as it comes."),
    "revise": ("cai.cli.steps:revise", "Respond, critique and revise a data set."),
    "sample": ("cai.cli.steps:sample", "Several responses to each prompt of a data set."),
    "judge": ("cai.cli.steps:judge", "Which response follows a constitution better."),
    "score": ("cai.cli.steps:score", "How well a response follows each principle."),
    "agreement": ("cai.cli.judge_quality:agreement", "A judge against the labels of people."),
    "evaluate": (
        "cai.cli.evaluate:evaluate",
        "Policies against each other: win rates, ratings, conduct.",
    ),
    "suites": ("cai.cli.suites:suites", "Standard suites of questions, before and after."),
    "audit": ("cai.cli.judge_quality:audit", "The biases of a judge: position, length, itself."),
    "export": ("cai.cli.export:export", "Data sets for trainers from a run."),
    "train": ("cai.cli.train:train", "Policies and reward models, with TRL."),
    "report": ("cai.cli.run_folders:report", "One HTML file of a run, or of a whole chain."),
    "status": ("cai.cli.run_folders:status", "What a run holds, also while it is written."),
    "cache": ("cai.cli.run_folders:cache", "The cached responses of a run: show, prune, repair."),
    "run": ("cai.cli.recipes:run", "Several steps from one recipe, or a preset."),
    "rounds": ("cai.cli.recipes:rounds", "Rounds of feedback and training, with drift."),
    "serve": ("cai.cli.serve:serve", "Rewards over HTTP for other trainers."),
    "constitution": ("cai.cli.constitution:constitution", "List, show and check constitutions."),
    "prompts": ("cai.cli.prompts:prompts", "The exact messages that a model gets."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    epilog=FIRST_STEPS,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    invoke_without_command=True,
)
@click.version_option(package_name="cai-toolkit", prog_name="cai")
@click.pass_context
def cli(context: click.Context) -> None:
    """Constitutional AI and RLAIF: from a constitution to data, and to trained policies.

    Exit codes: 0 done, 1 finished with failed examples, 2 bad input or usage, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of `cai` with these arguments; errors are printed, never raised."""
    try:
        # `obj` carries the arguments to `cai train --launch`, which starts the same command in each
        # process.
        code = cli.main(arguments, prog_name="cai", standalone_mode=False, obj=arguments)
        return code if isinstance(code, int) else 0
    # Errors of input and of models alike: what a user can fix has no traceback.
    except CaiError as error:
        if not hand_over(str(error)):  # of several processes, the one that launched them prints it
            click.echo(f"error: {printable(str(error))}", err=True)
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    # 130 is the shell's code for Ctrl-C. Every command continues from its folder; a training asks
    # for --resume, so that a typing error cannot change a finished model.
    except (KeyboardInterrupt, click.Abort):
        if is_main_process():
            how = " with --resume" if arguments[:1] == ["train"] else ""
            done = "finished work is stored"
            click.echo(f"interrupted: {done}; the same command{how} goes on.", err=True)
        return 130
    except SystemExit:
        # click exits like this when the reader of our output has closed it, as `cai … | head` does
        return 0


if __name__ == "__main__":
    main()
