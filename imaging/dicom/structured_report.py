"""The result as a DICOM Structured Report, TID 1500: coded findings that any archive can search.

One measurement group says what the verdict is and what each criterion came to, then
one group a reported nodule (TID 1410) gives its outline on the slice through its
centre, its diameter, volume and attenuation, under tracking identifiers that stay
the same when the study is screened again by the same program.
"""

import io
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
    groups = [_verdict_group(screening, algorithm)]
    if reported:
        indices = index_of(evidence.stack, np.array([nodule.centre_mm for nodule in reported])).tolist()
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


def _verdict_group(screening: Screening, algorithm: list[bytes]) -> bytes:
    """Return the verdict, its criteria and exclusions, as findings of both lungs (TID 1501)."""
    verdict, pattern = screening.verdict, screening.pattern
    measured, evaluated = [], []
    if verdict.probability is not None:
        measured.append(content.number(CONTAINS, codes.CERTAINTY, 100 * verdict.probability, codes.PERCENT))
    if pattern is not None:
        measured.append(
            content.number(CONTAINS, codes.LESION_COUNT, pattern.nodule_count.value, codes.NODULES)
        )
    evaluated.append(content.code(CONTAINS, codes.MILIARY_PATTERN, codes.VERDICTS[verdict.label]))
    if verdict.reason is not None:
        evaluated.append(content.code(CONTAINS, codes.REASON, codes.reason_code(verdict.reason)))
    for finding in (*verdict.criteria, *verdict.exclusions):
        measured += _measured(finding)
        evaluated.append(content.code(CONTAINS, codes.criterion(finding.name), codes.HELD[finding.holds]))
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
            *evaluated,
        ],
        template="1501",
    )


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
    frame = stack.frames[min(max(round(index[0]), 0), len(stack.frames) - 1)]
    row, column = index[1] + 0.5, index[2] + 0.5
    radius_mm = nodule.diameter_mm.value / 2
    down, along = radius_mm / stack.spacing_mm[1], radius_mm / stack.spacing_mm[2]
    if abs(down - along) < 1e-3 * along:
        kind, points = "CIRCLE", [column, row, column + along, row]
    else:  # the ends of the long axis come first (PS3.3 C.18.6.1.2)
        across = [column - along, row, column + along, row]
        upright = [column, row - down, column, row + down]
        kind, points = "ELLIPSE", across + upright if along > down else upright + across
    frame_number = frame.number + 1 if evidence.is_multi_frame else None
    image = content.image(
        "SELECTED FROM", frame.reconstruction.sop_class_uid, frame.sop_instance_uid, frame_number
    )
    return content.region(CONTAINS, codes.IMAGE_REGION, kind, points, image, evidence.is_multi_frame)
