"""Errors that go from a worker to the process that waits for it."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from records.errors import Reason, ScreeningError, SeriesError


def refuse() -> None:
    raise SeriesError(Reason.TOO_FEW_SLICES, "the series has 3 slices")


def test_an_error_crosses_from_one_process_to_another_whole():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(ScreeningError, match="the series has 3 slices") as refused:
            pool.submit(refuse).result()
    assert type(refused.value) is SeriesError
    assert refused.value.reason is Reason.TOO_FEW_SLICES
