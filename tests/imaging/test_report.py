import dataclasses
import io
import re
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from imaging import thresholds
from imaging.dicom import Problem, ProblemCode
from imaging.pictures import draw
from imaging.report import CohortRow, page_name, write_cohort_page, write_study_page
from records.errors import Reason
from records.model import VerdictLabel
from records.store import StoredStudy, open_store
from tests import browser
from tests.imaging.test_pictures import chest
from tests.records.examples import (
    PROVENANCE,
    miliary_screening,
    nodule,
    not_evaluable_screening,
    verdict,
)

HOSTILE = [
    '<script>alert("ran")</script>',
    '"><img src=x onerror=alert("ran")>',
    "</title></style><svg onload=alert('ran')>",
    "../../../etc/passwd",
    "{{ 7 * 7 }}{% raise %}",
    "Doe\0Jane",
    "x" * 10_000,
    "javascript:alert(1)",
    "\udc80\u202egnp.exe",
]

BALLS = [nodule(1, (-12.0, 6.0, 9.0), 5.0), nodule(2, (15.0, -4.0, -8.0), 4.0)]


def likely(uid, label, probability, **study_changes):
    judged = dataclasses.replace(verdict(), label=label, probability=probability)
    return dataclasses.replace(miliary_screening(uid, **study_changes), verdict=judged)


def cohort():
    """Return screenings in an order that is not that of the page; the first has pictures."""
    first = dataclasses.replace(miliary_screening("1.2.1"), nodules=tuple(BALLS))
    return [
        first,
        not_evaluable_screening("1.2.2", Reason.TOO_THICK),
        likely("1.2.3", VerdictLabel.NOT_MIPC, 0.02, patient_name="Roe^Richard"),
        likely("1.2.4", VerdictLabel.INDETERMINATE, 0.55, patient_name="Ng^Ada"),
        *(
            not_evaluable_screening(f"1.3.{number}", patient_name=text, patient_id=text, description=text)
            for number, text in enumerate(HOSTILE)
        ),
    ]


def write_report(folder, screenings, pictures=None):
    with open_store(folder / "mipc.db") as store:
        for number, screening in enumerate(screenings):
            store.save(StoredStudy.of(screening, "f", pictures if number == 0 else None))
        for stored in store.studies([screening.study.uid for screening in screenings]):
            write_study_page(stored, store, folder)
    problems = [Problem(f"in/{text}", ProblemCode.TRUNCATED, text) for text in HOSTILE]
    rows = map(CohortRow.of, screenings)
    write_cohort_page(rows, folder, PROVENANCE, problems=problems, other_files=3)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Write a report whose first study has pictures with two balls, marked."""
    folder = tmp_path_factory.mktemp("report")
    volume, lungs = chest(
        [(ball.centre_mm, ball.diameter_mm.value / 2) for ball in BALLS], shape=(90, 110, 120)
    )
    random = np.random.default_rng(3)
    volume.hu[:] += random.integers(-120, 120, volume.hu.shape, dtype=np.int16)
    write_report(folder, cohort(), draw(volume, lungs, BALLS).to_bytes())
    return folder


@pytest.fixture(scope="module")
def page():
    if browser.program() is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    with browser.running_browser() as opened:
        yield opened


def study_page(report, uid="1.2.1"):
    return report / "studies" / page_name(uid)


def column(page, number):
    """Return the words in a column of the cohort table, top down, as a reader sees them."""
    return page.evaluate(
        f"[...document.querySelectorAll('.cohort tbody tr')].filter((row) => !row.hidden)"
        f".map((row) => row.cells[{number}].innerText.trim())"
    )


def picture(page, *, plane="axial"):
    """Return what is drawn where a plane's picture is, and its place in the window."""
    box = page.evaluate(
        f"(() => {{ const box = document.querySelector('[data-plane={plane}] .slab:not([hidden]) img')"
        ".getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]; })()"
    )
    window = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    left, top, right, bottom = (round(edge) for edge in box)
    return window[top:bottom, left:right], (left, top)


def test_the_likeliest_study_is_first_and_the_unjudged_are_last(page, report):
    page.open(report / "report.html")
    assert column(page, 2)[:3] == ["Doe, Jane\nP-001", "Ng, Ada\nP-001", "Roe, Richard\nP-001"]
    assert column(page, 0)[:3] == ["MIPC criteria met", "Indeterminate", "Criteria not met"]
    assert set(column(page, 0)[3:]) == {"Not evaluable"}
    assert "Slices too thick." in column(page, 8)[-1]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_nothing_that_a_header_says_runs_on_a_study_page(page, report, number):
    page.open(study_page(report, f"1.3.{number}"))
    page.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert page.dialogs == []
    assert page.complaints == []
    assert page.requests == [study_page(report, f"1.3.{number}").as_uri()]
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_nothing_that_a_header_or_a_path_says_runs_on_the_cohort_page(page, report):
    page.open(report / "report.html")
    page.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert (page.dialogs, page.complaints) == ([], [])
    assert page.requests == [(report / "report.html").as_uri()]
    names = "\n".join(column(page, 2))
    assert '<script>alert("ran")</script>' in names  # shown, as what it is
    assert "\u202e" not in names
    assert page.evaluate("document.querySelectorAll('script, img, iframe, object').length") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_the_policy_alone_would_stop_a_script_that_was_not_escaped(page, report, tmp_path):
    text = (report / "report.html").read_text("utf-8")
    smuggled = tmp_path / "smuggled.html"
    smuggled.write_text(text.replace("<main>", "<main><script>alert('ran')</script>", 1), "utf-8")
    page.open(smuggled)
    assert page.dialogs == []
    assert any("Content Security Policy" in complaint for complaint in page.complaints)


