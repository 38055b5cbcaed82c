"""The store: what goes in comes out, whole or not at all; damage is dropped and said."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from workbench.analyses.analysis import Result
from workbench.jobs import store as store_module
from workbench.jobs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def result() -> Result:
    arrays = {
        "images": np.random.default_rng(0).random((2, 1, 4, 4, 3), np.float32),
        "names": np.array(["a", "äö"]),
        "file": np.arange(3),
        "layer/with/slashes": np.zeros((0, 3)),
    }
    return Result("Kind", {"layer": "l1", "units": [5, 9]}, arrays, {"best": 0.5, "n": None}, {"seed": 0})


def test_a_result_comes_back_the_same(store: Store) -> None:
    assert store.load("k") is None
    store.save("k", result())
    again = store.load("k")
    assert again is not None and again.arrays.keys() == result().arrays.keys()
    for name, array in result().arrays.items():
        assert again.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(again.arrays[name], array)
    assert (again.analysis, again.parameters) == ("Kind", {"layer": "l1", "units": [5, 9]})
    assert (again.summary, again.provenance) == ({"best": 0.5, "n": None}, {"seed": 0})


def test_objects_are_refused_and_nothing_is_left(store: Store) -> None:
    bad = Result("Kind", {}, {"x": np.array([{}], dtype=object)}, {})
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store.save("k", bad)
    assert sum(store.sizes().values()) == 0


@pytest.mark.parametrize("keep", [0, 10, 300, -30])
def test_a_damaged_result_is_dropped_with_a_warning(store: Store, keep: int, caplog: pytest.LogCaptureFixture) -> None:
    store.save("k", result())
    path = store.root / "results" / "k.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with caplog.at_level(logging.WARNING):
        assert store.load("k") is None
    assert "dropped the damaged cache entry" in caplog.text and str(path) in caplog.text
    assert not path.exists()
    store.save("k", result())
    assert store.load("k") is not None


def test_flipped_bytes_are_noticed(store: Store) -> None:
    store.save("k", result())
    path = store.root / "results" / "k.npz"
    content = bytearray(path.read_bytes())
    at = content.find(result().arrays["images"].tobytes())
    content[at + 7] ^= 255
    path.write_bytes(content)
    assert store.load("k") is None


def test_a_pickle_in_the_cache_is_not_run(store: Store, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = store.root / "results" / "k.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, allow_pickle=True, **{"result.json": np.array([Bomb()], dtype=object)})
    assert store.load("k") is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("seeds", [1, 3])
def test_thumbnails_are_lossless(store: Store, seeds: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (seeds, 33, 20, 3), np.uint8)
    assert store.load_thumbnail("ab12", seeds) is None
    store.save_thumbnail("ab12", images)
    np.testing.assert_array_equal(store.load_thumbnail("ab12", seeds), images)
    with pytest.raises(ValueError, match="float32"):
        store.save_thumbnail("ab12", images.astype(np.float32))


def test_a_damaged_thumbnail_is_dropped(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.save_thumbnail("ab12", np.full((1, 8, 8, 3), 7, np.uint8))
    (path,) = (store.root / "thumbnails").rglob("*.webp")
    path.write_bytes(path.read_bytes()[:-9])
    assert store.load_thumbnail("ab12", 1) is None
    assert "damaged" in caplog.text and not path.exists()


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("why", ["the disk is full", "no folder can be made"])
def test_what_cannot_be_kept_is_said_once_and_does_no_harm(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / ("file" if why == "no folder can be made" else "cache"))
    if why == "the disk is full":
        monkeypatch.setattr(store_module, "replacing", full)
    for key in ("one", "two"):
        store.save(key, result())
        store.save_thumbnail(key, np.zeros((1, 8, 8, 3), np.uint8))
        assert store.load(key) is None and store.load_thumbnail(key, 1) is None
    (said,) = caplog.messages
    assert str(store.root) in said and "cannot be kept" in said
    assert (store.writable_folder("sweep") is None) == (why == "no folder can be made")
    assert store.newest_in("nowhere") == [] and len(caplog.messages) == 1


def test_what_another_user_keeps_is_neither_read_nor_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.save("k", result())
    folder = store.folder("sweep")

    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", refused)
        assert store.load("k") is None and not caplog.messages
        patch.setattr(os, "access", lambda path, mode: Path(path) != folder)
        assert store.writable_folder("sweep") is None and "cannot be kept" in caplog.text
    assert store.load("k") is not None and store.writable_folder("sweep") == folder


def test_damage_that_cannot_be_deleted_is_no_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.save("k", result())
    path = store.root / "results" / "k.npz"
    path.write_bytes(b"nothing")
    monkeypatch.setattr(Path, "unlink", full)
    assert store.load("k") is None and "dropped the damaged" in caplog.text and path.exists()


def test_size_and_clear(store: Store) -> None:
    assert set(store.sizes().values()) == {0}
    store.clear()
    store.save("k", result())
    store.save_thumbnail("ab12", np.zeros((1, 8, 8, 3), np.uint8))
    (store.folder("sweep") / "zarr.json").write_text("1234")
    kept = store.root / "somebody's file"
    kept.write_text("x")
    sizes = store.sizes()
    assert sum(sizes.values()) == sum(p.stat().st_size for p in store.root.rglob("*") if p.is_file()) - 1 > 400
    assert sizes["sweeps"] == 4
    store.clear(["thumbnails"])
    assert store.sizes() == sizes | {"thumbnails": 0}
    store.clear()
    assert sum(store.sizes().values()) == 0 and kept.exists()
    assert store.load("k") is None and list(store.folder("sweep").iterdir()) == []


def test_the_place_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "elsewhere"))
    assert Store().root == tmp_path / "elsewhere"
    assert not (tmp_path / "elsewhere").exists()
    monkeypatch.delenv("WORKBENCH_CACHE")
    assert Store().root.name == "circuit-workbench"


def test_kill_while_writing_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import sys, numpy as np
        from workbench.analyses.analysis import Result
        from workbench.jobs.store import Store
        store = Store(sys.argv[1])
        n = 0
        while True:
            n += 1
            store.save("k", Result("Kind", {"n": n}, {"x": np.full(200_000, n)}, {}))
            sys.stdout.write("."); sys.stdout.flush()
    """)
    store = Store(tmp_path)
    for delay in (0.0, 0.003, 0.011):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.read(2)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        found = store.load("k")
        assert found is not None and (found.arrays["x"] == found.parameters["n"]).all()
