"""Who may call: tokens and their roles, TLS, and what is never shown."""

from __future__ import annotations

import os
import queue
import resource
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from framesift import Client, Credentials
from framesift.__main__ import main
from framesift.export.bundle.errors import AccessDenied, InvalidRequest, ServerStartError, ServerUnavailable
from framesift.export.bundle.store import Bundle
from framesift.serving.front.certificates import Tls
from framesift.serving.front.tokens import Caller, Tokens, new_token, read_tokens
from framesift.serving.server.door import Reach

from ...waiting import until
from ..certificates import certificates
from .alone import standing
from .requests_of import request, search

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


def test_a_token_is_made_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# who may\n\n")
    token = new_token(path, "dashboard", ["search"])
    other = new_token(path, "nightly", ["search", "index"])
    assert token not in path.read_text()
    tokens = Tokens(path)
    assert tokens.caller(b"Bearer " + token.encode()) == Caller("dashboard", frozenset({"search"}))
    assert tokens.caller(b"bearer " + other.encode()) == Caller("nightly", frozenset({"search", "index"}))
    for wrong in (None, b"", b"Bearer", b"Bearer ", token.encode(), b"Basic " + token.encode(), b"Bearer fs_wrong"):
        assert tokens.caller(wrong) is None
    with pytest.raises(InvalidRequest, match="has a token of nightly already"):
        new_token(path, "nightly", ["admin"])


def test_a_revoked_token_is_forgotten_however_the_file_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    kept, revoked = (b"Bearer " + new_token(path, name, ["search"]).encode() for name in ("kept", "revoked"))
    before, times = path.read_text(), path.stat()
    tokens = Tokens(path)

    def changed() -> bool:
        path.write_text("# " + before.splitlines()[0][2:] + before[len(before.splitlines()[0]) :])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        # Of a kernel whose clock of files ticks every few milliseconds, two changes may have one time.
        return path.stat().st_ctime_ns != times.st_ctime_ns

    until(changed)
    tokens.refresh()
    assert tokens.caller(kept) is None
    assert tokens.caller(revoked) is not None
    path.write_text(before.splitlines()[0])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        # No file can be opened: as with too many clients, or rights that are put right a moment later.
        tokens.refresh()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert tokens.caller(revoked) is not None
    tokens.refresh()
    assert tokens.caller(kept) is not None
    assert tokens.caller(revoked) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dashboard search", "line 1 of .* is no name, roles and sha256"),
        ("dashboard find sha256:" + "0" * 64, "the role 'find' is unknown"),
        ("-- search sha256:" + "0" * 64, "is no name for a caller"),
        ("dashboard search sha256:" + "g" * 64, "line 1"),
    ],
)
def test_a_file_that_holds_no_tokens_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        read_tokens(tmp_path / "tokens")
    with pytest.raises(InvalidRequest, match="can't be read"):
        read_tokens(tmp_path / "absent")


def test_a_change_is_read_and_one_that_can_not_be_leaves_things_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    first = b"Bearer " + new_token(path, "first", ["search"]).encode()
    tokens = Tokens(path)
    second = b"Bearer " + new_token(path, "second", ["search"]).encode()
    tokens.refresh()
    assert tokens.caller(second)
    path.write_text("nonsense")
    tokens.refresh()
    assert tokens.caller(first)
    path.unlink()
    tokens.refresh()
    assert tokens.caller(first)
    path.write_text("")
    tokens.refresh()
    assert not tokens.caller(first)


def test_roles_say_what_a_caller_may() -> None:
    Caller("a", frozenset({"search"})).check(frozenset({"search"}), "search")
    Caller("a", frozenset({"admin"})).check(frozenset({"search"}), "search")
    with pytest.raises(
        AccessDenied, match="the token of a may not call index_video: that takes the role admin or index"
    ):
        Caller("a", frozenset({"search"})).check(frozenset({"index"}), "call index_video")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    made = {role: new_token(path, f"the-{role}", [role]) for role in ("search", "index", "admin")}
    return {**made, "file": str(path)}


