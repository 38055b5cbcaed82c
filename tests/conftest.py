"""What holds for all tests: shapes are checked while they run, no screen is needed, and no file of the user is touched."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
HOME = Path(tempfile.mkdtemp(prefix="workbench-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# A home of their own, so that settings, caches and downloads of the person who runs the tests are neither read nor written.
os.environ["HOME"] = str(HOME)
for name, folder in {"CACHE": ".cache", "CONFIG": ".config", "DATA": ".local/share", "STATE": ".local/state"}.items():
    os.environ[f"XDG_{name}_HOME"] = str(HOME / folder)
os.environ["HF_HOME"] = str(HOME / ".cache/huggingface")
os.environ["TORCH_HOME"] = str(HOME / ".cache/torch")
# matplotlib's list of fonts takes seconds to make: kept from run to run.
os.environ["MPLCONFIGDIR"] = str(ROOT / ".pytest_cache/matplotlib")

# Processes that share the tests also share the cores: each computes on one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Qt's offscreen screen is 800 x 800 unless told otherwise; the window is designed for more.
os.environ["PYQTGRAPH_QT_LIB"] = "PySide6"
if os.environ.get("QT_QPA_PLATFORM", "offscreen") == "offscreen":
    screen = {"name": "test", "x": 0, "y": 0, "width": 1920, "height": 1200, "logicalDpi": 96, "logicalBaseDpi": 96, "dpr": 1}
    (HOME / "screen.json").write_text(json.dumps({"screens": [screen]}), encoding="utf-8")
    os.environ["QT_QPA_PLATFORM"] = f"offscreen:configfile={HOME / 'screen.json'}"

# Every signature of the engine, tensor shapes included, is checked at run time. Must come before the first import of it.
early = sorted(name for name in sys.modules if name.split(".")[0] == "workbench")
assert not early, f"imported before the run-time checks were on: {early}"
from jaxtyping import install_import_hook  # noqa: E402

import tests.typechecker  # noqa: E402, F401

install_import_hook("workbench", "tests.typechecker.check")

# The same examples at every run, however busy the machine is.
patient = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("workbench", derandomize=True, database=None, **patient)
settings.load_profile("workbench")
