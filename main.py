"""Circuit Workbench. Without a command it opens the window; ``list`` and ``run`` do the same work without a screen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from workbench import __version__, cli, listing, settings_text, terminal
from workbench.task import Task

COMMANDS = ("window", "list", "run", "problem", "generate", "train", "evaluate", "labels")

TRACEBACK = "on an error show where it was noticed, not one line"


class OneLineParser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(terminal.BAD_INPUT, f"error: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    top = OneLineParser(
        prog="main.py",
        description="Open an image network and see what its units respond to. Without a command the window opens.",
        epilog="Exit codes: 0 done, 1 internal error, 2 bad input (one line on stderr says what), 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"Circuit Workbench {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser(
        "window", add_help=False, help="open the window; 'window --help' says with what, such as --screenshot FILE"
    )

    entries = commands.add_parser("list", parents=[network(required=False)], help="list what there is")
    entries.add_argument("kind", choices=listing.KINDS)
    entries.add_argument("pattern", nargs="?", help="wildcard, such as 'timm:convnext*' (in quotes)")
    entries.add_argument("--json", action="store_true", help="write a JSON list with all details")

    run = commands.add_parser("run", parents=[network(required=True)], help="write an analysis' result into a folder")
    run.add_argument("analysis", metavar="ANALYSIS", help="name as in 'list analyses', such as FeatureVisualization")
    run.add_argument("--images", metavar="REF", help="image set, such as emoji or folder:PATH")
    add_settings(run, "--set layer=layer2 --set units=5,9")
    run.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps or auto (the default): the fastest there is")
    run.add_argument("--numbers", choices=("fp32", "tf32", "bf16"), default="fp32", help="bf16 only where activations are read, and marked")
    run.add_argument("--out", metavar="DIR", required=True, help="folder for result.json, arrays.npz and figures/")

    problem = commands.add_parser("problem", help="answer an open problem with a report: figures, nulls, and what is missing")
    problem.add_argument("number", metavar="NUMBER", help="as in 'list problems', such as 7.10")
    problem.add_argument("--model", metavar="REF", action="append", help="network it is about; may be repeated; by default bundled ones")
    problem.add_argument("--images", metavar="REF", default="", help="image set; by default the one the report names")
    problem.add_argument("--budget", choices=("quick", "full"), default="quick", help="quick: at most about ten minutes on two cores")
    problem.add_argument("--out", metavar="DIR", required=True, help="folder for report.html, report.json and results/")
    problem.add_argument("--allow-code", action="store_true", help="run the file behind python:FILE.py:FACTORY")
    problem.add_argument("--traceback", action="store_true", help=TRACEBACK)

    generate = commands.add_parser("generate", help="draw images from prompts with a diffusion network")
    generate.add_argument("prompts", metavar="PROMPT", nargs="*", default=[""], help="what is drawn; none: anything")
    generate.add_argument("--model", metavar="REF", required=True, help="diffusion network, such as diffusers:PATH_OR_ID")
    generate.add_argument("--style", metavar="NAMES", action="append", help="drawing styles for each prompt, such as noto,openmoji")
    generate.add_argument("--images", type=int, metavar="N", help="images of each prompt")
    generate.add_argument("--seed", type=int, metavar="N", help="of the first image's noise")
    generate.add_argument("--steps", type=int, metavar="N", help="noise levels gone through")
    generate.add_argument("--guidance", type=float, metavar="X", help="how far the prompt is followed; 1: as learned")
    generate.add_argument("--out", metavar="DIR", required=True, help="folder for images/, trajectories/ and the whole result")
    generate.add_argument("--traceback", action="store_true", help=TRACEBACK)

    train = commands.add_parser("train", help="train a network from a recipe, or go on with a run that was stopped")
    train.add_argument("recipe", metavar="NAME", help="as in 'list recipes', such as inception or Classifier")
    add_settings(train, "--set network=timm:resnet18 --set images=folder:PATH")
    train.add_argument("--out", metavar="DIR", help="the run's folder; by default one of that name in the user's data")
    train.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (the default)")
    train.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto", help="of products; by default the faster one here")
    train.add_argument("--threads", type=threads, metavar="N", help="processor threads")
    train.add_argument("--traceback", action="store_true", help=TRACEBACK)

    evaluate = commands.add_parser("evaluate", help="measure a bundled network again, beside what its card says")
    evaluate.add_argument("name", metavar="NAME", help="a bundled network such as inception, or the folder of a run")
    evaluate.add_argument("--json", action="store_true", help="write JSON")
    evaluate.add_argument("--traceback", action="store_true", help=TRACEBACK)

    labels = commands.add_parser("labels", help="labels of units of a saved investigation, as a table (CSV)")
    ways = labels.add_subparsers(dest="way", metavar="export|import", required=True)
    out = ways.add_parser("export", help="write them as CSV")
    out.add_argument("project", metavar="PROJECT", help="a saved investigation (.workbench)")
    out.add_argument("--out", metavar="FILE", help="the table; by default stdout")
    out.add_argument("--traceback", action="store_true", help=TRACEBACK)
    into = ways.add_parser("import", parents=[network(required=False)], help="merge a table into it; what is left out is named by line")
    into.add_argument("project", metavar="PROJECT", help="a saved investigation, which is changed")
    into.add_argument("table", metavar="FILE", help="CSV: unit, label; model, confidence, author, evidence, kind, created")
    return top


def threads(text: str) -> int:
    """Read a number of processor threads."""
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 1024")
    return int(text)


def add_settings(command: argparse.ArgumentParser, example: str) -> None:
    """Declare ``--set``."""
    command.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help=f"a parameter, as JSON or a string, lists with commas: {example}",
    )


def network(*, required: bool) -> OneLineParser:
    """Declare the arguments that name a network."""
    shared = OneLineParser(add_help=False)
    shared.add_argument(
        "--model",
        metavar="REF",
        required=required,
        help="network, such as bundled:efficientnet-lite0 or timm:resnet18?pretrained=false",
    )
    shared.add_argument("--allow-code", action="store_true", help="run the file behind python:FILE.py:FACTORY")
    shared.add_argument("--traceback", action="store_true", help=TRACEBACK)
    return shared


def read(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments of a command; a pattern may also come after options, where argparse does not look for it."""
    top = parser()
    given, left = top.parse_known_args(argv)
    if given.command == "list" and given.pattern is None and len(left) == 1 and not left[0].startswith("-"):
        given.pattern = left.pop()
    if left:
        top.error(f"unrecognized arguments: {' '.join(left)}")
    return given


