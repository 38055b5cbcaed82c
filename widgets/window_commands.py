"""What one can do in the window: every command of its own, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from widgets.clippings import Clippings
from widgets.commands import Command
from widgets.label_edit import ask_and_export, ask_and_import

if TYPE_CHECKING:
    from widgets.main_window import MainWindow


def window_commands(window: MainWindow) -> list[Command]:
    """Declare the commands of the window; panels add their own through `Panel.commands`."""
    session = window.session
    stack = session.undo_stack

    def has_layers() -> bool:
        return bool(session.layers)

    clippings = Clippings(window)
    commands = [
        Command(
            "file.new",
            "New investigation",
            lambda: window.investigation.new(),
            "Begin with empty notes and labels; the model and the images stay open.",
            "File",
            "Ctrl+N",
            "project",
        ),
        Command(
            "file.open",
            "Open investigation…",
            lambda: window.investigation.open(),
            "Open an investigation that was saved: model, images, selection, notes, labels, panels.",
            "File",
            "Ctrl+O",
            "project",
        ),
        Command(
            "file.save",
            "Save",
            lambda: window.investigation.save(),
            "Write the investigation into its file. It is also kept after every change, so nothing is lost without.",
            "File",
            "Ctrl+S",
            "project",
        ),
        Command(
            "file.save_as",
            "Save as…",
            lambda: window.investigation.save_as(),
            "Write the investigation into another file and go on in that one.",
            "File",
            "Ctrl+Shift+S",
            "project",
        ),
        Command(
            "file.open_image",
            "Open image…",
            lambda: window.reception.ask_for_images(),
            "Show one image to the unit in the inspector, or several as an image set. Dropping or pasting does the same.",
            "File",
            "Ctrl+I",
            "bring in",
        ),
        Command(
            "file.open_folder",
            "Open folder of images…",
            lambda: window.reception.ask_for_folder(),
            "Use a folder as the image set, however large; broken files are named and skipped.",
            "File",
            "Ctrl+Shift+I",
            "bring in",
        ),
        Command(
            "file.open_network",
            "Open network file…",
            lambda: window.reception.ask_for_network(),
            "Open weights (.safetensors, .pt, .pth) or a Python file that makes a network; code is never run without asking.",
            "File",
            "Ctrl+Shift+O",
            "bring in",
        ),
        Command(
            "file.import_labels",
            "Import labels…",
            lambda: ask_and_import(session, window),
            "Merge labels of units from a table (CSV) into the investigation; units that the network does not have are named by line.",
            "File",
            section="labels",
        ),
        Command(
            "file.export_labels",
            "Export labels…",
            lambda: ask_and_export(session, window),
            "Write all labels of units, with confidence, author and evidence, as a table (CSV) that a spreadsheet opens.",
            "File",
            section="labels",
            enabled=lambda: bool(session.project.labels),
        ),
        Command(
            "file.export",
            "Export view…",
            window.export,
            "Write a view of an open panel as PDF, SVG or PNG, with its data and provenance beside it; the active panel's come first.",
            "File",
            "Ctrl+E",
            "out",
        ),
        Command(
            "file.export_notes",
            "Export notes…",
            window.export_notes,
            "Write all notes with their figures and what these were made from as one page of HTML that needs nothing beside it.",
            "File",
            "Ctrl+Shift+E",
            "out",
            enabled=lambda: bool(session.project.notes),
        ),
        Command(
            "file.quit",
            "Quit",
            window.close,
            "Close the window; everything is there again at the next start.",
            "File",
            "Ctrl+Q",
            "quit",
        ),
        Command(
            "edit.undo",
            "Undo",
            stack.undo,
            "Take back the last edit of notes, labels, circuits or weights.",
            "Edit",
            "Ctrl+Z",
            enabled=stack.canUndo,
        ),
        Command(
            "edit.redo",
            "Redo",
            stack.redo,
            "Do again what was taken back.",
            "Edit",
            "Ctrl+Shift+Z",
            enabled=stack.canRedo,
        ),
        Command(
            "edit.paste",
            "Paste image",
            lambda: window.reception.paste(),
            "Show the image or the files on the clipboard to the network.",
            "Edit",
            "Ctrl+V",
            "paste",
        ),
        Command(
            "edit.remove_image",
            "Remove image",
            lambda: session.drop_image(None),
            "Take the dropped image away again.",
            "Edit",
            section="paste",
            enabled=lambda: session.image is not None,
        ),
        *clippings.commands(),
        Command(
            "notes.new",
            "New note",
            window.new_note,
            "Begin a note about the selected unit; notes are saved with the investigation.",
            "Edit",
            "Ctrl+Shift+N",
            "notes",
        ),
        Command(
            "edit.pin_view",
            "Pin view to notes",
            window.pin_focused,
            "Begin a note with the view that has the keyboard, or the first one of the active panel, and what it was made from.",
            "Edit",
            "Ctrl+Shift+K",
            "notes",
        ),
        Command(
            "view.palette",
            "Command palette…",
            lambda: window.palette_box.open(),
            "Run any command by typing a part of its name.",
            "View",
            "Ctrl+Shift+P",
            "palette",
        ),
    ]
    for number, (id, entry) in enumerate(window.docks.entries.items(), 1):
        commands.append(
            Command(
                f"view.panel.{id}",
                entry.title,
                lambda id=id: window.toggle_dock(id),
                entry.help + (" The shortcut opens the panel and gives it the keyboard; once more closes it." if number <= 20 else ""),
                "View/Panels",
                f"{('Ctrl', 'Ctrl+Alt')[(number - 1) // 10]}+{number % 10}" if number <= 20 else "",
                checked=lambda id=id: window.docks.is_visible(id),
            )
        )
    commands += [
        Command(
            "view.next_panel",
            "Next panel",
            lambda: window.docks.cycle(1),
            "Give the keyboard to the next open panel.",
            "View/Panels",
            "F6",
            "walk",
        ),
        Command(
            "view.previous_panel",
            "Previous panel",
            lambda: window.docks.cycle(-1),
            "Give the keyboard to the previous open panel.",
            "View/Panels",
            "Shift+F6",
            "walk",
        ),
        Command(
            "view.reset",
            "Reset layout",
            window.docks.reset,
            "Open all panels and put them where they stand at first.",
            "View/Panels",
            section="walk",
        ),
    ]
    for scheme, title, help in (
        ("system", "As the system", "Be light or dark as the system is, and change with it."),
        ("light", "Light", "Dark on light, whatever the system says."),
        ("dark", "Dark", "Light on dark, whatever the system says."),
    ):
        commands.append(
            Command(
                f"view.colours.{scheme}",
                title,
                lambda scheme=scheme: window.choose_scheme(scheme),
                help,
                "View/Colours",
                checked=lambda scheme=scheme: window.theme.scheme == scheme,
            )
        )
    commands += [
        Command(
            "view.full_screen",
            "Full screen",
            window.toggle_full_screen,
            "Fill the whole screen, or go back.",
            "View",
            "F11",
            "screen",
            checked=window.isFullScreen,
        ),
        Command(
            "view.close_message",
            "Close message",
            lambda: window.messages.dismiss(),
            "Close the message above the panels.",
            "View",
            "Ctrl+Shift+X",
            "screen",
            enabled=lambda: bool(window.messages.messages),
        ),
        Command(
            "model.unit",
            "Go to…",
            window.go_to_unit,
            "Type the address of a unit (layer:index), a family (layer:{name}) or a layer, or paste one that was copied.",
            "Model",
            "Ctrl+G",
            "go",
            enabled=has_layers,
        ),
        Command(
            "model.next_unit",
            "Next unit",
            lambda: window.step_unit(1),
            "Select the next unit of the layer.",
            "Model",
            "Ctrl+Right",
            "go",
            enabled=has_layers,
        ),
        Command(
            "model.previous_unit",
            "Previous unit",
            lambda: window.step_unit(-1),
            "Select the previous unit of the layer.",
            "Model",
            "Ctrl+Left",
            "go",
            enabled=has_layers,
        ),
        Command(
            "model.pin",
            "Pin unit to compare",
            window.pin_unit,
            "Put the selected unit beside others in the panel Compare.",
            "Model",
            "Ctrl+K",
            "go",
            enabled=lambda: session.unit is not None,
        ),
        Command(
            "model.next_layer",
            "Next layer",
            lambda: window.step_layer(1),
            "Select the next layer of the network.",
            "Model",
            "Ctrl+PgDown",
            "go",
            enabled=has_layers,
        ),
        Command(
            "model.previous_layer",
            "Previous layer",
            lambda: window.step_layer(-1),
            "Select the layer before.",
            "Model",
            "Ctrl+PgUp",
            "go",
            enabled=has_layers,
        ),
        Command(
            "model.cancel_loading",
            "Cancel loading",
            session.cancel_loading,
            "Stop opening a model or an image set; what was open stays.",
            "Model",
            section="load",
        ),
        Command(
            "model.machine",
            "Device and storage…",
            window.show_machine,
            "Choose where networks are computed and with what numbers; see what is kept on disk, and delete it.",
            "Model",
            section="machine",
        ),
        Command(
            "circuit.add_unit",
            "Add selected units",
            window.add_to_circuit,
            "Add the unit in the inspector, or those selected together, to the circuit; a circuit is begun where none is open.",
            "Circuit",
            "Ctrl+Shift+A",
            "units",
            enabled=lambda: session.unit is not None,
        ),
        Command(
            "analysis.run",
            "Run analysis…",
            window.run_analysis,
            "Choose an analysis, set its parameters and start it; its result can be saved from the jobs panel.",
            "Analysis",
            "Ctrl+R",
            enabled=lambda: session.model is not None,
        ),
        Command(
            "help.manual",
            "Manual",
            window.show_manual,
            "List every panel and every command with its shortcut.",
            "Help",
            "F1",
        ),
    ]
    return commands
