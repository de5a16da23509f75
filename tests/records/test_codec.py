import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings

from records.codec import screening_from_json, screening_to_json
from records.model import LungSummary
from tests.records import strategies
from tests.records.examples import miliary_screening


@settings(deadline=None)  # a busy machine is not a fault
@given(strategies.screenings)
def test_a_saved_screening_loads_equal(screening):
    assert screening_from_json(screening_to_json(screening)) == screening


@settings(deadline=None)  # a busy machine is not a fault
@given(strategies.screenings)
def test_equal_screenings_have_equal_bytes(screening):
    text = screening_to_json(screening)
    assert screening_to_json(screening_from_json(text)) == text
    assert text.isascii()
    assert "\n" not in text


def test_any_json_reader_understands_it():
    screening = miliary_screening()
    values = json.loads(screening_to_json(screening))
    assert values["verdict"]["label"] == "mipc"
    assert values["nodules"][0]["diameter_mm"]["value"] == screening.nodules[0].diameter_mm.value


def test_numpy_scalars_are_numbers():
    lungs = LungSummary(np.float32(2500.5), np.float64(2000.25), np.float32(-850), np.float32(20))
    screening = dataclasses.replace(miliary_screening(), lungs=lungs)
    loaded = screening_from_json(screening_to_json(screening))
    assert loaded.lungs == LungSummary(2500.5, 2000.25, -850.0, 20.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        screening_to_json(dataclasses.replace(miliary_screening(), seconds=value))
