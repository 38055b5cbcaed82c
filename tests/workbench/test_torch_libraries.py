"""torch's libraries are loaded beforehand, and torch works with them."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import threading, time
from workbench.jobs.torch_libraries import load_torch_libraries
loaded = []
thread = threading.Thread(target=lambda: loaded.append(load_torch_libraries()))
began = time.perf_counter()
thread.start()
turns = 0
while thread.is_alive():
    turns += 1
    time.sleep(0.001)
seconds = time.perf_counter() - began
assert loaded == [True], loaded
assert seconds < 0.1 or turns > 20, f"this thread had {turns} turns in {seconds:.2f} s: the lock was held"
import torch
assert torch.linalg.norm(torch.ones(4, 4) @ torch.ones(4, 4)).item() == 16
assert load_torch_libraries() is False
"""


def test_they_load_while_other_threads_run_and_torch_works() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
