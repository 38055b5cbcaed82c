"""Two thousand random clicks, keys, wheels and drags over all docks, with a real worker behind them: nothing may break or be left."""

from __future__ import annotations

import random
import sys

import pytest
from PySide6.QtCore import QObject, QPoint, QPointF, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QGuiApplication, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QWidget

from widgets.panels import PANELS

EVENTS = 2000
KEYS = [
    *(Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Home, Qt.Key.Key_End),
    *(Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Tab, Qt.Key.Key_Backtab, Qt.Key.Key_Return, Qt.Key.Key_Space),
    *(
        Qt.Key.Key_Escape,
        Qt.Key.Key_Backspace,
        Qt.Key.Key_F6,
        Qt.Key.Key_F1,
        Qt.Key.Key_A,
        Qt.Key.Key_7,
        Qt.Key.Key_Period,
    ),
]
SHORTCUTS = [*"1234567890zypgenrsioxl", "Left", "Right", "PgUp", "PgDown"]


class Links(QObject):
    """Takes the links that would open a browser."""

    @Slot(QUrl)
    def take(self, url: QUrl) -> None:
        self.last = url


# QtTest says this when the first click of a double one hid or disabled its target, as a button that works once does.
@pytest.mark.qt_log_ignore("not accepted by receiving widget", extend=True)
@pytest.mark.parametrize("seed", [0, 1])
def test_random_use_breaks_nothing(seed, make_window, qtbot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failures: list[BaseException] = []
    chance = random.Random(seed)
    links = Links()
    for scheme in ("http", "https"):
        QDesktopServices.setUrlHandler(scheme, links, "take")
    window = make_window(worker=True, defaults=("timm:test_resnet?pretrained=false", "stimuli:lines"))
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: failures.append(error))
    for id in PANELS:
        window.docks.reveal(id)
    qtbot.waitUntil(lambda: window.session.model is not None, timeout=90_000)
    done = 0
    try:
        while done < EVENTS:
            if not window.isVisible():  # it was told to quit: that is allowed once the rest holds
                break
            act(chance, window)
            done += 1
            if done % 10 == 0:
                QApplication.processEvents()
            if failures:
                raise failures[0]
    finally:
        for scheme in ("http", "https"):
            QDesktopServices.unsetUrlHandler(scheme)
        for other in QApplication.topLevelWidgets():
            if other is not window and other.isVisible():
                other.close()
    if window.isVisible():
        window.session.touch()
        assert window.grab().width() > 0
    assert done >= EVENTS or not window.isVisible()
    assert not failures


def act(chance: random.Random, window: QWidget) -> None:
    """Do one thing that a hand or a cat on the keyboard could do."""
    top = QApplication.activePopupWidget() or QApplication.activeModalWidget()
    if top is None:
        others = [w for w in QApplication.topLevelWidgets() if w.isVisible() and w is not window]
        top = chance.choice(others) if others and chance.random() < 0.2 else window
    if isinstance(top, QFileDialog) and chance.random() < 0.5:
        top.reject()
        return
    places = [
        w for w in top.findChildren(QWidget) if w.isVisible() and w.isEnabled() and w.width() > 2 and w.height() > 2
    ]
    target = chance.choice(places) if places else top
    spot = QPoint(chance.randrange(target.width()), chance.randrange(target.height()))
    kind = chance.random()
    if kind < 0.45:
        QTest.mouseClick(target, Qt.MouseButton.LeftButton, pos=spot)
    elif kind < 0.52:
        QTest.mouseDClick(target, Qt.MouseButton.LeftButton, pos=spot)
    elif kind < 0.56 and not isinstance(top, QFileDialog):
        QTest.mouseClick(target, Qt.MouseButton.RightButton, pos=spot)
    elif kind < 0.64:
        QTest.mousePress(target, Qt.MouseButton.LeftButton, pos=spot)
        for _ in range(4):
            QTest.mouseMove(target, spot + QPoint(chance.randrange(-80, 80), chance.randrange(-80, 80)))
        QTest.mouseRelease(target, Qt.MouseButton.LeftButton, pos=spot + QPoint(20, 20))
    elif kind < 0.72:
        turn = QPoint(0, chance.choice((-120, 120)))
        control = Qt.KeyboardModifier.ControlModifier if chance.random() < 0.2 else Qt.KeyboardModifier.NoModifier
        wheel = QWheelEvent(
            QPointF(spot), QPointF(target.mapToGlobal(spot)), QPoint(), turn, Qt.MouseButton.NoButton, control,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(target, wheel)
    elif kind < 0.94:
        QTest.keyClick(QGuiApplication.focusObject() or target, chance.choice(KEYS)) if isinstance(
            QGuiApplication.focusObject(), QWidget
        ) else QTest.keyClick(target, chance.choice(KEYS))
    else:
        QTest.keySequence(window, f"Ctrl+{chance.choice(SHORTCUTS)}")
