"""The result as a DICOM Structured Report, TID 1500: coded findings that any archive can search.

One measurement group says what the verdict is and what each criterion came to, then one
group a reported nodule (TID 1410) gives its outline on the slice through its centre, its diameter, volume and
attenuation, under tracking identifiers that stay the same when the study is screened
again by the same program.
"""

import io
from collections import Counter
from collections.abc import Callable
from datetime import datetime

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from imaging.dicom import codes, content
from imaging.dicom.evidence import WHOSE, Evidence, equipment, stamp
from imaging.dicom.uids import derive_uid
from imaging.geometry import index_of
from records.model import Finding, Nodule, Screening

__all__ = ["encode_report"]

SERIES_NUMBER = 9001
CONTAINS, CONTEXT, CONCEPT = "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD"


def encode_report(screening: Screening, evidence: Evidence, *, series_uid: str, uid: str) -> bytes:
    """Return the structured report of a screening, as the bytes of a DICOM file.

    Parameters
    ----------
    screening : Screening
        Only its reported nodules are listed.
    evidence : Evidence
        The series that was screened.
    series_uid, uid : str
        Of the report.

    Notes
    -----
    DICOM PS3.16 TID 1500, 1501, 1410, 1419 and 4019. An outline is a circle in image
    coordinates (PS3.3 C.18.6.1.2: the centre of the first pixel is 0.5, 0.5), an ellipse
    where pixels are not square.
    """
    reported = [nodule for nodule in screening.nodules if nodule.reported]
    algorithm = _algorithm(screening)
    indices = [index_of(evidence.stack, np.array(nodule.centre_mm)).tolist() for nodule in reported]
    groups = [_verdict_group(screening, algorithm, _source(indices, evidence), len(evidence.stack.frames))]
    groups += [
        _nodule_group(nodule, index, evidence, algorithm)
        for nodule, index in zip(reported, indices, strict=True)
    ]
    tree = [
        content.code(CONCEPT, codes.LANGUAGE, codes.ENGLISH),
        content.code(CONTEXT, codes.OBSERVER_TYPE, codes.DEVICE),
        content.uid_reference(CONTEXT, codes.OBSERVER_UID, derive_uid("mipc", "device")),
        content.text(CONTEXT, codes.OBSERVER_NAME, "mipc"),
        content.text(CONTEXT, codes.OBSERVER_MANUFACTURER, "mipc"),
        content.text(CONTEXT, codes.OBSERVER_MODEL, "mipc screening"),
        content.code(CONCEPT, codes.PROCEDURE_REPORTED, codes.CT),
        content.container(CONTAINS, codes.IMAGING_MEASUREMENTS, groups),
    ]
    buffer = io.BytesIO()
    _document(screening, evidence, series_uid, uid).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue() + content.content_sequence(tree)  # no element of a report comes after it