def test_a_reason_is_told_as_its_words_are_spelled(tmp_path):
    write_report(
        tmp_path,
        [not_evaluable_screening("1.2.1", Reason.NO_CT), not_evaluable_screening("1.2.2", Reason.NOT_HU)],
    )
    pages = [tmp_path / "report.html", study_page(tmp_path, "1.2.1"), study_page(tmp_path, "1.2.2")]
    cohort_page, no_ct, not_hu = (path.read_text("utf-8") for path in pages)
    assert "No CT images" in cohort_page
    assert "No CT images" in no_ct
    assert "No Hounsfield units" in cohort_page
    assert "No Hounsfield units" in not_hu


def test_a_page_holds_all_it_shows(report):
    for path in (report / "report.html", study_page(report)):
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        assert not re.search(r'(src|href)="(?!data:|studies/|\.\./report\.html)', text)


def test_every_page_says_what_made_it(report):
    for path in (report / "report.html", study_page(report), study_page(report, "1.2.2")):
        text = path.read_text("utf-8")
        assert "mipc 0.1.0 · model none · protocol default" in text
        assert PROVENANCE.protocol_sha256 in text


def test_pictures_are_seen_with_their_greys(page, report):
    page.open(study_page(report))
    for plane in ("axial", "coronal", "sagittal"):
        seen, _ = picture(page, plane=plane)
        assert min(seen.shape[:2]) > 150
        assert len(np.unique(seen)) > 20


def test_marks_lie_around_the_nodules_and_hide_none_of_them(page, report):
    """Marks taken off, the bright balls are where the circles were, and the circles' lines are off them."""
    page.open(study_page(report))
    page.press("m")
    seen, (left, top) = picture(page)
    page.press("m")
    circles = page.evaluate(
        "[...document.querySelectorAll('[data-plane=axial] .slab:not([hidden]) circle')]"
        ".map((circle) => { const box = circle.getBoundingClientRect();"
        " return [(box.left + box.right) / 2, (box.top + box.bottom) / 2, box.width / 2]; })"
    )
    assert circles
    grey = seen.mean(axis=2)
    across, down = np.meshgrid(np.arange(grey.shape[1]), np.arange(grey.shape[0]))
    for x, y, radius in circles:
        distance = np.hypot(across - (x - left), down - (y - top))
        inside = (distance < radius) & (grey > 200)
        assert inside.any()
        assert across[inside].mean() == pytest.approx(x - left, abs=0.25 * radius)
        assert down[inside].mean() == pytest.approx(y - top, abs=0.25 * radius)
        assert distance[inside].max() < 0.8 * radius


def test_marks_can_be_taken_off(page, report):
    page.open(study_page(report))
    yellow = [int((np.ptp(picture(page)[0], axis=2) > 60).sum())]
    page.press("m")
    yellow.append(int((np.ptp(picture(page)[0], axis=2) > 60).sum()))
    assert yellow[0] > 20
    assert yellow[1] == 0


def test_keys_scroll_through_a_plane(page, report):
    page.open(study_page(report))
    shown = "document.querySelector('[data-plane=coronal] output').textContent"
    page.evaluate("document.querySelector('[data-plane=coronal] input').focus()")
    before = int(str(page.evaluate(shown)).split()[0])
    old, _ = picture(page, plane="coronal")
    page.press("ArrowLeft")
    assert int(str(page.evaluate(shown)).split()[0]) == before - 1
    assert not np.array_equal(picture(page, plane="coronal")[0], old)


@pytest.mark.parametrize("ball", BALLS, ids=lambda ball: f"nodule-{ball.nodule_id}")
def test_choosing_a_nodule_takes_every_plane_to_it(page, report, ball):
    page.open(study_page(report), height=2000)
    page.evaluate(f"document.querySelector('tr[data-nodule=\"{ball.nodule_id}\"] button').click()")
    chosen = page.evaluate(
        "[...document.querySelectorAll('.slab:not([hidden]) circle.chosen')]"
        ".map((circle) => circle.dataset.nodule)"
    )
    assert chosen == [str(ball.nodule_id)] * 3


