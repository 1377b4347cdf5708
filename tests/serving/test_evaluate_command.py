"""``framesift evaluate`` without a server: score matrices from files, and options that don't go together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.evaluation.names import RULE_NAMES, TABLE_NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give CAPTIONS"),
        (("absent.csv",), "there is no file of captions at absent.csv"),
        (("--scores", "absent.npy"), "there is no score matrix at absent.npy"),
        (("--scores", "s.npy", "--captions", "c.jsonl"), "4 columns and c.jsonl names 2 videos"),
        (("--scores", "s.npy", "--save", "x.npz"), "--save is of no use with --scores"),
        (("--scores", "s.npy", "--rule", "clover", "--direction", "v2t"), "text-to-video alone"),
        (("--scores", "s.npy", "--dsl", "--qb-norm", "s.npy"), "can't be combined"),
        (("c.jsonl", "--captions", "c.jsonl"), "--captions needs --scores"),
        (("--scores", "s.npy", "c.jsonl", "--captions", "c.jsonl"), "give CAPTIONS"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("s.npy", np.eye(4))
    rows = [{"video": video, "captions": ["x", "y"]} for video in ("a", "b")]
    Path("c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, _, err = run(*arguments)
    assert code in {1, 2}
    assert said in err


def test_post_processing_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("s.npy", rng.normal(size=(15, 15)))
    np.save("bank.npy", rng.normal(size=(40, 15)))
    for option, name in ((("--dsl",), "DSL"), (("--qb-norm", "bank.npy"), "QB-norm")):
        code, out, err = run("--scores", "s.npy", *option, "--scale", 3, "--json")
        assert code == 0, err
        assert json.loads(out)["postprocessing"] == name


def test_a_square_matrix_alone_is_enough(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.eye(1000, dtype=np.float32))
    code, out, err = run("--scores", tmp_path / "s.npy", "--table", "msrvtt-7k", "--rule", "expected")
    assert code == 0, err
    assert out.splitlines()[0] == "text-to-video, MSR-VTT 1k-A, 7k training split"
    assert any(line.split() == ["measured", "100.0", "100.0", "100.0", "1.0", "1.0"] for line in out.splitlines())
    assert "NOT THE PUBLISHED TEST SET" not in out


def test_msrvtts_own_file_gives_the_truth_of_a_matrix(tmp_path: Path) -> None:
    lines = ["key,vid_key,video_id,sentence", *(f"ret{i},msr{i},video{i},sentence {i}" for i in range(6))]
    (tmp_path / "MSRVTT_JSFUSION_test.csv").write_text("\n".join(lines))
    np.save(tmp_path / "s.npy", np.random.default_rng(0).normal(size=(6, 6)) + 9 * np.eye(6))
    code, out, err = run("--scores", tmp_path / "s.npy", "--captions", tmp_path / "MSRVTT_JSFUSION_test.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["measured"]["t2v"]["R@1"] == 100.0


@pytest.mark.parametrize(("rule", "ties", "code"), [("expected", True, 0), ("xpool", False, 0), ("xpool", True, 1)])
def test_torch_is_needed_where_its_sort_decides_alone(rule: str, ties: bool, code: int, tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=(12, 12))
    np.save(tmp_path / "s.npy", np.round(scores) if ties else scores)
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from framesift.__main__ import main\n"
        f"main(['evaluate', '--scores', {str(tmp_path / 's.npy')!r}, '--rule', {rule!r}])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == code, run.stderr
    assert ("pip install 'framesift[export]'" in run.stderr) == bool(code)


def test_the_page_describes_every_rule_table_and_option() -> None:
    assert all(f"| `{rule}` |" in PAGE for rule in RULE_NAMES)
    assert all(f"`{table}`" in PAGE for table in TABLE_NAMES)
    options = {option for parameter in main.commands["evaluate"].params for option in parameter.opts}
    told = {option for option in options if option.startswith("--")} - {"--help", "--server", "--model", "--timeout"}
    assert {option for option in told if option not in PAGE} == set()
