"""Annotation files in the layouts in which they are published, written here, whole and damaged."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from framesift.export.bundle.errors import InvalidInput
from framesift.export.corpus.generate import write_corpus
from framesift.export.evaluation.captions import CaptionSet, load_captions

JSFUSION = (
    "key,vid_key,video_id,sentence\n"
    'ret0,msr9770,video9770,"a person is connecting something, to system"\n'
    "ret1,msr9771,video9771,a little girl does gymnastics\n"
    'ret2,msr7020,video7020,"a ""quoted"" word"\n'
)
MSRVTT_DATA = {
    "info": {"year": "2016"},
    "videos": [{"video_id": "video0", "split": "train"}, {"video_id": "video1", "split": "train"}],
    "sentences": [
        {"caption": "a car", "video_id": "video0", "sen_id": 0},
        {"caption": "a dog runs", "video_id": "video1", "sen_id": 1},
        {"caption": "a red car", "video_id": "video0", "sen_id": 2},
    ],
}
LSMDC = (
    "1004_Juno_00.00.32.122-00.00.37.632\t00:00:32.122\t00:00:37.632\t00:00:32.122\t00:00:37.632\tSOMEONE looks up.\n"
    "1004_Juno_00.00.40.000-00.00.44.000\t00:00:40\t00:00:44\t00:00:40\t00:00:44\tHe walks, slowly.\n"
)
MSVD = {"abc_1_5": ["a man sings", "someone is singing"], "xyz_2_9": ["a cat"]}
DIDEMO = [
    {"annotation_id": 1, "description": "a dog enters", "times": [[0, 0]], "video": "99@N00_52_bb.3gp"},
    {"annotation_id": 2, "description": "a boat", "times": [[1, 2]], "video": "12@N01_7_cc.mov"},
    {"annotation_id": 3, "description": "the dog leaves", "times": [[4, 5]], "video": "99@N00_52_bb.3gp"},
]


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def pairs(found: CaptionSet) -> list[tuple[str, str]]:
    return [(found.videos[v], caption) for v, caption in zip(found.target, found.captions, strict=True)]


def test_msrvtt_1k_a(tmp_path: Path) -> None:
    found = load_captions(write(tmp_path / "MSRVTT_JSFUSION_test.csv", JSFUSION))
    assert found.videos == ("video9770", "video9771", "video7020")
    assert found.captions[0] == "a person is connecting something, to system"
    assert found.captions[2] == 'a "quoted" word'
    assert found.target.tolist() == [0, 1, 2]


@pytest.mark.parametrize("change", [lambda s: "\ufeff" + s, lambda s: s.replace("\n", "\r\n"), lambda s: s + "\n\n"])
def test_byte_order_marks_and_line_ends_change_nothing(change, tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_bytes(change(JSFUSION).encode())
    assert pairs(load_captions(path)) == pairs(load_captions(write(tmp_path / "plain.csv", JSFUSION)))


def test_msrvtt_training_splits_take_their_captions_from_the_data(tmp_path: Path) -> None:
    split = write(tmp_path / "MSRVTT_train.9k.csv", "video_id\nvideo1\nvideo0\n")
    data = write(tmp_path / "MSRVTT_data.json", MSRVTT_DATA)
    assert pairs(load_captions(split, data)) == [
        ("video1", "a dog runs"),
        ("video0", "a car"),
        ("video0", "a red car"),
    ]
    assert load_captions(data).videos == ("video0", "video1")
    assert load_captions(data).target.tolist() == [0, 1, 0]
    with pytest.raises(InvalidInput, match="MSRVTT_data.json"):
        load_captions(split)


def test_lsmdc(tmp_path: Path) -> None:
    found = load_captions(write(tmp_path / "LSMDC16_challenge_1000_publictect.csv", LSMDC))
    assert found.videos[0] == "1004_Juno_00.00.32.122-00.00.37.632"
    assert found.captions == ("SOMEONE looks up.", "He walks, slowly.")


def test_msvd(tmp_path: Path) -> None:
    data = write(tmp_path / "captions_msvd.json", MSVD)
    assert load_captions(data).target.tolist() == [0, 0, 1]
    listed = write(tmp_path / "test_list.txt", "xyz_2_9\n\nabc_1_5\n")
    found = load_captions(listed, data)
    assert found.videos == ("xyz_2_9", "abc_1_5")
    assert found.captions == ("a cat", "a man sings", "someone is singing")


def test_didemo_is_evaluated_by_paragraph(tmp_path: Path) -> None:
    data = write(tmp_path / "test_data.json", DIDEMO)
    assert pairs(load_captions(data)) == [
        ("99@N00_52_bb.3gp", "a dog enters the dog leaves"),
        ("12@N01_7_cc.mov", "a boat"),
    ]
    listed = write(tmp_path / "test_list.txt", "12@N01_7_cc.mov\n")
    assert pairs(load_captions(listed, data)) == [("12@N01_7_cc.mov", "a boat")]


def test_our_own_lines(tmp_path: Path) -> None:
    lines = [
        {"video": "a.mp4", "captions": ["one", "two"], "group": "g"},
        {"video": "sub/b.mp4", "caption": "three"},
        {"video": "a.mp4", "captions": ["four"]},
    ]
    found = load_captions(write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, lines))))
    assert pairs(found) == [("a.mp4", "one"), ("a.mp4", "two"), ("sub/b.mp4", "three"), ("a.mp4", "four")]


def test_the_manifest_of_a_generated_corpus(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path, 3, "test", 0)
    found = load_captions(tmp_path / "manifest.jsonl")
    assert found.videos == tuple(clip.video.name for clip in clips)
    assert found.captions == tuple(caption for clip in clips for caption in clip.captions)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", JSFUSION + "ret3,msr1,video1\n", "line 5: needs 4 fields"),
        ("x.csv", JSFUSION + "ret3,msr1,video1,a,b\n", "line 5: needs 4 fields"),
        ("x.csv", JSFUSION + "ret3,msr1,video1, \n", "line 5: the sentence is empty"),
        ("x.csv", JSFUSION + "ret3,msr1,,a cat\n", "line 5: the video_id is empty"),
        ("x.csv", JSFUSION + "ret3,msr1,video1," + "a" * 200_000, "line 5: field larger"),
        ("x.csv", "id,text\n1,a\n", "line 1: the columns are id, text"),
        ("x.csv", "", "line 1: the columns are none"),
        ("x.csv", "key,vid_key,video_id,sentence\n", "no captions"),
        ("x.csv", LSMDC + "1004_Juno\tSOMEONE.\n", "line 3: needs 6 fields"),
        ("x.csv", LSMDC + "\n\t1\t2\t3\t4\tSOMEONE.\n", "line 4: needs 6 fields"),
        ("x.jsonl", '{"video": "a", "captions": ["b"]}\n{"video": \n', "line 2: not JSON"),
        ("x.jsonl", '\n{"captions": ["b"]}\n', 'line 2: needs a "video"'),
        ("x.jsonl", '{"video": "a", "captions": []}', "line 1: captions must be"),
        ("x.jsonl", '{"video": "a", "captions": ["b", 3]}', "line 1: captions must be"),
        ("x.jsonl", '{"video": "a"}', "line 1: captions must be"),
        ("x.jsonl", "[1]", 'line 1: needs a "video"'),
        ("x.jsonl", "", "no captions"),
        ("x.json", '{"a": ["b"],\n "c": [1]', "line 2: not JSON"),
        ("x.json", '{"a": ["b"], "c": [1]}', "entry 'c': must be a list"),
        ("x.json", '{"a": "b"}', "entry 'a': must be a list"),
        ("x.json", '{"sentences": [{"caption": "b", "video_id": "v"}, {"caption": "b"}]}', "entry sentences[1]: needs"),
        ("x.json", '[{"description": "b", "video": "v"}, 3]', "entry [1]: needs a 'video'"),
        ("x.json", "3", "neither an object nor a list"),
        ("x.json", "[" * 100_000, "nested too deeply"),
        ("x.tsv", LSMDC, "none of .jsonl, .json, .csv, .txt"),
    ],
)
def test_bad_files_are_refused_with_the_place(name: str, content: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(InvalidInput) as refused:
        load_captions(path)
    assert said in str(refused.value)
    assert name in str(refused.value)


def test_lists_that_do_not_fit_their_data(tmp_path: Path) -> None:
    data = write(tmp_path / "captions_msvd.json", MSVD)
    with pytest.raises(InvalidInput, match=r"line 2: 'nobody' has no captions in the data"):
        load_captions(write(tmp_path / "a.txt", "xyz_2_9\nnobody\n"), data)
    with pytest.raises(InvalidInput, match=r"line 3: 'xyz_2_9' is listed twice"):
        load_captions(write(tmp_path / "b.txt", "xyz_2_9\nabc_1_5\nxyz_2_9\n"), data)
    with pytest.raises(InvalidInput, match="has no use"):
        load_captions(write(tmp_path / "c.csv", JSFUSION), data)
    with pytest.raises(InvalidInput, match=r"is no \.json file"):
        load_captions(tmp_path / "a.txt", write(tmp_path / "d.csv", JSFUSION))


def test_every_fault_is_told_up_to_twenty(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", "\n".join(["{}"] * 23))
    with pytest.raises(InvalidInput) as refused:
        load_captions(path)
    assert "line 20:" in str(refused.value)
    assert "line 21:" not in str(refused.value)
    assert "and 3 more" in str(refused.value)


def test_files_that_are_absent_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file of captions at"):
        load_captions(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes(JSFUSION.encode() + b"ret3,msr1,video1,caf\xe9\n")
    with pytest.raises(InvalidInput, match="line 5: not UTF-8"):
        load_captions(tmp_path / "latin.csv")
    (tmp_path / "raw-captions.pkl").write_bytes(pickle.dumps(MSVD))
    with pytest.raises(InvalidInput, match="none of"):
        load_captions(tmp_path / "raw-captions.pkl")
