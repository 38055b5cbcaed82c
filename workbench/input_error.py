"""What the workbench refuses on purpose, apart from what goes wrong inside it."""

from __future__ import annotations


class InputError(ValueError):
    """What was asked for makes no sense; the message is one line that says why and what to do.

    Raised wherever a reference, a parameter, a layer or a file of the user's will not do. Any other `ValueError` is a mistake of the
    program's, and is reported as one.
    """