@pytest.fixture(scope="module")
def guarded(bundle: Bundle, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    with standing(bundle.root, tmp_path_factory.mktemp("run"), Reach(tokens=Path(tokens["file"]))) as both:
        yield both


def refusal(address: str, token: str | None, model: str, timeout_s: float = 60) -> tuple[str, str]:
    """How a call of a model ends that nobody can answer."""
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    message = request(model, search()).SerializeToString()
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(INFER)(message, metadata=metadata, timeout=timeout_s)
    return caught.value.code().name, caught.value.details()


def test_a_model_is_called_with_a_token_of_its_role(guarded: tuple, tokens: dict[str, str]) -> None:
    address, _ = guarded
    assert refusal(address, None, "search") == (
        "UNAUTHENTICATED",
        "[access] the server needs a token: set FRAMESIFT_TOKEN",
    )
    assert refusal(address, "fs_guessed", "search")[0] == "UNAUTHENTICATED"
    assert refusal(address, tokens["index"], "search")[0] == "PERMISSION_DENIED"
    assert refusal(address, tokens["search"], "index_video")[0] == "PERMISSION_DENIED"
    # Over HTTP the same is known before anything of the body is read.
    for token, status in ((None, 401), ("fs_guessed", 401), (tokens["index"], 403)):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        asked = urllib.request.Request(f"http://{address}/v2/models/search/infer", b"no JSON", headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(asked, timeout=60)
        assert caught.value.code == status
    # Whoever may is told that nobody answers, or what is wrong with the request.
    for role in ("search", "admin"):
        assert refusal(address, tokens[role], "search", timeout_s=2)[0] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    for role in ("index", "admin"):
        assert refusal(address, tokens[role], "index_video")[0] == "INVALID_ARGUMENT"


def test_clients_show_their_token_and_are_told_what_they_may_not(
    guarded: tuple, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, _ = guarded
    with Client(address) as client, pytest.raises(AccessDenied, match="needs a token"):
        client.search("a query")
    with (
        Client(address, credentials=Credentials(tokens["search"])) as client,
        pytest.raises(AccessDenied, match="the-search may not"),
    ):
        client.index(b"no video", id="x")
    (tmp_path / "token").write_text(tokens["index"] + "\n")
    monkeypatch.setenv("FRAMESIFT_TOKEN_FILE", str(tmp_path / "token"))
    with Client(address) as client, pytest.raises(AccessDenied, match="the-index may not"):
        client.search("a query")
    monkeypatch.setenv("FRAMESIFT_TOKEN", tokens["search"])
    with (
        Client(address, timeout_s=1, retry=False) as client,
        pytest.raises(Exception, match="again|within"),
    ):
        client.search("a query")
    assert tokens["search"] not in repr(Credentials(tokens["search"]))


def http(address: str, path: str, token: str | None = None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_probers_need_no_token_and_metrics_do(guarded: tuple, tokens: dict[str, str]) -> None:
    address, _ = guarded
    assert http(address, "/v2/health/live") == 200
    # There is no server behind this door.
    assert http(address, "/v2/health/ready") == 400
    assert http(address, "/metrics") == 401
    assert http(address, "/metrics", tokens["search"]) == 200
    with Client(address) as client:
        assert not client.ready()


def test_a_token_that_is_withdrawn_is_soon_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    token = new_token(path, "short-lived", ["search"])
    with standing(bundle.root, tmp_path / "run", Reach(tokens=path)) as (address, run):
        assert http(address, "/metrics", token) == 200
        path.write_text("")
        until(lambda: http(address, "/metrics", token) != 200)
        assert token not in run.log.read_text()


def test_a_token_that_is_withdrawn_ends_the_streams_that_it_opened(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    token = new_token(path, "short-lived", ["search"])
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with (
        standing(bundle.root, tmp_path / "run", Reach(tokens=path)) as (address, _),
        grpc.insecure_channel(address) as channel,
    ):
        metadata = [("authorization", f"Bearer {token}")]
        answers = channel.stream_stream(STREAM)(iter(asked.get, b""), timeout=60, metadata=metadata)
        asked.put(request("absent", search()).SerializeToString())
        assert b"no model" in next(answers)
        path.write_text("")
        until(lambda: http(address, "/metrics", token) == 401)
        asked.put(request("absent", search()).SerializeToString())
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        asked.put(b"")


def test_no_token_is_logged_or_shown(guarded: tuple, tokens: dict[str, str]) -> None:
    _, run = guarded
    for path in (run.log, *run.root.glob("*.json")):
        for role in ("search", "index", "admin"):
            assert tokens[role] not in path.read_text()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            shown = path.read_bytes()
        except OSError:
            continue
        assert not any(tokens[role].encode() in shown for role in ("search", "index", "admin"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("keys"))


def live(address: str, credentials: Credentials) -> bool:
    """Whether a call reaches the door."""
    with Client(address, credentials=credentials, retry=False) as client:
        try:
            client.lookup([])
        except ServerUnavailable as error:
            return "no server answers" not in str(error)
    raise AssertionError("nobody is there to answer")


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual"])
def test_connections_are_encrypted(mutual: bool, bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    tls = Tls(keys / "server.crt", keys / "server.key", keys / "ca.crt" if mutual else None)
    own = Credentials(ca=keys / "ca.crt", certificate=keys / "client.crt", key=keys / "client.key")
    with standing(bundle.root, tmp_path / "run", Reach(tls=tls)) as (address, _):
        assert live(address, own)
        assert live(address, Credentials(ca=keys / "ca.crt")) is not mutual
        # Neither in the clear, nor to whoever does not know the authority.
        assert not live(address, Credentials())
        assert not live(address, Credentials(ca=keys / "client.crt"))


def test_nothing_is_open_to_others_without_tokens_and_tls(keys: Path, tokens: dict[str, str], tmp_path: Path) -> None:
    file = Path(tokens["file"])
    tls = Tls(keys / "server.crt", keys / "server.key")
    for reach in (Reach(), Reach(tokens=file), Reach(tls=tls)):
        reach.check("127.0.0.1")
        with pytest.raises(ServerStartError, match="--insecure"):
            reach.check("0.0.0.0")
    for reach in (
        Reach(tokens=file, tls=tls),
        Reach(tls=Tls(keys / "server.crt", keys / "server.key", keys / "ca.crt")),
        Reach(insecure=True),
    ):
        reach.check("0.0.0.0")
    with pytest.raises(ServerStartError, match="can't be read: the door needs it for TLS"):
        Reach(tls=Tls(tmp_path / "absent", keys / "server.key")).check("127.0.0.1")


def test_the_command_makes_a_token_and_serve_wants_whole_options(tmp_path: Path, bundle: Bundle, keys: Path) -> None:
    made = CliRunner().invoke(main, ["token", "dashboard", "--role", "search", "--tokens", str(tmp_path / "tokens")])
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert Tokens(tmp_path / "tokens").caller(f"Bearer {token}".encode()) == Caller("dashboard", frozenset({"search"}))
    assert os.stat(tmp_path / "tokens").st_mode & 0o077 == 0
    serve = ["serve", str(bundle.root), "--gallery", str(tmp_path / "gallery")]
    half = CliRunner().invoke(main, [*serve, "--tls-cert", str(keys / "server.crt")])
    assert "--tls-cert needs --tls-key" in half.output
    open_ = CliRunner().invoke(main, [*serve, "--host", "0.0.0.0"])
    assert "would let others call" in open_.output


def test_a_token_is_not_shown_for_all_to_read() -> None:
    for address in ("10.0.0.5:8001", "search.example.org:8001"):
        with pytest.raises(InvalidRequest, match="for all to read"):
            Client(address, credentials=Credentials("fs_secret"))
        Client(address, credentials=Credentials("fs_secret", insecure=True)).close()
    Client("localhost:8001", credentials=Credentials("fs_secret")).close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"token": ""}, "the token is empty"),
        ({"token": "fs_\n"}, "characters that no token has"),
        ({"certificate": "client.crt"}, "needs its key"),
        ({"ca": "/absent"}, "/absent can't be read"),
    ],
)
def test_credentials_that_can_not_be_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Credentials(**given)
