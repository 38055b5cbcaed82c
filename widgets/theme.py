"""How the window looks: Fusion style, a light and a dark palette that follow the system, and icons tinted by the palette."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, get_args

from PySide6.QtCore import QBuffer, QByteArray, QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QImageReader, QPalette, QPixmap
from PySide6.QtWidgets import QApplication, QLabel, QWidget

Scheme = Literal["system", "light", "dark"]
Meaning = Literal["error", "warning", "good", "info"]

ICONS = Path(__file__).resolve().parent.parent / "resources" / "icons"

Role = QPalette.ColorRole
_LIGHT = {
    Role.Window: "#f2f3f5",
    Role.WindowText: "#1c2126",
    Role.Base: "#ffffff",
    Role.AlternateBase: "#f6f7f9",
    Role.Text: "#1c2126",
    Role.Button: "#eceef1",
    Role.ButtonText: "#1c2126",
    Role.BrightText: "#ffffff",
    Role.Highlight: "#2563c9",
    Role.HighlightedText: "#ffffff",
    Role.Link: "#1d57b5",
    Role.LinkVisited: "#6b3fa8",
    Role.ToolTipBase: "#fdfdf5",
    Role.ToolTipText: "#1c2126",
    Role.PlaceholderText: "#69727c",
    Role.Light: "#ffffff",
    Role.Midlight: "#e6e9ec",
    Role.Mid: "#c3c8ce",
    Role.Dark: "#a3aab2",
    Role.Shadow: "#6f767e",
    Role.Accent: "#2563c9",
}
_DARK = {
    Role.Window: "#1c1f24",
    Role.WindowText: "#e3e6ea",
    Role.Base: "#2a2f36",
    Role.AlternateBase: "#2e343c",
    Role.Text: "#e3e6ea",
    Role.Button: "#343a43",
    Role.ButtonText: "#e3e6ea",
    Role.BrightText: "#ffffff",
    Role.Highlight: "#3b73d6",
    Role.HighlightedText: "#ffffff",
    Role.Link: "#84b1ff",
    Role.LinkVisited: "#c0a1f5",
    Role.ToolTipBase: "#343a42",
    Role.ToolTipText: "#e3e6ea",
    Role.PlaceholderText: "#939ba5",
    Role.Light: "#434a53",
    Role.Midlight: "#383e46",
    Role.Mid: "#15181c",
    Role.Dark: "#121418",
    Role.Shadow: "#0a0b0d",
    Role.Accent: "#3b73d6",
}
_SIGNALS = {
    "error": ("#b3261e", "#ff8a80"),
    "warning": ("#8a5a00", "#f2b84b"),
    "good": ("#1c7a3d", "#6fd08c"),
    "info": ("#1d57b5", "#84b1ff"),
}


def palette(dark: bool) -> QPalette:
    """Make the light or the dark palette.

    In both what one types into or ticks is lighter than the window: Fusion's outlines, darker than it, are hardly seen on a dark one.
    """
    made = QPalette()
    for role, colour in (_DARK if dark else _LIGHT).items():
        made.setColor(role, QColor(colour))
    faint = QColor("#6c747d" if dark else "#969da5")
    for role in (Role.WindowText, Role.Text, Role.ButtonText, Role.PlaceholderText):
        made.setColor(QPalette.ColorGroup.Disabled, role, faint)
    made.setColor(QPalette.ColorGroup.Disabled, Role.Highlight, QColor("#454b54" if dark else "#c3c8ce"))
    return made


def is_dark(palette: QPalette) -> bool:
    """Whether a palette writes light on dark."""
    return palette.color(Role.Window).lightness() < palette.color(Role.WindowText).lightness()


def signal_colour(meaning: Meaning, palette: QPalette) -> QColor:
    """Return the text colour of an error, a warning, a success or a remark on this palette."""
    return QColor(_SIGNALS[meaning][is_dark(palette)])


def set_colour(widget: QWidget, meaning: Meaning | Literal["faint", ""]) -> None:
    """Write a widget's text in the colour of a meaning, which it keeps when the palette changes; an empty one is that of any text."""
    if (widget.property("text_means") or "") != meaning:
        widget.setProperty("text_means", meaning)
        _colour(widget)


def _colour(widget: QWidget) -> None:
    meaning, colours = widget.property("text_means"), QApplication.palette()
    colour = colours.color(Role.PlaceholderText) if meaning == "faint" else signal_colour(meaning, colours) if meaning else None
    widget.setStyleSheet(f"color: {colour.name()}" if colour is not None else "")


def say(label: QLabel, text: str, wrong: bool = False) -> None:
    """Write a line into a label, in the colour of errors where something went wrong."""
    label.setText(text)
    set_colour(label, "error" if wrong else "")


class Theme(QObject):
    """Sets the palette of the application, and changes it when the system or the user does."""

    changed = Signal()
    """The palette and the icons are other ones now."""

    def __init__(self, application: QApplication, scheme: Scheme = "system") -> None:
        super().__init__()
        self._application = application
        self._system = Qt.ColorScheme.Unknown
        application.styleHints().colorSchemeChanged.connect(self._follow)
        self.choose(scheme)

    @property
    def scheme(self) -> Scheme:
        """What the user chose."""
        return self._scheme

    def choose(self, scheme: Scheme) -> None:
        """Follow the system, or be light or dark whatever it says.

        Raises
        ------
        ValueError
            When it is none of the three.
        """
        if scheme not in get_args(Scheme):
            raise ValueError(f"{scheme!r} is no colour scheme; choose {', '.join(get_args(Scheme))}")
        self._scheme = scheme
        wanted = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark, "system": Qt.ColorScheme.Unknown}
        hints = self._application.styleHints()
        hints.blockSignals(True)  # the platform's title bars follow; its answer must not start this again
        hints.setColorScheme(wanted[scheme])
        hints.blockSignals(False)
        self._system = hints.colorScheme()
        self._apply()

    @property
    def dark(self) -> bool:
        """Whether the window is dark now."""
        if self._scheme == "system":
            return self._system == Qt.ColorScheme.Dark
        return self._scheme == "dark"

    def _follow(self, scheme: Qt.ColorScheme) -> None:
        self._system = scheme
        self._apply()

    def _apply(self) -> None:
        self._application.setPalette(palette(self.dark))
        _tinted.cache_clear()
        for widget in self._application.allWidgets():
            if widget.property("text_means"):
                _colour(widget)
            for user in (widget, *widget.actions()):
                if name := user.property("icon_name"):
                    user.setIcon(icon(name))
        self.changed.emit()


def set_icon(user: QObject, name: str) -> None:
    """Give a button or an action an icon that keeps the palette's colour when that changes."""
    user.setProperty("icon_name", name)
    user.setIcon(icon(name))


def icon(name: str) -> QIcon:
    """Return an icon of ``resources/icons`` in the colour of button text.

    Raises
    ------
    FileNotFoundError
        When there is none of that name.
    """
    return _tinted(name, QApplication.palette().color(Role.ButtonText).name())


@cache
def _tinted(name: str, colour: str) -> QIcon:
    drawing = (ICONS / f"{name}.svg").read_bytes().replace(b"currentColor", colour.encode())
    made = QIcon()
    for size in (16, 32):
        buffer = QBuffer()
        buffer.setData(QByteArray(drawing))
        reader = QImageReader(buffer, b"svg")
        reader.setScaledSize(QSize(size, size))
        made.addPixmap(QPixmap.fromImage(reader.read()))
    return made
