"""Agent files of engines that take instructions."""

from pathlib import Path

import pytest

from model_worker.dialog.brief import Mode
from model_worker.dialog.load import AgentFileError, load_agents, load_briefs

DESK = """\
name: front-desk
engine: realtime
instructions: |
  You answer for Smith Dental. Be brief.
greeting: Smith Dental, you are talking to a machine.
voice: {name: marin}
tools:
  hangup: true
  transfer: {reception: "+15550100200"}
on_sound:
  smoke alarm: {do: transfer, to: "+15550100911"}
"""
RECEPTIONIST = """\
name: menu
greeting: Hello.
questions:
  - {id: hours, key: 1, examples: [opening hours], answer: We are open.}
"""


def written(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory


def refused(directory: Path, text: str) -> AgentFileError:
    with pytest.raises(AgentFileError) as caught:
        load_briefs(written(directory, desk=text), "realtime")
    return caught.value


def test_a_line_has_instructions_and_what_the_model_may_do(tmp_path: Path) -> None:
    brief = load_briefs(written(tmp_path, desk=DESK), "realtime")["front-desk"]
    assert brief.instructions.startswith("You answer for Smith Dental.")
    assert brief.mode is Mode.DIALOG
    assert (brief.voice.name, brief.tools.hangup, brief.tools.voicemail) == ("marin", True, False)
    assert brief.tools.transfer == {"reception": "+15550100200"}
    assert brief.on_sound["smoke alarm"].action().arguments == {"to": "+15550100911"}


def test_files_of_several_engines_stand_side_by_side_and_each_takes_its_own(tmp_path: Path) -> None:
    directory = written(tmp_path, desk=DESK, menu=RECEPTIONIST)
    assert set(load_briefs(directory, "realtime")) == {"front-desk"}
    assert set(load_agents(directory)) == {"menu"}
    with pytest.raises(AgentFileError, match="no agent file with 'engine: moshi'"):
        load_briefs(directory, "moshi")


def test_two_lines_of_one_name_are_refused_whatever_answers_them(tmp_path: Path) -> None:
    with pytest.raises(AgentFileError, match="is the name in"):
        load_briefs(written(tmp_path, desk=DESK, menu=RECEPTIONIST.replace("menu", "front-desk")), "realtime")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (DESK.replace("realtime", "oracle"), 2, "engine"),
        (DESK.replace("greeting:", "greting:"), 5, "greting"),
        (DESK.replace("transfer, to", "hangup, to"), 11, "belongs to a transfer"),
        (DESK.replace('{do: transfer, to: "+15550100911"}', "{do: transfer}"), 11, "a transfer needs it"),
        (DESK.replace("+15550100200", "5550100200"), 9, "reception"),
        (DESK + "mode: translation\n", 1, "needs it"),
        (DESK + "into: de\n", 1, "belongs to the mode translation"),
        (DESK + "language: German\n", 12, "language"),
        ("name: empty\nengine: realtime\n", 1, "a dialog needs instructions"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    error = refused(tmp_path, text)
    assert problem in str(error)
    assert error.line == line


def test_a_translation_needs_no_instructions(tmp_path: Path) -> None:
    text = "name: desk\nengine: realtime\nmode: translation\nlanguage: en\ninto: zh-Hant\n"
    assert load_briefs(written(tmp_path, desk=text), "realtime")["desk"].into == "zh-Hant"
