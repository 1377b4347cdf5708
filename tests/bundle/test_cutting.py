"""Films are taken apart in a process that no file can harm, and as they would be here."""

from __future__ import annotations

import signal
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import psutil
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.segments import Cutting
from framesift.export.bundle.video import cutting, decoder_process, sandbox
from framesift.export.bundle.video import pieces as here
from framesift.export.bundle.video.cutting import pieces
from framesift.export.bundle.video.decoder_process import DecoderProcess
from framesift.export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from framesift.export.bundle.video.work import Work
from framesift.serving.client.films import pieces_of

from .clips import KINDS
from .mp4_files import BOMBS, edited
from .watching import signalled

Write = Callable[..., Path]
CUT, SHOTS = Cutting(1.0, 0.25), Cutting(10, shots=0.3)
# The process notices, or the kernel, whose limit is of whole seconds, is a moment sooner.
TOO_LONG = "s of work, the limit is|at work without an end"


@pytest.mark.parametrize("kind", ["MP4", "HEVC", "TS"])
def test_pieces_are_those_that_cutting_it_here_gives(write_clip: Write, kind: str) -> None:
    path = write_clip(150, **KINDS[kind])
    most, cuts = 64_000 + path.stat().st_size // 2, (1.7, 3.1)
    for cut in (CUT, Cutting(1.0, 0.25, shots=0.3)):
        given = cuts if cut.shots else ()
        wanted = list(here.pieces(path, cut, "draft", most, given, Work(DEFAULT_LIMITS)))
        assert len(wanted) > 1
        assert list(pieces(path, cut, "draft", most, given)) == wanted


@pytest.fixture
def many(tmp_path: Path, write_clip: Write) -> Path:
    """A film of so many packets that to read them takes a second."""
    path = tmp_path / "many.mp4"
    with av.open(str(write_clip(60, options={"g": "12", "bf": "0"}))) as source, av.open(str(path), "w") as out:
        packets = [(bytes(each), each.is_keyframe) for each in source.demux(video=0) if each.size]
        stream = out.add_stream_from_template(source.streams.video[0])
        for number in range(60_000):
            data, key = packets[number % 60]
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), key
            packet.pts = packet.dts = number
            out.mux(packet)
    return path


def test_a_film_over_which_the_process_ends_is_refused(many: Path) -> None:
    with (
        signalled(many, signal.SIGSEGV),
        pytest.raises(InvalidVideo, match=r"the video crashed its decoder \(SIGSEGV\): it is damaged"),
    ):
        next(pieces(many, Cutting(10), "a", 1 << 20))
    assert len(next(pieces(many, Cutting(10), "a", 1 << 20)).parts) > 1


def test_a_film_that_takes_too_long_is_refused(many: Path) -> None:
    # Its length alone stands for some seconds.
    with pytest.raises(InvalidVideo, match=TOO_LONG):
        _cut_slowly(many)


def _cut_slowly(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "_SLOWEST", 1 << 30)
        list(pieces(path, Cutting(10), "a", 1 << 20, limits=VideoLimits(max_work=0.4)))


def test_shots_that_take_too_long_to_find_are_refused(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_SLOWEST", 1 << 40)
    with pytest.raises(InvalidVideo, match=TOO_LONG):
        cutting.shots(many, SHOTS, VideoLimits(max_work=0.4))


@pytest.mark.parametrize(("memory", "work"), [(200 << 20, 30.0), (None, 86_400)], ids=["somebody's", "one's own"])
def test_every_process_that_reads_a_film_has_its_limits(
    write_clip: Write, monkeypatch: pytest.MonkeyPatch, memory: int | None, work: float
) -> None:
    made: list[VideoLimits] = []

    class Noted(DecoderProcess):
        def __init__(self, limits: VideoLimits) -> None:
            made.append(limits)
            super().__init__(limits)

    for module in (cutting, sandbox):
        monkeypatch.setattr(module, "DecoderProcess", Noted)
    path, limits = write_clip(150), None if memory is None else VideoLimits(max_memory=memory, max_work=work)
    assert [*pieces_of(path, b"", SHOTS, 1 << 20, limits)]
    finds, cuts = made
    assert finds.max_memory == cuts.max_memory == (memory or DEFAULT_LIMITS.max_memory)
    # To which the time of its length is added.
    assert work <= finds.max_work < work + 1
    assert limits is None or finds == cuts


# What a process does that a film has taken over: it makes other pieces of the true ones.
LIES = {
    "none": "[]",
    "the last one is missing": "all[:-1]",
    "the last one says that it is": "all[:-1] + [told(all[-1], 99)]",
    "fewer than there are": "[told(each, 2) for each in all]",
    "one is told twice": "all[:1] + all",
}
_LIAR = """
from dataclasses import replace
from framesift.export.bundle.video import decoder_main as it

def told(piece, total):
    segments = [replace(part, segment=part.segment._replace(total=total)) for part in piece.parts]
    return replace(piece, parts=segments)

true = it.pieces

def pieces(*asked):
    all = [*true(*asked)]
    return iter(LIE)

it.pieces = pieces
it.main()
"""


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_film_that_is_not_whole_is_refused(write_clip: Write, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    path = write_clip(150)
    most = 64_000 + path.stat().st_size // 2
    whole = [*pieces(path, CUT, "a", most)]
    assert len(whole) > 1
    monkeypatch.setattr(decoder_process, "_MAIN", _LIAR.replace("LIE", "all"))
    assert [*pieces(path, CUT, "a", most)] == whole
    monkeypatch.setattr(decoder_process, "_MAIN", _LIAR.replace("LIE", lie))
    with pytest.raises(InvalidVideo, match="the film is damaged, leave it out"):
        list(pieces(path, CUT, "a", most))


def test_a_film_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    """Each of 5,000 edits shows 900,000 samples: FFmpeg would write all of them down."""
    path = tmp_path / "bomb.mp4"
    path.write_bytes(edited(900_000, 5_000))
    before, others = _peak(), psutil.Process().children()
    with pytest.raises(InvalidVideo):
        list(pieces(path, CUT, "a", 1 << 20))
    path.write_bytes(BOMBS["plain"])
    with pytest.raises(InvalidVideo, match="packets or more"):
        list(pieces(path, CUT, "a", 1 << 20))
    # All of it was elsewhere.
    assert _peak() - before < 16 << 20
    assert not {*psutil.Process().children()} - {*others}


def _peak() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
