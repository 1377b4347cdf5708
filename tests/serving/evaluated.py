"""``framesift evaluate`` on a served system, by its authors' own rule, beside the eager system's scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray

from framesift.__main__ import main
from framesift.export.evaluation.measure import measure
from framesift.export.evaluation.report import to_dict
from framesift.export.evaluation.rules import RULES
from framesift.export.evaluation.scores import load_scores
from framesift.serving.client.sync import Client

# By the system and, where it has several ways to score, the scorer. Of those from a paper alone no rule is known.
OWN_RULES = {
    "frozen": "frozen",
    "mac": "frozen",
    "rvtr": "clip4clip",
    "clip4clip": "clip4clip",
    "xclip": "clip4clip",
    "ts2net": "clip4clip",
    "dgl": "clip4clip",
    "stan": "clip4clip",
    "mugstan": "clip4clip",
    "xpool": "xpool",
    "all_in_one dot": "frozen",
    "all_in_one rolled_encoder": "all-in-one",
    "clipbert": "clipbert",
    "actbert": "actbert",
    "clover": "clover",
    "mmt": "mmt",
    "howto100m": "howto100m",
}


def rule_of(system: str, scorer: str) -> str:
    return OWN_RULES.get(f"{system} {scorer}") or OWN_RULES.get(system, "expected")


def check_evaluation(
    client: Client, rule: str, ids: Sequence[str], captions: Sequence[str], scores: NDArray[Any], folder: Path
) -> None:
    """Measure a caption a video on the server: by the rule, of scores that are the eager system's [captions, ids].

    What a rule makes of texts that are the same once they are cut hangs on the last bits, so it is asked of the scores
    that were measured.
    """
    rows = [json.dumps({"video": id_, "captions": [text]}) for id_, text in zip(ids, captions, strict=True)]
    (folder / "captions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    direction = "t2v" if RULES[rule].v2t is None else "both"
    arguments = ["evaluate", str(folder / "captions.jsonl"), "--server", client.address, "--rule", rule]
    arguments += ["--direction", direction, "--save", str(folder / "scores.npz"), "--json"]
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)["measured"]
    served = load_scores(folder / "scores.npz", None)
    np.testing.assert_allclose(served.scores, scores, atol=2e-4 * np.abs(scores).max())
    assert served.target.tolist() == list(range(len(ids)))
    assert found == to_dict(measure(served, rule=rule, directions=tuple(found)), None)["measured"]
