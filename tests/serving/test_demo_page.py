"""The demo ends with the page open on its own gallery, until it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_the_demo_ends_with_the_page(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "framesift", "demo", "--page", "--clips", "10", "--work", str(tmp_path / "work")]
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        try:
            deadline = time.monotonic() + 240
            while not opened.exists():
                assert run.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            url = opened.read_text()
            assert b"framesift" in urllib.request.urlopen(url, timeout=10).read()
            root = url.partition("/?")[0]
            listed = json.load(urllib.request.urlopen(f"{root}/v1/videos", timeout=10))["videos"]
            assert len(listed) == 10
            film = urllib.request.urlopen(f"{root}/v1/video/file?id={listed[0]['id']}", timeout=10).read()
            assert b"ftyp" in film[:16]
        finally:
            run.send_signal(signal.SIGINT)
            said = run.communicate(timeout=60)[0]
    assert run.returncode == 0
    assert f"the page: {url}" in said
