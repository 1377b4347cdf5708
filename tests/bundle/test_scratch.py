"""Folders that a killed process leaves, and those that look like them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from framesift.export.bundle.scratch import scratch_folder, sweep

HOLDS = """
import sys, time
from pathlib import Path
from framesift.export.bundle.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "work-") as folder:
    (folder / "file").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    kept = [tmp_path / "work-by hand", tmp_path / "other-12345678"]
    for folder in kept:
        folder.mkdir()
    (tmp_path / "work-87654321").symlink_to(kept[0])
    assert sweep(tmp_path, "work-") == []
    assert (left / "file").exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with scratch_folder(tmp_path, "work-") as own:
        assert not left.exists()
        assert sweep(tmp_path, "work-") == []
        assert own.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other-12345678", "work-87654321", "work-by hand"]
