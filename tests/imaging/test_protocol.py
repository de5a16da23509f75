import hashlib

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
