import hashlib
from dataclasses import replace

import pytest

from imaging.protocol import PROTOCOL_FILE, ProtocolError, load_protocol

SHIPPED = PROTOCOL_FILE.read_text()


def test_the_shipped_protocol_names_itself_and_its_hash():
    protocol = load_protocol()
    assert protocol.name == "mipc-default"
    assert protocol.sha256 == hashlib.sha256(PROTOCOL_FILE.read_bytes()).hexdigest()
    assert protocol.profuse_least_nodules == 50.0


def test_every_section_has_a_source():
    assert all(source for source in load_protocol().sources.values())
    assert len(load_protocol().sources) == SHIPPED.count("\n[")


def test_a_changed_copy_is_used(tmp_path):
    file = tmp_path / "strict.toml"
    file.write_text(SHIPPED.replace("least_nodules = 50.0", "least_nodules = 100"))
    protocol = load_protocol(file)
    assert protocol.profuse_least_nodules == 100.0
    assert protocol.sha256 != load_protocol().sha256


BAD = [
    pytest.param(SHIPPED.replace("least_zones = 5.0\n", ""), "lacks diffuse_least_zones", id="entry-missing"),
    pytest.param(SHIPPED + "\n[colour]\nhue = 3\n", "unknown entries: colour_hue", id="entry-too-many"),
    pytest.param(SHIPPED.replace("50.0", '"fifty"', 1), "must be a number", id="text-for-a-number"),
    pytest.param(SHIPPED.replace("50.0", "true", 1), "must be a number", id="truth-for-a-number"),
    pytest.param("name = ", "not a TOML file", id="not-toml"),
    pytest.param(SHIPPED.replace("= 50.0", "= nan"), "between 0 and 1e\\+06, found nan", id="not-a-number"),
    pytest.param(SHIPPED.replace("= 50.0", "= inf"), "found inf", id="infinite"),
    pytest.param(SHIPPED.replace("= 50.0", "= 1" + 400 * "0"), "found 10000", id="larger-than-any-float"),
    pytest.param(SHIPPED.replace("= 50.0", "= 1" + 9999 * "0"), "not a TOML file", id="ten-thousand-digits"),
    pytest.param(SHIPPED.replace("= 50.0", "= -50.0"), "profuse.least_nodules .* found -50", id="negative"),
    pytest.param(
        SHIPPED.replace("least_fraction = 0.5", "least_fraction = 50"),
        r"tiny\.least_fraction must lie between 0 and 1, found 50",
        id="percent-for-a-share",
    ),
    pytest.param(
        SHIPPED.replace("zones = 5.0", "zones = 7"), "between 0 and 6, found 7", id="seven-of-six-zones"
    ),
    pytest.param(SHIPPED.replace("0.024", "0.0"), "prevalence must lie", id="a-disease-nobody-has"),
    pytest.param(SHIPPED.replace("0.024", "1"), "prevalence must lie", id="a-disease-everybody-has"),
    pytest.param("surprise = 3\n" + SHIPPED, "must be a section", id="threshold-outside-a-section"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_protocol_is_refused_with_a_sentence(tmp_path, text, words):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ProtocolError, match=words):
        load_protocol(file)


def test_a_missing_protocol_is_refused_with_its_path(tmp_path):
    with pytest.raises(ProtocolError, match=r"nowhere\.toml"):
        load_protocol(tmp_path / "nowhere.toml")


def test_ends_that_can_be_meant_are_taken(tmp_path):
    file = tmp_path / "strictest.toml"
    file.write_text(SHIPPED.replace("zones = 5.0", "zones = 6").replace("offset = 1.28", "offset = -1.28"))
    assert load_protocol(file).diffuse_least_zones == 6.0
    assert load_protocol(file).probability_offset == -1.28


def test_a_copy_that_an_editor_of_windows_saved_is_read(tmp_path):
    file = tmp_path / "windows.toml"
    file.write_bytes(SHIPPED.replace("\n", "\r\n").encode("utf-8-sig"))
    assert replace(load_protocol(file), sha256="") == replace(load_protocol(), sha256="")


def test_another_encoding_is_named(tmp_path):
    file = tmp_path / "latin.toml"
    file.write_bytes(SHIPPED.replace("mipc-default", "Prüfung").encode("latin-1"))
    with pytest.raises(ProtocolError, match="saved as UTF-8"):
        load_protocol(file)