def main(argv: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code; what is no command is an argument of the window."""
    if not argv or argv[0] not in (*COMMANDS[1:], "-h", "--help", "--version"):
        meant = get_close_matches(argv[0], COMMANDS, n=1) if argv else []
        if meant and meant[0] != argv[0] and not Path(argv[0]).exists():
            parser().error(f"there is no command or file {argv[0]!r}; did you mean {meant[0]}?")
        from widgets import app

        return app.main(argv[1:] if argv[:1] == ["window"] else argv)
    given = read(argv)

    def list_entries(task: Task) -> None:
        listing.list_entries(given.kind, given.pattern or "*", given.model, given.json, given.allow_code, task)

    def run(task: terminal.TerminalTask) -> None:
        cli.run(given.analysis, given.set, given.model, given.images, given.out, given.allow_code, (given.device, given.numbers), task)

    def problem(task: terminal.TerminalTask) -> None:
        cli.answer(given.number, given.model or [], given.images, given.budget, given.out, given.allow_code, task)

    def generate(task: terminal.TerminalTask) -> None:
        asked = {name: getattr(given, name) for name in ("images", "seed", "steps", "guidance")}
        settings = {name: value for name, value in asked.items() if value is not None}
        cli.generate(given.prompts, given.style or [], settings, given.model, given.out, task)

    def train(task: Task) -> None:
        from workbench.training import commands

        settings = settings_text.recipe_settings(given.recipe, given.set)
        commands.train(given.recipe, settings, given.out, given.device, given.precision, given.threads, task)

    def evaluate(task: Task) -> None:
        from workbench.training import commands

        commands.evaluate(given.name, given.json, task)

    def labels(task: terminal.TerminalTask) -> None:
        from workbench import label_commands

        if given.way == "export":
            label_commands.export_labels(given.project, given.out)
        else:
            label_commands.import_labels(given.project, given.table, given.model, given.allow_code, task)

    chosen = {
        "list": list_entries,
        "run": run,
        "problem": problem,
        "generate": generate,
        "train": train,
        "evaluate": evaluate,
        "labels": labels,
    }
    return terminal.guarded(chosen[given.command], traceback=given.traceback)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
