"""The measure `coverage`: what it finds for samples that are known, and what it refuses."""

import numpy as np
import pytest

from experiments.build.parts import Parts
from experiments.evaluation.coverage import coverage
from experiments.evaluation.evaluations import Evaluations
from experiments.evaluation.samples import real, spread
from tests.experiments.tiny import tiny
from training.errors import TrainingError


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return Parts(tiny("gan_gaussians", tmp_path_factory.mktemp("data")))


def test_samples_that_are_the_split_cover_it_and_others_do_not(parts):
    source = parts.source("test")
    copies = real(source, spread(source, 20))
    measure = coverage("pixels", 20, 10, parts=parts)
    found = {}
    for name, drawn in {"copies": copies, "away": copies + 100}.items():
        numbers = measure.start(source, lambda asked, drawn=drawn: {"array": drawn[asked["id"]]}).compute()
        assert numbers.keys() == measure.readings.keys() and np.isfinite(list(numbers.values())).all()
        found[name] = numbers
    assert found["copies"]["coverage"] == 1 and found["copies"]["two_sample"] == 0
    assert found["away"]["coverage"] == found["away"]["density"] == 0 and found["away"]["two_sample"] == 1
    assert found["away"]["kd_blocks"] > 10 * abs(found["copies"]["kd_blocks"]) + found["away"]["kd_error"]
    broken = measure.start(source, lambda asked: {"array": copies * np.nan}).compute()
    assert np.isnan(list(broken.values())).all()


def test_a_page_names_it(parts):
    measures = Evaluations(parts).measures(("coverage('pixels', 20, 10)",))
    assert {"kd_error", "density", "coverage"} <= measures.readings.keys()


def test_too_few_images_are_one_clear_line(parts):
    with pytest.raises(TrainingError, match="compares 5 samples in blocks of 1000"):
        coverage("pixels", 5, parts=parts)
    with pytest.raises(TrainingError, match="which has 24: ask for fewer samples"):
        coverage("pixels", 25, 10, parts=parts).start(parts.source("test"), None)
