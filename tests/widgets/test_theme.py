"""Light and dark: legible, following the system live, overridden by the user; every icon there and tinted."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QLabel, QToolButton

from widgets.panels import PANELS
from widgets.theme import ICONS, Theme, icon, is_dark, palette, say, set_colour, set_icon, signal_colour

ROLE = QPalette.ColorRole


def contrast(one: QColor, other: QColor) -> float:
    """WCAG 2 contrast ratio, 1 to 21."""

    def luminance(colour: QColor) -> float:
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (colour.redF(), colour.greenF(), colour.blueF())
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_legible(dark: bool):
    colours = palette(dark)
    assert is_dark(colours) == dark
    pairs = [
        (ROLE.WindowText, ROLE.Window),
        (ROLE.Text, ROLE.Base),
        (ROLE.Text, ROLE.AlternateBase),
        (ROLE.ButtonText, ROLE.Button),
        (ROLE.HighlightedText, ROLE.Highlight),
        (ROLE.ToolTipText, ROLE.ToolTipBase),
        (ROLE.Link, ROLE.Base),
        (ROLE.PlaceholderText, ROLE.Base),
        (ROLE.PlaceholderText, ROLE.Window),
    ]
    for text, ground in pairs:
        assert contrast(colours.color(text), colours.color(ground)) >= 4.3, f"{text} on {ground}"
    field, window = colours.color(ROLE.Base), colours.color(ROLE.Window)
    assert field.lightness() > window.lightness(), "outlines of fields and check boxes are darker than the window, hardly seen in dark"
    assert contrast(field, window) >= 1.1
    for meaning in ("error", "warning", "good", "info"):
        for ground in (ROLE.Window, ROLE.Base):
            assert contrast(signal_colour(meaning, colours), colours.color(ground)) >= 4.5, f"{meaning} on {ground}"


def test_the_user_overrides_the_system_and_the_icons_follow(qapp, qtbot):
    theme = Theme(qapp, "light")
    button = QToolButton()
    qtbot.addWidget(button)
    set_icon(button, "open")
    light = button.icon().pixmap(QSize(32, 32)).toImage()
    with qtbot.waitSignal(theme.changed):
        theme.choose("dark")
    assert is_dark(qapp.palette()) and theme.dark
    dark = button.icon().pixmap(QSize(32, 32)).toImage()
    assert light != dark
    assert brightest(dark) > 0.8 and brightest(light) < 0.3
    theme.choose("light")
    assert not is_dark(qapp.palette())
    with pytest.raises(ValueError, match="'sepia' is no colour scheme"):
        theme.choose("sepia")


def brightest(image) -> float:
    colours = [image.pixelColor(x, y) for x in range(32) for y in range(32)]
    return max(c.lightnessF() for c in colours if c.alphaF() > 0.9)


def test_what_is_told_in_a_colour_keeps_to_the_palette(qapp, qtbot):
    theme, label, faint = Theme(qapp, "light"), QLabel("wrong"), QLabel("aside")
    qtbot.addWidget(label)
    qtbot.addWidget(faint)
    say(label, "out of memory", wrong=True)
    set_colour(faint, "faint")
    for scheme in ("light", "dark"):
        theme.choose(scheme)
        colours = palette(theme.dark)
        for told, wanted in ((label, signal_colour("error", colours)), (faint, colours.color(ROLE.PlaceholderText))):
            told.ensurePolished()
            assert told.palette().color(told.foregroundRole()) == wanted
            assert contrast(wanted, colours.color(ROLE.Window)) > 3
    say(label, "all is well")
    assert label.styleSheet() == ""
    theme.choose("system")


def test_the_system_is_followed_while_the_window_is_open(make_window, qapp, qtbot):
    window = make_window()
    system = qapp.styleHints().colorSchemeChanged  # emitted by the platform when the system changes
    for scheme, dark in ((Qt.ColorScheme.Dark, True), (Qt.ColorScheme.Light, False)):
        system.emit(scheme)
        qtbot.waitUntil(lambda dark=dark: is_dark(window.palette()) == dark)
        assert window.theme.dark == dark
        pixel = window.grab().toImage().pixelColor(window.width() // 2, window.height() - 3)  # of the status line
        assert (pixel.lightnessF() < 0.5) == dark
    window.registry.find("view.colours.dark").run()
    qtbot.waitUntil(lambda: is_dark(window.palette()))
    system.emit(Qt.ColorScheme.Light)
    qtbot.wait(20)
    assert is_dark(window.palette()), "the user's choice comes before the system's"
    assert window.settings.scheme == "dark"


def test_every_icon_can_be_drawn(qapp):
    names = [path.stem for path in ICONS.glob("*.svg")]
    assert len(names) > 25
    for name in (*names, *PANELS):
        image = icon(name).pixmap(QSize(24, 24)).toImage()
        assert any(image.pixelColor(x, y).alpha() for x in range(24) for y in range(24)), f"{name} is empty"
    with pytest.raises(FileNotFoundError):
        icon("no such icon")
