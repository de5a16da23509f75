"""Screenings of every shape, for laws that hold for all of them."""

from hypothesis import strategies as st

from records.errors import Reason
from records.model import (
    Arrangement,
    Attenuation,
    Estimate,
    Finding,
    LungSummary,
    Nodule,
    Pattern,
    Provenance,
    Screening,
    Series,
    Side,
    Study,
    Verdict,
    VerdictLabel,
    Zone,
    ZoneSummary,
)

numbers = st.floats(-1e6, 1e6)
shares = st.floats(0, 1)
# Header text may hold anything a file can: NUL, control characters, halves of surrogate pairs.
texts = st.text(st.characters(codec=None), max_size=20)
uids = st.from_regex(r"[12](\.(0|[1-9][0-9]{0,5})){1,8}", fullmatch=True)
points = st.tuples(numbers, numbers, numbers)
estimates = st.builds(Estimate, value=numbers, low=numbers, high=numbers)


def _maybe(strategy):
    return st.none() | strategy


def _tuples(strategy, max_size=3):
    return st.lists(strategy, max_size=max_size).map(tuple)


studies = st.builds(
    Study, uid=uids, patient_id=texts, patient_name=texts, study_date=texts, description=texts
)
series = st.builds(
    Series,
    uid=uids,
    study_uid=uids,
    description=texts,
    image_type=_tuples(texts),
    manufacturer=texts,
    scanner=texts,
    kernel=texts,
    slice_thickness_mm=_maybe(numbers),
    slice_spacing_mm=_maybe(numbers),
    tube_current_time_product_mas=_maybe(numbers),
    transfer_syntax=texts,
)
nodules = st.builds(
    Nodule,
    centre_mm=points,
    diameter_mm=estimates,
    volume_mm3=numbers,
    mean_hu=numbers,
    attenuation=st.sampled_from(Attenuation),
    roundness=shares,
    probability=shares,
    side=st.sampled_from(Side),
    zone=st.sampled_from(Zone),
    pleura_distance_mm=numbers,
    sop_instance_uid=uids,
)
lungs = st.builds(LungSummary, right_ml=numbers, left_ml=numbers, mean_hu=numbers, noise_hu=numbers)
zone_summaries = st.builds(
    ZoneSummary,
    side=st.sampled_from(Side),
    zone=st.sampled_from(Zone),
    volume_ml=numbers,
    nodule_count=numbers,
)
arrangements = estimates.map(lambda one: Arrangement(one, one, one, one))  # few draws for many numbers
patterns = st.builds(
    Pattern,
    nodule_count=estimates,
    count_right=numbers,
    count_left=numbers,
    zones=_tuples(zone_summaries),
    fraction_le_5mm=_maybe(estimates),
    median_diameter_mm=_maybe(numbers),
    diameter_cv=_maybe(estimates),
    roundness=_maybe(estimates),
    balance=estimates,
    evenness=estimates,
    ground_glass_fraction=estimates,
    septal_index=estimates,
    haze_fraction=estimates,
    arrangement=_maybe(arrangements),
    consolidation_ml=numbers,
)
findings = st.builds(
    Finding,
    name=texts,
    value=_maybe(estimates),
    threshold=numbers,
    unit=texts,
    holds=_maybe(st.booleans()),
    sentence=texts,
    source=texts,
)
verdicts = st.builds(
    Verdict,
    label=st.sampled_from(VerdictLabel),
    probability=_maybe(shares),
    criteria=_tuples(findings),
    exclusions=_tuples(findings),
    reason=_maybe(st.sampled_from(Reason)),
    sentence=texts,
)
versions = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)  # our own words
provenances = st.builds(
    Provenance,
    program_version=versions,
    model_version=versions,
    protocol_name=versions,
    protocol_sha256=versions,
)
screenings = st.builds(
    Screening,
    study=studies,
    series=_maybe(series),
    choice=texts,
    lungs=_maybe(lungs),
    nodules=_tuples(nodules),
    pattern=_maybe(patterns),
    verdict=verdicts,
    provenance=provenances,
    seconds=numbers,
)
