"""What is said of a circuit's figures: on which images it was measured, and whether it was chosen on them."""

import pytest

from widgets.circuit_measure import told

OF_TRACE = {"faithfulness": 0.9, "images": 8, "chosen_on": [1, 4], "ablation": "mean", "at": "centre"}
HELD, OTHER = ", of concepts it was not chosen on", ", of another set than it was chosen on"


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (OF_TRACE, HELD),
        (OF_TRACE | {"not_held_out": 5}, HELD),
        (OF_TRACE | {"not_held_out": 0, "chosen_from": {"images": "folder:a", "content": "aa"}}, OTHER),
        (OF_TRACE | {"not_held_out": 0}, ""),  # an older circuit: nobody knows whether it is the same set by another name
        ({name: value for name, value in OF_TRACE.items() if name != "chosen_on"} | {"not_held_out": 0}, ""),
    ],
)
def test_it_is_said_of_the_images_whether_the_circuit_was_chosen_on_them(figures: dict[str, object], said: str) -> None:
    assert f" · n = 8 images{said} · mean ablation" in told(figures)
