"""Loads torch's shared libraries without holding the interpreter lock.

``import torch._C`` maps 400 MB of libraries and runs their initialisers while it holds the lock: every other thread, the window's among
them, stands still for 0.2-0.7 s. A call of ``dlopen`` through ctypes lets go of the lock; the import then finds them loaded.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

LIBRARIES = ("libtorch_global_deps", "libtorch_python")
"""In the order in which torch loads them; they bring the others."""


def load_torch_libraries() -> bool:
    """Load them; return whether that was done.

    It is a matter of speed only: where it cannot be done (torch is loaded already, Windows, an unusual build) the import does it all.
    """
    found = importlib.util.find_spec("torch") if "torch" not in sys.modules and os.name == "posix" else None
    if found is None or found.origin is None:
        return False
    ending = "dylib" if sys.platform == "darwin" else "so"
    paths = [Path(found.origin).parent / "lib" / f"{name}.{ending}" for name in LIBRARIES]
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    # As torch does: what the first one brings (MKL, OpenMP) is seen by all.
    modes = (os.RTLD_NOW | os.RTLD_GLOBAL, os.RTLD_NOW)
    return all([dlopen(os.fsencode(path), mode) for path, mode in zip(paths, modes, strict=True) if path.exists()])
