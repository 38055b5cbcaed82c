"""What the kernels written by hand recover, in one line that follows the brush."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QLabel, QWidget

from widgets.theme import say
from workbench.jobs.kernel_requests import RecoverLive

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent


class LiveRecovery(QLabel):
    """Asks anew whenever other kernels are applied; the figure is there at once from few images, and its interval narrows as more come."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self._asked: RecoverLive | None = None
        self._job = 0
        self.setWordWrap(True)
        self.setMargin(4)
        self.setAccessibleName("Recovered, while painting")
        self.setToolTip("Measured on another half of the images than scale and offset are fitted on. Recover adds the controls.")
        self.hide()

    def follow(self, model: str, images: str, edits: tuple[Mapping[str, Any], ...]) -> None:
        """Measure these kernels of a network on an image set; nothing where there are none."""
        if not (model and images and edits):
            self.forget()
            return
        wanted = RecoverLive(model, images, edits)
        if self._asked == wanted and self._asked.edits == edits:
            return
        self._asked = wanted
        self._tell("What this recovers is measured …")
        self._job = self._session.relay.submit(wanted, self._take)

    def forget(self) -> None:
        """Show nothing, and stop what is under way."""
        self._session.relay.cancel(self._job)
        self._asked = None
        self._tell("")

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._asked:
            return
        if event.state == "failed":
            self._tell(event.error, wrong=True)
        elif event.state == "progress" and event.partial:
            self._tell(recovery_said(event.partial))  # type: ignore[arg-type]
        elif event.state == "progress" and event.total and "recovered [" not in self.text():
            self._tell(f"What this recovers is measured: {100 * event.done / event.total:.0f} %")
        elif event.state == "done":
            self._tell(recovery_said(event.result))  # type: ignore[arg-type]
        elif event.state == "cancelled":
            self._asked = None
            self._tell("")

    def _tell(self, text: str, wrong: bool = False) -> None:
        say(self, text, wrong)
        self.setVisible(bool(text))


def recovery_said(told: Mapping[str, Any]) -> str:
    """Say what `RecoverLive` found, so far or at the end."""
    seen = f"{told['images']:,} images" if told["images"] == told["of"] else f"{told['images']:,} of {told['of']:,} images …"
    if told["refused"]:
        return f"Recovered: {told['refused']} ({seen})" if told["images"] == told["of"] else f"Nothing can be said yet ({seen})"
    low, high = (f"{100 * told[name]:.0f}" for name in ("recovered_low", "recovered_high"))
    lost = f"{told['lost']:.3g}{' nats' if told['nats'] else ''}"
    return f"{100 * told['recovered']:.0f} % recovered [{low}, {high}] of the {lost} that the units are worth ({seen})"
