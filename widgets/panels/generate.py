"""The generate panel: draw with the open diffusion network, and see at each step what it expects to see in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, QTimer
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.commands import Command
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.line_of import line_of
from widgets.scrolled import scrolled
from widgets.session import Session
from widgets.theme import set_icon
from widgets.views.image_strip import ImageStrip, Picture, Row
from workbench.address import Address
from workbench.models.caption_tokenizer import in_style
from workbench.models.shelf import FOLDER
from workbench.recompute import Pick, Recomputation, Step

if TYPE_CHECKING:
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import ModelCard, RunAnalysis

NETWORK = "bundled:diffusion"
AS_WRITTEN = "as written"
STYLES = ("noto", "openmoji", "twemoji", "fluent flat", "fluent 3d")
"""Drawing styles of the bundled images."""
PROMPTS = ("turtle", "grinning face")
FOLLOWED = 3.0
"""Guidance that is shown while no network says its own."""
SHOWN = 8
"""Steps of one image's trajectory that are shown side by side."""
FRAME = 70  # ms between two steps when they are played


def comes_with_workbench() -> bool:
    """Whether there is a bundled diffusion network."""
    return (FOLDER / "diffusion.json").exists()


class GeneratePanel(Panel):
    """Prompts and settings, the images, a slider through the steps, and the course of the image that was clicked."""

    id = "generate"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._job = 0
        self._request: RunAnalysis | None = None
        self._expected: np.ndarray | None = None  # uint8 prompt image y x 3, while it is drawn
        self._trajectory: np.ndarray | None = None  # uint8 step prompt image y x 3, when it is done; the last step is the image
        self._timesteps: list[int] = []
        self._chosen = (0, 0)  # prompt and image whose course is shown
        self._suits = FOLLOWED  # guidance of the open network; what is set stays when another opens unless it is this

        self.about = ElidedLabel()
        self.open = QToolButton(text=f"Open {NETWORK}", focusPolicy=Qt.FocusPolicy.TabFocus)
        self.open.setToolTip("Open the diffusion network that comes with the workbench")
        self.open.clicked.connect(lambda: session.open_model(NETWORK))
        self.prompts = QPlainTextEdit("\n".join(PROMPTS), tabChangesFocus=True)
        self.prompts.setAccessibleName("Prompts")
        self.prompts.setPlaceholderText("One prompt a line; nothing: whatever comes")
        self.prompts.setToolTip("What is drawn, one prompt a line; all from the same noise, so that they can be compared")
        self.prompts.setFixedHeight(4 * self.prompts.fontMetrics().lineSpacing() + 10)
        self.style_box = QComboBox(editable=True)
        self.style_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.style_box.setAccessibleName("Style")
        self.style_box.setToolTip("Added to each prompt as “, … style”; as written: nothing is added")
        self.style_box.addItems([AS_WRITTEN, *STYLES])
        self.style_box.setCurrentIndex(1)
        self.images = self._spin(1, 64, 6, "Images", "Images of each prompt, from different noise")
        self.seed = self._spin(0, 2**31 - 300, 0, "Seed", "Of the first image's noise; the next image has the next")
        self.another = QToolButton(text="Next", toolTip="Draw from the seeds that follow those of the images shown")
        self.another.clicked.connect(self.draw_next)
        self.steps = self._spin(1, 1000, 40, "Steps", "Noise levels gone through: more are finer and slower")
        self.guidance = QDoubleSpinBox(minimum=0, maximum=30, value=FOLLOWED, singleStep=0.5, decimals=1)
        self.guidance.setAccessibleName("Guidance")
        self.guidance.setToolTip("How far a prompt is followed: 0 not at all, 1 as it was learned, more: beyond that")
        self.start = QToolButton(text="Generate")
        self.start.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.start.clicked.connect(self.start_or_stop)
        self.bar = QProgressBar(textVisible=False, maximumHeight=8)
        self.said = ElidedLabel()
        self.strip = ImageStrip(smallest=40, largest=110)
        self.strip.setAccessibleName("Generated images")
        self.strip.picked.connect(self._choose)
        self.step = QSlider(Qt.Orientation.Horizontal, tracking=True)
        self.step.setAccessibleName("Step")
        self.step.setToolTip("Step: what the network expects to see in the end, from the first (all noise) to the last")
        self.step.valueChanged.connect(self._show)
        self.level = QLabel()
        self.play = QToolButton(autoRaise=True, checkable=True, toolTip="Play the steps")
        self.play.setAccessibleName("Play the steps")
        set_icon(self.play, "run")
        self.play.toggled.connect(self._play)
        self._clock = QTimer(self, interval=FRAME)
        self._clock.timeout.connect(self._tick)
        self.course = ImageStrip(smallest=34, largest=80)
        self.course.setAccessibleName("Course of one image")
        self.course.picked.connect(lambda _, place: self.step.setValue(self._course_steps()[place]))
        self._lay_out()
        self._show()
        session.model_changed.connect(self._show_model)
        self._show_model(session.model)

    def _spin(self, least: int, most: int, value: int, name: str, tip: str) -> QSpinBox:
        box = QSpinBox(minimum=least, maximum=most, value=value, toolTip=tip)
        box.setAccessibleName(name)
        return box

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.addRow("Prompts", self.prompts)
        form.addRow("Style", self.style_box)
        form.addRow("Images", line_of(self.images, QLabel("Seed"), self.seed, None, self.another, spacing=6, around=None))
        form.addRow("Guidance", line_of(self.guidance, QLabel("Steps"), self.steps, None, self.start, spacing=6, around=None))
        top = QHBoxLayout()
        top.addWidget(self.about, 1)
        top.addWidget(self.open)
        slider = QHBoxLayout()
        slider.addWidget(self.play)
        slider.addWidget(self.step, 1)
        slider.addWidget(self.level)
        self._drawn = QWidget()
        below = QVBoxLayout(self._drawn)
        below.setContentsMargins(0, 0, 0, 0)
        below.addLayout(slider)
        below.addWidget(self.course)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(top)
        column.addLayout(form)
        column.addWidget(self.bar)
        column.addWidget(self.said)
        column.addWidget(self.strip)
        column.addWidget(self._drawn)
        column.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(scrolled(inside, tab_stop=False))
        self.setMinimumSize(200, 120)

    # What is open

    def _show_model(self, card: ModelCard | None) -> None:
        draws = card is not None and card.draws
        if draws:
            told = f"{card.name}: {card.prompts}" if card.prompts else card.name
            if self.guidance.value() == self._suits:
                self.guidance.setValue(card.guidance)
            self._suits = round(card.guidance, self.guidance.decimals())
        else:
            needed = "open a diffusion network, such as diffusers:PATH_OR_ID in the panel Model"
            told = f"{card.name} draws nothing; {needed}." if card is not None else f"{needed[0].upper()}{needed[1:]}."
        self.about.show_text(told)
        opens = not draws and comes_with_workbench()
        self.open.setVisible(opens)
        self.setFocusProxy(self.open if opens else self.prompts)  # Tab comes to a panel by its proxy and skips what is before
        if self._trajectory is None and not self._job:
            self.strip.clear("Press Generate: the images appear here while they are drawn." if draws else told)
        else:
            self._show()
        self._refresh()

    # Drawing

    def parameters(self) -> dict[str, Any]:
        """Return what `Generation` is asked for now."""
        style = self.style_box.currentText().strip().removeprefix(AS_WRITTEN)
        lines = [line.strip() for line in self.prompts.toPlainText().splitlines() if line.strip()] or [""]
        return {
            "prompts": [in_style(line, style) if line else "" for line in lines],
            "images": self.images.value(),
            "seed": self.seed.value(),
            "steps": self.steps.value(),
            "guidance": self.guidance.value(),
        }

    def draw_next(self) -> None:
        """Go on with the seeds after those that are shown."""
        if self._request is not None and self._trajectory is not None:
            shown = self._request.parameters
            self.seed.setValue(shown["seed"] + shown["images"])
        if not self._job:
            self.start_or_stop()

    def start_or_stop(self) -> None:
        """Draw, or stop drawing; what was drawn so far is shown until the next time."""
        from workbench.jobs.requests import RunAnalysis

        if self._job:
            self.session.relay.cancel(self._job)
            return
        card = self.session.model
        if card is None or not card.draws:
            return
        self.play.setChecked(False)
        self._expected = self._trajectory = None
        self._chosen = (0, 0)
        self._request = RunAnalysis("Generation", self.parameters(), card.ref)
        self._job = self.session.relay.submit(self._request, self._on_drawing)
        self.said.show_text("waiting for its turn")
        self._show()
        self._refresh()

    def _on_drawing(self, event: JobEvent) -> None:
        if event.request is not self._request or event.job < self._job:
            return
        self._job = 0 if event.ended else event.job
        if event.total:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * event.done / event.total))
        else:
            self.bar.setRange(0, 0)
        if event.partial is not None:
            self._expected = event.partial
            self.said.show_text(event.note)
        if event.state == "done":
            self._take(event.result)
        elif event.state == "failed":
            self.said.show_text(event.error)
        elif event.state == "cancelled":
            self.said.show_text("Stopped: what was expected so far is shown.")
        self._show()
        self._refresh()

    def _take(self, result: Any) -> None:
        last = np.rint(255 * result.arrays["images"]).astype(np.uint8)
        self._trajectory = np.concatenate([result.arrays["trajectory"], last[None]])
        self._timesteps = result.arrays["timesteps"].tolist()
        with QSignalBlocker(self.step):
            self.step.setRange(0, len(self._timesteps))
            self.step.setValue(len(self._timesteps))
        self.said.show_text(f"{last.shape[0] * last.shape[1]} images; click one to see how it came to be.")

    # Showing

    def _show(self) -> None:
        self._drawn.setVisible(self._trajectory is not None)
        at = self.step.value()
        if self._trajectory is not None:
            shown = self._trajectory[at]
            self.level.setText(self._level_name(at))
        else:
            shown = self._expected
        if self._request is None:
            return
        asked = self._request.parameters
        opened = self.session.model.ref if self.session.model is not None else ""
        by = "" if self._request.model == opened else f", by {self._request.model}"
        rows = []
        for row, prompt in enumerate(asked["prompts"]):
            pictures = tuple(
                Picture(
                    None if shown is None else shown[row, image],
                    f"seed {asked['seed'] + image}",
                    tip=f"{prompt or 'no prompt'}, seed {asked['seed'] + image}: click to see how it came to be",
                )
                for image in range(asked["images"])
            )
            rows.append(Row((prompt or "no prompt") + by, pictures, lines=8))
        made_from = {"model": self._request.model, "address": str(Address(self._request.model, view=self.id)), **asked}
        picks = (Pick("images", "images", pixels=True), Pick("trajectory", "trajectory"))
        again = Recomputation(self._request.model, None, (Step("Generation", asked, picks=picks),))
        self.strip.recomputation = self.course.recomputation = again
        self.strip.show_rows(rows, title="Generated images", made_from=made_from)
        if self._trajectory is not None:
            row, image = self._chosen
            pictures = tuple(
                Picture(
                    self._trajectory[step, row, image],
                    self._level_name(step).removeprefix("t = "),
                    tip="Click to see all images at this step",
                )
                for step in self._course_steps()
            )
            label = f"Seed {asked['seed'] + image} at timestep, {asked['prompts'][row] or 'no prompt'}{by}"
            self.course.show_rows([Row(label, pictures, lines=2)], title="Course of one image", made_from=made_from)

    def _level_name(self, step: int) -> str:
        return "image" if step == len(self._timesteps) else f"t = {self._timesteps[step]}"

    def _course_steps(self) -> list[int]:
        return np.unique(np.linspace(0, len(self._timesteps), SHOWN).round().astype(int)).tolist()

    def _choose(self, row: int, image: int) -> None:
        if self._trajectory is not None:
            self._chosen = (row, image)
            self._show()

    def _play(self, on: bool) -> None:
        if on and self._trajectory is not None:
            self.step.setValue(0)
            self._clock.start()
        else:
            self._clock.stop()

    def _tick(self) -> None:
        if self.step.value() == self.step.maximum():
            self.play.setChecked(False)
        self.step.setValue(self.step.value() + 1)

    def hideEvent(self, event: Any) -> None:
        """Play to nobody no longer."""
        self.play.setChecked(False)
        super().hideEvent(event)

    def _refresh(self) -> None:
        card = self.session.model
        running = self._job != 0
        can = card is not None and card.draws
        self.start.setText("Stop" if running else "Generate")
        set_icon(self.start, "stop" if running else "run")
        self.start.setEnabled(running or can)
        self.start.setToolTip("Stop drawing" if running else "Draw all prompts" if can else "Open a diffusion network first")
        self.another.setEnabled(can and not running and self._trajectory is not None)
        self.bar.setVisible(running)

    def views(self) -> list[View]:
        """Return the images, and the course of one, when there are any."""
        if self._trajectory is None:
            return [self.strip] if self._expected is not None else []
        return [self.strip, self.course]

    def commands(self) -> tuple[Command, ...]:
        """Offer to draw from anywhere."""
        return (
            Command(
                "generate.start",
                "Generate images, or stop",
                self.start_or_stop,
                "Draw the prompts of the panel Generate with the open diffusion network, or stop drawing.",
                "Analysis",
                section="generate",
                enabled=self.start.isEnabled,
            ),
        )

    def save_state(self) -> dict[str, Any]:
        """Remember what is asked for."""
        return {
            "prompts": self.prompts.toPlainText(),
            "style": self.style_box.currentText(),
            **{name: getattr(self, name).value() for name in ("images", "seed", "steps", "guidance")},
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Ask for it again."""
        self.prompts.setPlainText(str(state.get("prompts", "\n".join(PROMPTS))))
        self.style_box.setCurrentText(str(state.get("style", STYLES[0])))
        for name in ("images", "seed", "steps", "guidance"):
            value = state.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                getattr(self, name).setValue(type(getattr(self, name).value())(value))
