"""What is indexed without a server is, bit by bit, what a real Triton server would have made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.store import Bundle

from .conftest import FILMS, Run
from .records import records

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_records_are_those_of_the_server(
    server, gallery_folder: Path, bundle: Bundle, index: Run, films: Path, tmp_path: Path
) -> None:
    # Ids of their own among those of the session's gallery.
    (tmp_path / "as_served").mkdir()
    shutil.move(films, tmp_path / "as_served" / "films")
    arguments = ["index", "as_served", "--metadata", "facts.jsonl", "--no-cache"]
    Path("facts.jsonl").write_text('{"id": "films/0.mp4", "title": "Ünï", "year": 1999}\n')
    served = CliRunner().invoke(main, [*arguments, "--server", server.address])
    assert served.exit_code == 0, served.output
    here = index(*arguments[1:])
    assert here.stdout == f"{FILMS} indexed, 0 skipped, 0 failed\n", here.stderr
    found, wanted = records(Path("gallery")), records(gallery_folder)
    assert len(found) == FILMS
    assert found == {id_: wanted[id_] for id_ in found}
    assert "Ünï" in found["films/0.mp4"]["metadata"]
    # Beside the server, which sees them within a second.
    again = index("as_served", "--force", gallery=str(gallery_folder))
    assert again.stdout == f"{FILMS} indexed, 0 skipped, 0 failed\n", again.stderr
    assert {id_: one for id_, one in records(gallery_folder).items() if id_ in found} == {
        id_: {**one, "metadata": "{}"} for id_, one in found.items()
    }
