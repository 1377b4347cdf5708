"""Arrays that grow while readers hold views of them."""

from __future__ import annotations

import numpy as np
import psutil

from framesift.export.bundle.spec import TensorSpec
from framesift.kernels.lanes import read_rows
from framesift.serving.search.columns import Columns


def test_columns_keep_what_views_show_while_they_grow() -> None:
    columns = Columns([TensorSpec("x", "float16", (2,)), TensorSpec("n", "int64", ())])
    expected = np.arange(400, dtype=np.float16).reshape(200, 2)
    views = []
    for n in range(0, 200, 8):
        columns.extend(8)
        # Rows may come in any order, some at a time.
        for places in ([5, 0, 2], [1], [], [3, 4], [7, 6]):
            rows = np.array(places, np.intp) + n
            columns.put(rows, {"x": expected[rows], "n": rows})
        views.append(columns.views())
    for n, view in enumerate(views, start=1):
        np.testing.assert_array_equal(view["x"], expected[: 8 * n])
        np.testing.assert_array_equal(view["n"], np.arange(8 * n))
    columns.truncate(5)
    assert len(columns.views()["n"]) == 5


def test_kept_columns_leave_out_rows_and_have_room() -> None:
    specs = [TensorSpec("x", "float16", (2,)), TensorSpec("tables", "float32", (5,))]
    columns = Columns(specs, lanes={"tables": 16})
    rows = 3000
    values = {
        "x": np.arange(2 * rows, dtype=np.float16).reshape(rows, 2),
        "tables": np.random.default_rng().standard_normal((rows, 5), np.float32),
    }
    columns.append(values)
    live = np.random.default_rng().random(rows) < 0.7
    count = int(live.sum())
    kept = Columns(specs, lanes={"tables": 16})
    kept.reserve(count + 100)
    columns.copy(np.flatnonzero(live), kept)
    before = kept.views()
    np.testing.assert_array_equal(before["x"], values["x"][live])
    np.testing.assert_array_equal(read_rows(before["tables"], np.arange(count)), values["tables"][live])
    kept.append({name: array[:100] for name, array in values.items()})
    # There was room, so what was there has not moved.
    assert all(np.shares_memory(before[name], array) for name, array in kept.views().items())
    np.testing.assert_array_equal(kept.views()["x"][count:], values["x"][:100])
    np.testing.assert_array_equal(columns.views()["x"], values["x"])


def test_dropped_columns_give_their_memory_back() -> None:
    rows = 50_000
    specs = [TensorSpec("x", "float32", (100,))]
    columns = Columns(specs)
    columns.append({"x": np.ones((rows, 100), np.float32)})
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        copied = Columns(specs)
        copied.reserve(2 * rows)
        columns.copy(np.arange(rows), copied)
        columns = copied
    assert psutil.Process().memory_info().rss - before < 0.5 * rows * 400


def test_rows_that_lie_side_by_side_are_put_in_any_order() -> None:
    columns = Columns([TensorSpec("tables", "float32", (5,))], lanes={"tables": 16})
    values = np.random.default_rng(2).standard_normal((100, 5), np.float32)
    order = np.random.default_rng(3).permutation(100)
    columns.extend(100)
    for part in np.array_split(order, 7):
        columns.put(part, {"tables": values[part]})
    np.testing.assert_array_equal(read_rows(columns.views()["tables"], np.arange(100)), values)
