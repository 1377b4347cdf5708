"""What importing the client costs, measured in interpreters of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "lance",
    "lance",
    "pyarrow",
    "PIL",
    "av",
    "ftfy",
    "regex",
    "pytriton",
)

BLOCKER = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(f"{{name}} is not there on a client's machine")
sys.meta_path.insert(0, Blocker())
"""


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_needs_numpy_and_tritonclient_alone() -> None:
    code = (
        "from framesift import AsyncClient, Client, Hit\n"
        "from framesift.serving.index_command import index_command\n"
        "from framesift.serving.client.search_command import search_command\n"
        "from framesift.serving.client.indexing import index_files\n"
        "client = Client('127.0.0.1:1')\n"
        "print(client.ready(timeout_s=1), AsyncClient, Hit)\n"
    )
    assert _python(BLOCKER + code).startswith("False <class")


@pytest.mark.parametrize("module", ["index_command", "client.search_command", "gallery.commands"])
def test_help_does_not_wait_for_heavy_imports(module: str) -> None:
    loaded = _python(f"import sys, framesift.serving.{module}; print(*sys.modules)").split()
    assert not {name.partition(".")[0] for name in loaded} & {*HEAVY, "grpc", "tritonclient", "numpy"}
