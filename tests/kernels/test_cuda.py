"""The driver's calls, arrays in its memory, and which rows of a gallery lie on which device: no kernel, no GPU."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from framesift.kernels.cuda.column import Column, Scratch
from framesift.kernels.cuda.device import Device
from framesift.kernels.cuda.library import Cuda, CudaError
from framesift.kernels.cuda.share import STRIPE, Share

from .standin_cuda import StandinCuda


def nothing(*_: object) -> None:
    raise AssertionError("no kernel is launched here")


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("rows", [0, 1, 17, STRIPE, STRIPE + 1, 3 * STRIPE + 40, 20 * STRIPE - 5])
def test_every_row_lies_on_one_device_in_its_order(devices: int, rows: int) -> None:
    shares = [Share(number, devices) for number in range(devices)]
    held = [share.rows(np.arange(share.count(rows))) for share in shares]
    assert sorted(np.concatenate(held).tolist()) == list(range(rows))
    for share, own in zip(shares, held, strict=True):
        assert (np.diff(own) > 0).all()
        sent = [(at, part) for at, part in share.runs(0, rows)]
        assert np.array_equal(np.concatenate([[], *(np.arange(p.start, p.stop) for _, p in sent)]), own)
        assert all(at % 16 == 0 and part.start % 16 == 0 for at, part in sent)
    counts = [len(own) for own in held]
    assert max(counts) - min(counts) <= STRIPE


def test_what_is_new_is_sent_from_the_block_that_it_begins_in() -> None:
    share = Share(1, 2)
    rows = 3 * STRIPE
    assert list(share.runs(STRIPE - 3, rows)) == [(STRIPE - 16, slice(2 * STRIPE - 16, 2 * STRIPE))]
    assert list(share.runs(share.count(rows), rows)) == []


def test_errors_of_the_driver_are_told() -> None:
    driver = StandinCuda(nothing, memory=1000)
    cuda = Cuda(driver)
    assert cuda.devices == 1
    device = Device(cuda, 0, driver.compiled)
    assert (device.arch, device.free) == (80, 1000)
    with pytest.raises(CudaError, match=r"cuMemAlloc_v2: out of memory \(2\)"):
        device.empty((1001,), np.uint8)
    with pytest.raises(CudaError, match="cuDeviceGet: bad value"):
        Device(cuda, 1, driver.compiled)


def test_arrays_hold_what_is_written_and_go_with_their_last_user() -> None:
    driver = StandinCuda(nothing, devices=2)
    cuda = Cuda(driver)
    first, second = (Device(cuda, number, driver.compiled) for number in range(2))
    first.use()
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    array = first.sent(values)
    array.write(2, values[:1])
    assert array.read().tolist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [9, 10, 11]]
    assert array.read((2,)).tolist() == [0, 1]
    with pytest.raises(ValueError, match="does not go into"):
        array.write(3, values[:2])
    with pytest.raises(ValueError, match="does not go into"):
        array.write(0, values.astype(np.float64))
    # Given back on its own device, whichever this thread uses.
    second.use()
    del array
    gc.collect()
    assert not driver.allocated
    pinned = first.pinned((2, 3), np.float16)
    pinned[:] = 1
    assert pinned.shape == (2, 3)


def test_columns_keep_their_rows_when_they_grow() -> None:
    driver = StandinCuda(nothing)
    device = Device(Cuda(driver), 0, driver.compiled)
    column = Column(device, (5,), np.float32, 16)
    column.grow(20, 0)
    blocks = np.random.default_rng(0).standard_normal((2, 5, 16)).astype(np.float32)
    column.put(0, blocks)
    column.grow(100, 20)
    assert np.array_equal(column.array.read()[:2], blocks)
    assert column.bytes(17) == 2 * 5 * 16 * 4
    assert column.at(16) - column.at(0) == 5 * 16 * 4
    scratch = Scratch(device)
    one = scratch.array("a", 10, np.int32)
    assert scratch.array("a", 5, np.int32) is one
    assert scratch.array("a", 11, np.int32) is not one
    assert scratch.sent("b", np.ones((2, 2), np.int8)).read((4,)).tolist() == [1] * 4


def test_a_machine_without_a_driver_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from framesift.kernels.cuda import library

    monkeypatch.setattr(library, "DRIVER", "libcuda.so.of.nobody")
    assert library.installed() is None