def _document(screening: Screening, evidence: Evidence, series_uid: str, uid: str) -> FileDataset:
    """Return the report without its content (PS3.3 A.35.3)."""
    now = datetime.now()
    report = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = evidence.headers[0]
    for keyword in WHOSE:
        setattr(report, keyword, header[keyword].value)
    report.SOPClassUID, report.SOPInstanceUID = ComprehensiveSRStorage, uid
    report.StudyInstanceUID, report.SeriesInstanceUID = evidence.series.study_uid, series_uid
    report.Modality, report.SeriesNumber, report.InstanceNumber = "SR", SERIES_NUMBER, 1
    report.SeriesDescription = "MIPC screening report"
    report.SeriesDate = report.ContentDate = f"{now:%Y%m%d}"
    report.SeriesTime = report.ContentTime = f"{now:%H%M%S}"
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    for keyword, value in zip(
        ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber"),
        equipment(screening.provenance).values(),
        strict=True,
    ):
        setattr(report, keyword, value)
    report.CodingSchemeIdentificationSequence = [_own_scheme()]
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.ConceptNameCodeSequence = [_coded(codes.MEASUREMENT_REPORT)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "1500"
    report.ContentTemplateSequence = [template]
    report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "FINAL"
    report.CurrentRequestedProcedureEvidenceSequence = [_evidence(evidence)]
    stamp(report, screening.provenance)
    return report


def _evidence(evidence: Evidence) -> Dataset:
    """Return the images that were read, by study and series."""
    images = []
    for header in evidence.headers:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = (
            header.SOPClassUID,
            header.SOPInstanceUID,
        )
        images.append(image)
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = evidence.series.uid, images
    study.StudyInstanceUID, study.ReferencedSeriesSequence = evidence.series.study_uid, [series]
    return study


def _coded(word: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = word[:3]
    return item


def _own_scheme() -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = codes.OWN_SCHEME
    item.CodingSchemeName = item.CodingSchemeResponsibleOrganization = "mipc"
    return item


def _algorithm(screening: Screening) -> list[bytes]:
    """Return what found it (TID 4019)."""
    made = screening.provenance
    return [
        content.text(CONCEPT, codes.ALGORITHM_NAME, "mipc"),
        content.text(CONCEPT, codes.ALGORITHM_VERSION, made.program_version),
        content.text(CONCEPT, codes.ALGORITHM_PARAMETERS, f"model {made.model_version}"),
        content.text(
            CONCEPT, codes.ALGORITHM_PARAMETERS, f"protocol {made.protocol_name} {made.protocol_sha256[:12]}"
        ),
    ]


def _tracking(label: str, *seeds: str) -> list[bytes]:
    return [
        content.text(CONTEXT, codes.TRACKING_IDENTIFIER, label),
        content.uid_reference(CONTEXT, codes.TRACKING_UID, derive_uid("tracking", *seeds)),
    ]


def _verdict_group(screening: Screening, algorithm: list[bytes], source: bytes, images: int) -> bytes:
    """Return the verdict, its criteria and exclusions, as findings of both lungs (TID 1501)."""
    verdict, pattern = screening.verdict, screening.pattern
    if pattern is None:  # nothing was measured: all there is to count is images
        counted = content.number(CONTAINS, codes.IMAGE_COUNT, images, codes.IMAGES, [source])
    else:
        counted = content.number(
            CONTAINS, codes.LESION_COUNT, pattern.nodule_count.value, codes.NODULES, [source]
        )
    measured = [counted]
    if verdict.probability is not None:
        measured.append(content.number(CONTAINS, codes.CERTAINTY, 100 * verdict.probability, codes.PERCENT))
    for finding in (*verdict.criteria, *verdict.exclusions):
        measured += _measured(finding)
    bilateral = [content.code(CONCEPT, codes.LATERALITY, codes.BOTH_SIDES)]
    return content.container(
        CONTAINS,
        codes.MEASUREMENT_GROUP,
        [
            *_tracking("MIPC verdict", screening.study.uid, "verdict"),
            content.code(CONTAINS, codes.FINDING, codes.MILIARY_PATTERN),
            *algorithm,
            content.code(CONCEPT, codes.FINDING_SITE, codes.LUNG, bilateral),
            *measured,
            *_evaluated(screening),
        ],
        template="1501",
    )


def _evaluated(screening: Screening) -> list[bytes]:
    """Return the verdict and what each criterion and exclusion came to, in codes."""
    verdict = screening.verdict
    evaluated = [content.code(CONTAINS, codes.MILIARY_PATTERN, codes.VERDICTS[verdict.label])]
    if verdict.reason is not None:
        evaluated.append(content.code(CONTAINS, codes.REASON, codes.reason_code(verdict.reason)))
    for finding in (*verdict.criteria, *verdict.exclusions):
        evaluated.append(content.code(CONTAINS, codes.criterion(finding.name), codes.HELD[finding.holds]))
    return evaluated


def _source(indices: list[list[float]], evidence: Evidence) -> bytes:
    """Return what the count can be seen on: the slice with most nodules, their centres marked.

    A viewer that draws a report looks for a place to show each group at; OHIF shows nothing
    of a report if one group has none.
    """
    frames = evidence.stack.frames
    slices = [_slice_of(index, evidence) for index in indices]
    if slices:
        (shown, _), *_ = Counter(slices).most_common(1)
        points = [
            place
            for index, plane in zip(indices, slices, strict=True)
            if plane == shown
            for place in (index[2] + 0.5, index[1] + 0.5)
        ]
        kind = "POINT" if len(points) == 2 else "MULTIPOINT"
    else:  # none was found on all of it
        shown = len(frames) // 2
        rows, columns = frames[shown].format.rows, frames[shown].format.columns
        kind, points = "POLYLINE", [0.0, 0.0, columns, 0.0, columns, rows, 0.0, rows, 0.0, 0.0]
    return _region("INFERRED FROM", codes.SOURCE_OF_MEASUREMENT, kind, points, shown, evidence)


def _measured(finding: Finding) -> list[bytes]:
    """Return the number behind a criterion, with its interval where it has one."""
    value, unit = finding.value, codes.unit_of(finding.unit)
    if value is None:
        return []
    name = codes.criterion(finding.name)
    found = [content.number(CONTAINS, name, value.value, unit)]
    if value.low < value.high:
        for number, bound in ((value.low, codes.LOW), (value.high, codes.UPPER)):
            derived = [content.code(CONCEPT, codes.DERIVATION, bound)]
            found.append(content.number(CONTAINS, name, number, unit, derived))
    return found


def _nodule_group(nodule: Nodule, index: list[float], evidence: Evidence, algorithm: list[bytes]) -> bytes:
    """Return one nodule (TID 1410)."""
    mean = [content.code(CONCEPT, codes.DERIVATION, codes.MEAN)]
    side = [content.code(CONCEPT, codes.LATERALITY, codes.SIDES[nodule.side])]
    number: Callable[..., bytes] = content.number
    return content.container(
        CONTAINS,
        codes.MEASUREMENT_GROUP,
        [
            *_tracking(f"MIPC nodule {nodule.nodule_id}", evidence.series.uid, str(nodule.nodule_id)),
            content.code(CONTAINS, codes.FINDING, codes.finding_of(nodule)),
            *algorithm,
            content.code(CONCEPT, codes.FINDING_SITE, codes.ZONES[nodule.zone], side),
            _outline(nodule, index, evidence),
            number(CONTAINS, codes.DIAMETER, nodule.diameter_mm.value, codes.MM),
            number(CONTAINS, codes.VOLUME, nodule.volume_mm3, codes.MM3),
            number(CONTAINS, codes.ATTENUATION_COEFFICIENT, nodule.mean_hu, codes.HOUNSFIELD, mean),
            number(CONTAINS, codes.CERTAINTY, 100 * nodule.probability, codes.PERCENT),
            content.code(CONTAINS, codes.ATTENUATION, codes.ATTENUATIONS[nodule.attenuation]),
        ],
        template="1410",
    )


def _outline(nodule: Nodule, index: list[float], evidence: Evidence) -> bytes:
    """Return the circle of a nodule's diameter on the slice nearest to its centre."""
    stack = evidence.stack
    row, column = index[1] + 0.5, index[2] + 0.5
    radius_mm = nodule.diameter_mm.value / 2
    down, along = radius_mm / stack.spacing_mm[1], radius_mm / stack.spacing_mm[2]
    if abs(down - along) < 1e-3 * along:
        kind, points = "CIRCLE", [column, row, column + along, row]
    else:  # the ends of the long axis come first (PS3.3 C.18.6.1.2)
        across = [column - along, row, column + along, row]
        upright = [column, row - down, column, row + down]
        kind, points = "ELLIPSE", across + upright if along > down else upright + across
    return _region(CONTAINS, codes.IMAGE_REGION, kind, points, _slice_of(index, evidence), evidence)


def _slice_of(index: list[float], evidence: Evidence) -> int:
    return min(max(round(index[0]), 0), len(evidence.stack.frames) - 1)


def _region(
    relation: str, name: Code, kind: str, points: list[float], plane: int, evidence: Evidence
) -> bytes:
    """Return a shape on one slice."""
    frame = evidence.stack.frames[plane]
    frame_number = frame.number + 1 if evidence.is_multi_frame else None
    image = content.image(
        "SELECTED FROM", frame.reconstruction.sop_class_uid, frame.sop_instance_uid, frame_number
    )
    return content.region(relation, name, kind, points, image, evidence.is_multi_frame)
