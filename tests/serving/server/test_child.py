"""What a process is given that the keeper starts."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from framesift.serving.front.envoy import configuration
from framesift.serving.front.overload import MAX_CONNECTIONS
from framesift.serving.server.child import Child, Program, descriptors

from ...waiting import until


def test_a_process_may_have_more_descriptors_than_its_shell(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = tmp_path / "told"
    command = ["sh", "-c", f"ulimit -Sn > {told}.part && mv {told}.part {told}"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        wanted = descriptors()
        with (tmp_path / "log").open("wb") as log:
            child = Child(Program("one", command, command, dict(os.environ), (), "127.0.0.1:1"), log)
            child.start()
            until(told.exists)
            child.stop(5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert 256 < wanted <= 1 << 16
    assert told.read_text().strip() == str(wanted)


@pytest.mark.parametrize(("allowed", "connections"), [(1024, 512), (20_000, 10_000), (1 << 20, MAX_CONNECTIONS)])
def test_connections_leave_descriptors_for_all_else(allowed: int, connections: int) -> None:
    monitors = configuration("127.0.0.1", 1, descriptors=allowed)["overload_manager"]["resource_monitors"]
    assert monitors[0]["typed_config"]["max_active_downstream_connections"] == connections
