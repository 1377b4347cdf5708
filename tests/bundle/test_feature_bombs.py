"""What a feature file may cost its reader: no process guards it, so its own bounds have to hold."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidFeatures, ServerUnavailable
from framesift.export.bundle.features import archive
from framesift.export.bundle.features.arrays_file import read_arrays

from .feature_bombs import archive as zipped
from .feature_bombs import bombs, largest, npy, slow
from .feature_files import npz

MOST_SECONDS = 15.0
# The kernel refuses this process what it may not have, as the decoder's is refused.
READER = textwrap.dedent("""
    import json, resource, sys, time
    from pathlib import Path
    from framesift.export.bundle.errors import InvalidFeatures, ServerUnavailable
    from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
    from framesift.export.bundle.features.reading import read_features
    from framesift.export.bundle.spec import TensorSpec

    profile = FeatureProfile("pooled", (FeatureArray("2d", ("rows", 6)), FeatureArray("3d", ("steps", 4))))
    ports = {f"features_{name}": TensorSpec(f"features_{name}", "float32", (n,)) for name, n in (("2d", 6), ("3d", 4))}
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    for path in sys.argv[1:]:
        # Mapped, as a served reader has it in shared memory.
        import numpy as np
        data = np.memmap(path, np.uint8, "r").data if Path(path).stat().st_size else memoryview(b"")
        most = (int(status["VmData"].split()[0]) << 10) + (512 << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        began = time.process_time()
        try:
            told = str(sorted(read_features(data, profile, ports)))
        except InvalidFeatures as error:
            told = f"InvalidFeatures: {error}"
        print(json.dumps([told, time.process_time() - began]), flush=True)
""")


def read_within_limits(files: list[bytes], folder: Path) -> list[tuple[str, float]]:
    """What becomes of each, and the seconds of a processor that it took; 512 MB and no more are there."""
    paths = [folder / str(number) for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    made = subprocess.run([sys.executable, "-c", READER, *map(str, paths)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return [tuple(json.loads(line)) for line in made.stdout.splitlines()]


def test_every_bomb_is_refused_within_512_mb_and_seconds(tmp_path: Path) -> None:
    made = bombs()
    read = read_within_limits([make() for make in made.values()], tmp_path)
    for name, (told, seconds) in zip(made, read, strict=True):
        assert told.startswith("InvalidFeatures: "), f"{name}: {told}"
        assert len(told) < 400, name
        assert seconds < MOST_SECONDS, name


@pytest.mark.slow
def test_the_largest_right_files_are_read_within_512_mb(tmp_path: Path) -> None:
    sizes = {"<f8": 255, ">f4": 255, "<f2": 127, "|u1": 63}
    read = read_within_limits([largest(kind, size << 20) for kind, size in sizes.items()], tmp_path)
    for kind, (told, seconds) in zip(sizes, read, strict=True):
        assert told == "['features_2d', 'features_3d']", f"{kind}: {told}"
        assert seconds < MOST_SECONDS


def test_what_unpacks_to_nothing_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    file = slow(8 << 20)
    with monkeypatch.context() as changed:
        changed.setattr(archive, "MAX_FEATURE_SECONDS", 0.1)
        with pytest.raises(InvalidFeatures, match=r"takes more than 0\.1 s to unpack"):
            read_arrays(memoryview(file))
    # A machine that is too busy is not the file's fault.
    monkeypatch.setattr(archive, "_PATIENCE_S", 0.1)
    with pytest.raises(ServerUnavailable, match="too busy"):
        read_arrays(memoryview(file))


@pytest.mark.parametrize(
    ("header", "array"),
    [
        (b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }   \n", [0, 1, 2]),
        (b"{'descr':'<i4','fortran_order':False,'shape':(3,)}", [0, 1, 2]),
        (b"{'shape': (3L,), 'descr': '<i4', 'fortran_order': True}", [0, 1, 2]),
        (b"{'descr': '<u4', 'fortran_order': False, 'shape': (3,)}", None),
        (b"{'descr': '>i4', 'fortran_order': False, 'shape': (1, 3)}\n", [[0, 1 << 24, 2 << 24]]),
        (b"{'descr': '<i4', 'fortran_order': True, 'shape': (3, 1)}\n", [[0], [1], [2]]),
        (b"{'descr': '<i4', 'descr': '<i4', 'shape': (3,)}", None),
        (b"{'descr': '<i4', 'fortran_order': False, 'shape': (3 1,)}", None),
        (b"{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,)}", None),
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", None),
        (b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", None),
        (b"{'descr': ('<f4', (9, 9)), 'fortran_order': False, 'shape': (3,)}", None),
        (b"{'descr': '<f4', 'fortran_order': __import__('os'), 'shape': (3,)}", None),
        (b"-" * 3000, None),
        (b"{'descr': 'x9', 'fortran_order': False, 'shape': (3,)}", None),
    ],
)
def test_headers_are_read_as_numpy_writes_them_and_in_no_other_way(header: bytes, array: list[Any] | None) -> None:
    numbers = np.arange(3, dtype=np.float32 if b"<f4" in header else np.int32).tobytes()
    file = memoryview(zipped([("2d.npy", npy(header, numbers))]))
    if array is None:
        with pytest.raises(InvalidFeatures):
            read_arrays(file)
    else:
        assert read_arrays(file)["2d"].tolist() == array


@pytest.mark.parametrize("room", [1, 7, 258, 1000])
def test_what_zlib_still_holds_is_read(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_UNPACKED", room)
    file = npz({"2d": np.ones(3000, np.uint8), "3d": np.arange(500)}, packed=True)
    found = read_arrays(memoryview(file))
    assert found["2d"].tolist() == [1] * 3000
    assert found["3d"].tolist() == list(range(500))


@pytest.mark.parametrize("make", [np.savez, np.savez_compressed])
def test_names_of_every_alphabet_are_read(make: Callable[..., None], tmp_path: Path) -> None:
    make(tmp_path / "a.npz", **{"ä圆": np.ones(2), "2d": np.zeros((0, 3))})
    assert {
        name: array.shape for name, array in read_arrays(memoryview((tmp_path / "a.npz").read_bytes())).items()
    } == {
        "ä圆": (2,),
        "2d": (0, 3),
    }