def test_a_click_in_one_plane_moves_the_others_there(page, report):
    page.open(study_page(report), height=2000)
    page.evaluate("document.querySelector('tr[data-nodule=\"2\"] button').click()")
    seen, (left, top) = picture(page)
    page.click(left + 0.15 * seen.shape[1], top + 0.5 * seen.shape[0])
    sagittal = page.evaluate("document.querySelector('[data-plane=sagittal] output').textContent")
    assert str(sagittal).split()[0] in ("1", "2")  # far on the patient's right


def test_the_table_is_sorted_and_filtered_where_it_stands(page, report):
    page.open(report / "report.html")
    page.evaluate("document.querySelector('th[aria-sort] button').click()")
    assert column(page, 2)[-3:] == ["Roe, Richard\nP-001", "Ng, Ada\nP-001", "Doe, Jane\nP-001"]
    page.evaluate("document.querySelector('[data-filter=not_mipc]').click()")
    assert column(page, 2) == ["Roe, Richard\nP-001"]
    page.evaluate("document.querySelector('[data-filter=\"\"]').click()")
    page.evaluate(
        "(() => { const box = document.getElementById('search'); box.value = 'ada ng';"
        " box.dispatchEvent(new Event('input')); })()"
    )
    assert column(page, 2) == ["Ng, Ada\nP-001"]
    count = len(page.evaluate("[...document.querySelectorAll('.cohort tbody tr')].map((row) => row.hidden)"))
    # It stands outside the tools, which are not printed: part of a list should not pass for all of it.
    shown = "document.querySelector('main > #shown').innerText"
    assert page.evaluate(shown) == f"1 of {count} studies is shown, with “ada ng”."


def test_words_are_sorted_from_a_first_and_numbers_from_the_largest(page, report):
    page.open(report / "report.html")
    page.evaluate("document.querySelectorAll('th button')[2].click()")
    assert page.evaluate("document.querySelectorAll('th')[2].ariaSort") == "ascending"
    page.evaluate("document.querySelectorAll('th button')[4].click()")
    assert page.evaluate("document.querySelectorAll('th')[4].ariaSort") == "descending"
    page.evaluate("document.querySelectorAll('th button')[4].click()")
    assert page.evaluate("document.querySelectorAll('th')[4].ariaSort") == "ascending"


@pytest.mark.parametrize("width", [1400, 800])
@pytest.mark.parametrize("is_dark", [False, True])
def test_nothing_is_cut_off_at_the_side(page, report, width, is_dark):
    page.dark(is_dark)
    for path in (report / "report.html", study_page(report)):
        page.open(path, width=width)
        cut = page.evaluate(
            "[...document.querySelectorAll('.scroll')]"
            ".filter((box) => box.scrollWidth > box.clientWidth + 1).length"
        )
        assert cut == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.dark(False)


def test_a_page_is_written_again_only_when_its_study_changed(tmp_path):
    write_report(tmp_path, cohort())
    path = study_page(tmp_path, "1.2.3")
    path.write_text(path.read_text("utf-8") + "kept", "utf-8")
    write_report(tmp_path, cohort())
    assert path.read_text("utf-8").endswith("kept")
    changed = likely("1.2.3", VerdictLabel.NOT_MIPC, 0.03)
    write_report(tmp_path, [changed])
    assert not path.read_text("utf-8").endswith("kept")


def test_no_study_uid_leads_out_of_the_folder(tmp_path):
    uids = ["../../escaped", "/etc/passwd", "a\0b", "x" * 10_000, "\udc80"]
    write_report(tmp_path / "out", [not_evaluable_screening(uid) for uid in uids])
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert len(list((tmp_path / "out" / "studies").iterdir())) == len(uids)


def test_sentences_of_the_cohort_page_stand_apart(report):
    text = re.sub(r"<[^>]+>", "", (report / "report.html").read_text("utf-8"))
    assert "looked for on CT. Below each\nnumber of nodules stands its 90 % interval." in text
    assert "3 files that are no DICOM were passed over." in text


def test_every_threshold_that_can_be_moved_has_its_words():
    assert list(thresholds.WORDS) == list(thresholds.THRESHOLDS)


def luminance(colour):
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize(
    ("words", "behind"),
    [
        ("ink", "paper"),
        ("soft", "paper"),
        ("soft", "card"),
        ("flag-ink", "flag"),
        ("doubt-ink", "doubt"),
        ("clear", "paper"),
        ("none", "paper"),
        ("ink", "d0"),
        ("ink", "d3"),
        ("on-dark", "d4"),
        ("on-dark", "d5"),
    ],
)
def test_words_stand_out_from_what_is_behind_them(words, behind, is_dark):
    """At least 4.5 to 1: WCAG 2.2, success criterion 1.4.3 (AA)."""
    style = resources.files("imaging").joinpath("templates", "style.css").read_text("utf-8")
    light, dark = style.split("prefers-color-scheme: dark", 1)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    if is_dark:
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark.split("* {")[0]))
    darker, lighter = sorted(luminance(colours[name]) for name in (words, behind))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
