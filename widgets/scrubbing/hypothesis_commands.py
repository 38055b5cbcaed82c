"""What one can do with hypotheses as files, as commands of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from widgets.commands import Command

if TYPE_CHECKING:
    from collections.abc import Callable


def hypothesis_commands(read: Callable[[], object], write: Callable[[], object], can_write: Callable[[], bool]) -> tuple[Command, ...]:
    """Declare them; the second acts on the hypothesis that the panel Scrubbing shows."""
    return (
        Command(
            "hypothesis.import",
            "Import hypothesis…",
            read,
            "Take a hypothesis from a JSON file into the investigation; one that is broken is refused, with the node and the reason.",
            "Analysis",
            section="hypotheses",
        ),
        Command(
            "hypothesis.export",
            "Export hypothesis…",
            write,
            "Write the hypothesis that the panel Scrubbing shows as JSON; the analysis CausalScrubbing takes it at the command line, too.",
            "Analysis",
            section="hypotheses",
            enabled=can_write,
        ),
    )
