"""OHIF, in a headless browser, draws the report: each nodule as long, and where, as it was measured."""

import json
import time

import numpy as np
import pydicom
import pytest

from imaging.dicom.export import export_results
from imaging.dicom.nodes import DimseNode, Nodes, Ourselves
from imaging.dicom.pacs import open_archive, push
from tests import browser
from tests.imaging.dicom.results import NODULES, screened
from tests.ohif import needs_ohif, serving_ohif
from tests.orthanc import DICOM_PORT, needs_orthanc, running_orthanc
from tests.waiting import PATIENCE_SECONDS

pytestmark = [
    needs_orthanc,
    needs_ohif,
    pytest.mark.skipif(browser.program() is None, reason="Chromium is not installed"),
]


SERIES_THERE = """
window.services?.displaySetService?.getActiveDisplaySets().map(one => one.Modality).sort().join() === 'CT,SR'
"""
# The viewer has laid out its window by itself, and will not do so again over what is asked for.
LAID_OUT = """
window.services.viewportGridService.getActiveViewportId()
  && window.cornerstone.getRenderingEngines()?.[0]?.getViewports()[0]?.getCurrentImageId?.()
"""
SHOW_REPORT = """(() => {
  const { displaySetService, viewportGridService } = window.services;
  const report = displaySetService.getActiveDisplaySets().find(one => one.Modality === 'SR');
  const viewportId = viewportGridService.getActiveViewportId();
  viewportGridService.setDisplaySetsForViewports(
    [{ viewportId, displaySetInstanceUIDs: [report.displaySetInstanceUID] }]);
})()"""
# Places on the screen become places in the patient by the viewer's own arithmetic.
DRAWN = """(() => {
  const viewport = window.cornerstone.getRenderingEngines()[0]?.getViewports()[0];
  if (!viewport?.getCurrentImageId?.()) return '[]';
  const world = (x, y) => Array.from(viewport.canvasToWorld([x, y]));
  return JSON.stringify([...document.querySelectorAll('svg.svg-layer ellipse')].map(drawn => {
    const [cx, cy, rx, ry] = ['cx', 'cy', 'rx', 'ry'].map(name => Number(drawn.getAttribute(name)));
    return {
      ends: [world(cx - rx, cy), world(cx + rx, cy)],
      upright: [world(cx, cy - ry), world(cx, cy + ry)],
      words: document.querySelector('svg.svg-layer').textContent,
    };
  }));
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Open the report of four nodules in the viewer, and yield the tab and the screening."""
    folder = tmp_path_factory.mktemp("ohif")
    screening, study, volume, pictures = screened(folder / "in")
    paths = export_results(screening, study, pictures, folder / "dicom").paths
    with running_orthanc(folder / "orthanc") as orthanc, orthanc.entered():
        node = DimseNode("it", "127.0.0.1", DICOM_PORT, "ORTHANC")
        with open_archive(Nodes(Ourselves(host="127.0.0.1"), {"it": node}), "it") as archive:
            assert push(archive, [*sorted((folder / "in").iterdir()), *paths]) == []
        series = [study.series[0].uid, pydicom.dcmread(paths[0]).SeriesInstanceUID]
        with serving_ohif() as address, browser.running_browser() as tab:
            tab.open(
                f"{address}/viewer?StudyInstanceUIDs={study.study.uid}&SeriesInstanceUIDs={','.join(series)}"
            )
            wait_for(tab, SERIES_THERE)
            wait_for(tab, LAID_OUT)
            tab.evaluate(SHOW_REPORT)
            wait_for(tab, f"JSON.parse({DRAWN}).length > 0")
            yield tab, screening, volume


def wait_for(tab, expression):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not tab.evaluate(f"Boolean({expression.strip()})"):
        assert time.monotonic() < deadline, tab.complaints[-5:]
        time.sleep(0.2)


@pytest.mark.parametrize("number", range(len(NODULES)))
def test_each_nodule_is_drawn_as_long_and_where_it_was_measured(page, number):
    tab, screening, volume = page
    nodule = screening.nodules[number]
    nearest = round((nodule.centre_mm[2] - volume.origin_mm[2]) / volume.spacing_mm[0])
    image = volume.sop_instance_uids[min(nearest, len(volume.sop_instance_uids) - 1)]
    tab.evaluate(f"""(async () => {{
      const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
      await viewport.setImageIdIndex(viewport.getImageIds().findIndex(id => id.includes('/{image}/')));
      viewport.render();
    }})()""")
    label = f"Diameter: {nodule.diameter_mm.value:.2f} mm"
    wait_for(tab, f"JSON.parse({DRAWN})[0]?.words.includes('{label}')")
    (drawn,) = json.loads(tab.evaluate(DRAWN))
    ends, upright = np.array(drawn["ends"]), np.array(drawn["upright"])
    for line in (ends, upright):
        assert np.linalg.norm(line[1] - line[0]) == pytest.approx(nodule.diameter_mm.value, abs=0.1)
        # In the plane at its place; along the patient it lies on the slice nearest to its centre.
        np.testing.assert_allclose(line.mean(axis=0)[:2], nodule.centre_mm[:2], atol=0.05)


def test_the_verdict_is_told_beside_it(page):
    tab, _, volume = page
    tab.evaluate(f"""(async () => {{
      const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
      const image = '/{volume.sop_instance_uids[5]}/';
      await viewport.setImageIdIndex(viewport.getImageIds().findIndex(id => id.includes(image)));
      viewport.render();
    }})()""")
    wait_for(tab, f"JSON.parse({DRAWN})[0]?.words.includes('Number of lesions: 332.00')")
    assert [text for text in tab.complaints if "Error Boundary" in text] == []
