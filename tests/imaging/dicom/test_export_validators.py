"""Tools nobody here wrote accept what is exported and read back the same places and millimetres."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from imaging.dicom.export import export_results
from imaging.geometry import index_of
from records.errors import Reason
from records.model import Verdict, VerdictLabel
from tests.imaging.dicom.results import NODULES, screened

JARS = Path("/usr/share/java")
NEEDED = "pixelmed commons-codec jsonp-api javax.json slf4j-api slf4j-nop vecmath jaxb-api".split()
# PixelMed's rules are one XSLT of 6 MB, more than the JDK lets through unasked.
UNLIMITED = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("TotalOp", "ExprOp", "ExprGrp")]


def dcmqi(tool: str) -> str:
    """Return the path of one of dcmqi's programs; the package installs them beside Python."""
    return shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool) or ""


needs_dcmqi = pytest.mark.skipif(not dcmqi("tid1500reader"), reason="dcmqi is not installed")


def run(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=600
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validators")
    screening, study, volume, pictures = screened(folder / "in")
    return export_results(screening, study, pictures, folder / "dicom").paths, screening, volume


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Return the report of a study in which nothing could be measured."""
    folder = tmp_path_factory.mktemp("refused")
    verdict = Verdict(VerdictLabel.NOT_EVALUABLE, None, (), (), Reason.LUNGS_NOT_FOUND, "No lungs.")
    screening, study, *_ = screened(folder / "in", nodules=(), verdict=verdict, pattern=None)
    return export_results(screening, study, None, folder / "dicom").paths[0]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_fault(results, refused):
    for path in (*results[0], refused):
        said = run("dciodvfy", path).splitlines()
        # It does not know our own coding scheme, which the report declares, and says so each time.
        others = [line for line in said if line.startswith(("Error", "Warning")) and "99MIPC" not in line]
        assert others == [], path.name


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed")
def test_dsrdump_reads_the_whole_tree(results):
    said = run("dsrdump", "--quiet", results[0][0])
    assert said.startswith("Comprehensive SR Document")
    assert said.count('"Measurement Group"') == 1 + len(NODULES)
    assert said.count("(mm,UCUM") == len(NODULES)


needs_pixelmed = pytest.mark.skipif(
    shutil.which("java") is None or not (JARS / "pixelmed.jar").exists(),
    reason="libpixelmed-java and a Java runtime are not installed",
)


@pytest.fixture(scope="module")
def pixelmed(results, refused, tmp_path_factory):
    """Return what PixelMed says of the report, of one with a single nodule, of one with none measured."""
    folder = tmp_path_factory.mktemp("pixelmed")
    screening, study, *_ = screened(folder / "in", nodules=NODULES[:1])
    single = export_results(screening, study, None, folder / "dicom").paths[0]
    jars = ":".join(str(path) for name in NEEDED for path in JARS.glob(f"{name}*.jar"))
    java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *UNLIMITED, "-cp", jars]
    both = [
        subprocess.Popen(
            [*java, "com.pixelmed.validate.DicomSRValidator", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for path in (results[0][0], single, refused)
    ]
    return [process.communicate(timeout=600)[0].splitlines() for process in both]


@needs_pixelmed
def test_pixelmed_passes_the_report(pixelmed):
    for said in (pixelmed[0], pixelmed[2]):
        _passes(said)


def _passes(said):
    assert "Found Root Template TID_1500 (MeasurementReport)" in said
    assert "Root Template Validation Complete" in said
    assert "IOD validation complete" in said
    assert [line for line in said if line.startswith("Error")] == []
    warnings = [line for line in said if line.startswith("Warning")]
    # A qualitative evaluation has whatever name the author gives it.
    assert [line for line in warnings if "Content Item not in template" not in line] == []


@needs_pixelmed
def test_pixelmed_finds_the_template_of_a_nodule_kept(pixelmed):
    """Check TID 1410, 1419 and 4019 on a report of one nodule.

    PixelMed takes *every* group for planar (TID 1410) if a report has exactly one image
    region, and none if it has more. So a single nodule is what has its group checked, and
    the group of the verdict is then said to lack a region, which TID 1501 does not ask for.
    """
    errors = [line for line in pixelmed[1] if line.startswith("Error")]
    assert [line for line in errors if "within 1.8.1: " not in line] == []
    assert len(errors) == 2
    warnings = [line for line in pixelmed[1] if line.startswith("Warning")]
    assert [line for line in warnings if "Content Item not in template" not in line] == []


@needs_dcmqi
def test_dcmqi_reads_the_measurements_back(results, tmp_path):
    paths, screening, _ = results
    run(dcmqi("tid1500reader"), "--inputDICOM", paths[0], "--outputMetadata", tmp_path / "read.json")
    verdict, *groups = json.loads((tmp_path / "read.json").read_text())["Measurements"]
    assert verdict["Finding"]["CodeMeaning"] == "Miliary pattern"
    assert len(groups) == len(NODULES)
    for group, nodule in zip(groups, screening.nodules, strict=False):
        assert group["TrackingIdentifier"] == f"MIPC nodule {nodule.nodule_id}"
        assert group["measurementAlgorithmIdentification"]["AlgorithmVersion"] == "0.1.0"
        values = {item["quantity"]["CodeMeaning"]: float(item["value"]) for item in group["measurementItems"]}
        assert values["Diameter"] == pytest.approx(nodule.diameter_mm.value, abs=0.1)
        assert values["Volume"] == pytest.approx(nodule.volume_mm3, abs=0.1)


@needs_dcmqi
def test_dcmqi_finds_the_balls_where_the_nodules_are(results, tmp_path):
    paths, screening, volume = results
    run(dcmqi("segimage2itkimage"), "--inputDICOM", paths[1], "--outputDirectory", tmp_path, "-t", "nrrd")
    image = sitk.ReadImage(str(tmp_path / "1.nrrd"))
    balls = sitk.LabelShapeStatisticsImageFilter()
    balls.Execute(sitk.ConnectedComponent(image))
    centres = np.array([balls.GetCentroid(label) for label in balls.GetLabels()])
    indices = index_of(volume, centres)
    assert len(centres) == len(NODULES)
    for nodule in screening.nodules[:-1]:
        away = np.abs(indices - index_of(volume, np.array([nodule.centre_mm]))).max(axis=1)
        # The third nodule is cut by the top of the scan.
        assert away.min() <= (0.5 if nodule.nodule_id != 3 else 0.9)
    whole = max(balls.GetPhysicalSize(label) for label in balls.GetLabels())
    assert whole == pytest.approx(np.pi / 6 * 9**3, rel=0.05)
