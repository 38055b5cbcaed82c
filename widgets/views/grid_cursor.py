"""Where a key moves the cursor of a grid that is read line by line."""

from __future__ import annotations

from PySide6.QtWidgets import QAbstractItemView

Action = QAbstractItemView.CursorAction


def moved(row: int, action: Action, columns: int, page: int, last: int) -> int:
    """Return the item that a key moves to: right of the last column is the first of the next row.

    Parameters
    ----------
    row
        The item it is on, -1 for none.
    columns, page
        Items in a line, and in all lines of a screen.
    last
        The last item.
    """
    steps = {
        Action.MoveLeft: -1,
        Action.MovePrevious: -1,
        Action.MoveRight: 1,
        Action.MoveNext: 1,
        Action.MoveUp: -columns,
        Action.MoveDown: columns,
        Action.MovePageUp: -page,
        Action.MovePageDown: page,
    }
    if action == Action.MoveHome or row < 0:
        return 0
    if action == Action.MoveEnd:
        return last
    target = row + steps[action]
    in_column = target % columns + (last - target % columns) // columns * columns
    if action in (Action.MoveUp, Action.MovePageUp):
        return target if target >= 0 else row % columns
    if action in (Action.MoveDown, Action.MovePageDown):
        return target if target <= last else max(row, in_column)
    return max(0, min(last, target))
