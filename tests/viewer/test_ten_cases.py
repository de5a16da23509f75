"""The whole way: packs out, ten cases read by keys alone, packs in, agreement, adjudication, labels."""

import csv
import json
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

pytest.importorskip("napari")

from mipc import app
from tests.viewer.screen import PYDANTIC_1, Hands, needs_screen
from tests.viewer.study import leaks, make_study, patient_id, secrets
from viewer.studykey import load_key

pytestmark = [needs_screen, pytest.mark.filterwarnings(PYDANTIC_1)]

PASSPHRASE = "seven round stones"
MILIARY = ("Tab", "Y", *"YYY", *"NNN", *"223223")
CLEAR = ("Tab", "Y", *"NNN", *"NNN", *"000000")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@contextmanager
def room_of(pack):
    from viewer.window.room import Room

    room = Room(pack)
    try:
        room.window.resize(1000, 700)  # a small canvas is drawn quickly
        hands = Hands(room)
        hands.wait_until_active()
        yield room, hands
    finally:
        room.close()


def read_by_keys(packs, reader: str, is_miliary) -> int:
    """Read a whole pack by keys alone, as somebody who sees what `is_miliary` says; return the reads."""
    key = load_key(packs)
    with room_of(packs / reader) as (room, hands):
        while room.session.desk.next_open() is not None:
            assert room.session.mode == "read"
            case = key.case(reader, room.session.item.case.code)
            if is_miliary(case.patient_id):
                hands.keys(*MILIARY)
                hands.type("4.5")
                hands.key("Tab")
                hands.type("2.5" if reader == "A" else "3")
                if room.session.desk.pack.protocol.asks_recist:
                    hands.keys("Ctrl+G", "Tab", "Tab")  # miliary disease is a non-target
                else:
                    hands.key("Tab")
                hands.key("5")
            else:
                hands.keys(*CLEAR, "Tab", "Tab", "4")  # no size to give
            hands.key("Down")
            hands.key("Ctrl+Return")
            assert room.panel.isVisible(), room.message.text()
            assert f"I am reader {reader}" in room.panel.words.text()
            for _ in range(2 if room.session.desk.needs_passphrase else 1):
                hands.type(PASSPHRASE)
                hands.key("Return")
            assert room.session.mode == "locked", room.message.text()
            hands.key("Ctrl+N")
        return room.session.desk.done


def test_ten_cases_by_keys_alone_to_final_labels(tmp_path):
    images, store = make_study(tmp_path, flagged=6, others=3, planes=10)
    packs, out = tmp_path / "packs", tmp_path / "out"
    said = run(
        "review", "prepare", images, "--store", store, "--readers", "A,B", "--controls", 2, "--repeats", 2,
        "--seed", 11, "--out", packs,
    )  # fmt: skip
    assert "10 cases" in said
    flagged = {patient_id(number) for number in range(6)}
    assert read_by_keys(packs, "A", lambda patient: patient in flagged) == 10
    assert read_by_keys(packs, "B", lambda patient: patient in flagged - {patient_id(4)}) == 10

    assert "1 discordant" in run("review", "collect", packs, "--out", out)
    judged = json.loads(run("review", "agreement", packs, "--json"))
    labels = {pair["second"]: pair["questions"][0] for pair in judged}
    assert labels["B"]["discordant"] == [patient_id(4)]
    agreement = {one["name"]: one["value"] for one in labels["B"]["coefficients"]}
    # 8 patients: 5 miliary by both, 2 by neither, 1 by A alone. Chance (6 x 5 + 2 x 3) / 64 = 0.5625.
    assert agreement["agreement"] == pytest.approx(7 / 8)
    assert agreement["kappa"] == pytest.approx((7 / 8 - 0.5625) / (1 - 0.5625))
    assert labels["A again"]["discordant"] == []
    bias = {size["name"]: size["limits"]["bias"] for size in judged[0]["sizes"]}
    assert bias == pytest.approx({"largest_mm": 0.0, "typical_mm": 0.5})

    assert "1 discordant" in run("review", "adjudicate", packs, "--reader", "C", "--seed", 1)
    assert read_by_keys(packs, "C", lambda patient: True) == 1
    run("review", "collect", packs, "--out", out)
    with (out / "labels.csv").open() as file:
        final = {row["patient_id"]: (row["verdict"], row["basis"]) for row in csv.DictReader(file)}
    assert final[patient_id(4)] == ("mipc", "adjudicated")
    assert sum(basis == "agreed" for _, basis in final.values()) == 7
    assert "verifies" in run("review", "verify", packs)
    for reader in "ABC":
        assert leaks(packs / reader, [*secrets(images), PASSPHRASE.encode()]) == []
