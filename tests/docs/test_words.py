"""CONTRIBUTING.md's rule on a word that names a server and a compiler."""

from __future__ import annotations

import re

import pytest

from .documents import ROOT

# Quoted it is a name and not the word, and so it is where Python imports or calls it. A line may break behind it.
_BARE = re.compile(
    r"(?<![\w.'`])(?<!import )Triton(?![\w(]|\"\))"
    r"(?![\s#>*\"]+(?:servers?|kernels?|compiler|language|[Ii]nference[\s#>*]+[Ss]erver)\b)"
)


def bare(text: str) -> list[str]:
    """Where it stands alone, with what is around it."""
    return [text[max(0, found.start() - 20) : found.end() + 20] for found in _BARE.finditer(text)]


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ("T server's; T\n    # kernels; NVIDIA T Inference\nServer; PyT; 'T'; `T`; the T compiler", 0),
        ("T 3.6, T's own, as T, T\nservice, by T.", 5),
    ],
)
def test_what_is_bare(told: str, times: int) -> None:
    # The word is put in here: this file holds the rule, too.
    assert len(bare(told.replace("T", "Triton"))) == times


def test_triton_is_never_bare() -> None:
    rooms = ("bench", "docs", "export", "kernels", "model_repository", "serving", "tests")
    written = (path for kind in ("*.md", "*.py") for room in rooms for path in (ROOT / room).rglob(kind))
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.py"), *written]
    assert len(files) > 500
    found = {str(path.relative_to(ROOT)): bare(path.read_text(encoding="utf-8")) for path in files}
    assert {name: where for name, where in found.items() if where} == {}
