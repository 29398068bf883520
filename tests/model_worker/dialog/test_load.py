"""Agent files: read whole, or refused with the place and the remedy."""

import wave
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from model_worker.dialog.agent import Agent, Clip
from model_worker.dialog.load import SHIPPED_AGENTS, AgentFileError, load_agent, load_agents

SMALLEST = """\
name: desk
greeting: Hello, I am a machine.
questions:
  - id: hours
    key: 1
    examples: [opening hours]
    answer: We open at eight.
"""


def write(directory: Path, text: str, name: str = "desk.yaml") -> Path:
    path = directory / name
    path.write_text(text, "utf-8")
    return path


def write_clip(path: Path, *, channels: int = 1, rate_hz: int = 8_000, seconds: float = 0.5) -> None:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(bytes(round(seconds * rate_hz) * 2 * channels))


def refused(directory: Path, text: str) -> AgentFileError:
    with pytest.raises(AgentFileError) as caught:
        load_agent(write(directory, text))
    return caught.value


def test_four_fields_make_an_agent(tmp_path: Path) -> None:
    agent = load_agent(write(tmp_path, SMALLEST))
    assert isinstance(agent, Agent)
    assert agent.questions[0].key == "1"
    assert agent.failures.limit == 2


def test_the_shipped_front_desk_says_that_it_is_a_machine_and_knows_its_hours() -> None:
    agent = load_agents(SHIPPED_AGENTS)["front-desk"]
    assert "automated assistant" in str(agent.greeting)
    hours = next(question for question in agent.questions if question.id == "hours")
    assert "what are your opening hours" in hours.examples
    assert hours.answer == "We are open Monday to Friday from eight in the morning until six in the evening."


def test_every_agent_of_a_directory_is_found_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, SMALLEST)
    write(tmp_path, SMALLEST.replace("name: desk", "name: night"), "night.yml")
    assert set(load_agents(tmp_path)) == {"desk", "night"}


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, SMALLEST)
    write(tmp_path, SMALLEST, "other.yaml")
    with pytest.raises(AgentFileError, match=r"other.yaml: name: 'desk' is the name in .*desk.yaml too; rename one"):
        load_agents(tmp_path)


@pytest.mark.parametrize("directory", ["", "missing"])
def test_a_directory_without_agents_is_refused(tmp_path: Path, directory: str) -> None:
    with pytest.raises(AgentFileError, match=r"holds no|no such directory"):
        load_agents(tmp_path / directory)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "words"),
    [
        ("greeting:", "greting:", 2, "greting", "correct its spelling"),
        ("greeting: Hello, I am a machine.\n", "", 1, "greeting", "add it"),
        ("key: 1", "key: 11", 5, "questions[0].key", "one digit"),
        ("[opening hours]", "[yes]", 6, "questions[0].examples[0]", "YAML reads yes as true or false"),
        ("[opening hours]", "['?!']", 6, "questions[0].examples[0]", "a phrase a caller can say"),
        ("    answer: We open at eight.\n", "", 4, "questions[0]", "needs an answer"),
        ("    answer: We", "    then: transfer\n    answer: We", 1, "", "transfers the caller; add 'transfer:"),
        ("[opening hours]", "[opening hours, goodbye]", 1, "", "'goodbye' stands in question 'hours' and in goodbye"),
        ("name: desk", "name: desk\nname: two", 2, "name", "is given twice"),
        ("name: desk", "name: desk\ntransfer: {to: +15551234567}", 2, "transfer.to", "write it in quotes"),
        ("name: desk", 'name: desk\ntransfer: {to: "555 1234"}', 2, "transfer.to", "country code"),
        ("Hello, I am a machine.", "'...'", 2, "greeting", "expected words to speak"),
        ("Hello, I am a machine.", "{clip: a.wav}", 2, "greeting.text", "add it"),
        ("Hello, I am a machine.", "{clip: a.wav, text: Hi}", 0, "clip", "name a WAV file"),
        ("name: desk", "name: [desk", 2, "", "is not YAML"),
        ("name: desk", "name: desk\nx: !!python/name:os.system", 2, "", "is not YAML"),
    ],
)
def test_a_mistake_is_refused_with_its_line_field_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, field: str, words: str
) -> None:
    error = refused(tmp_path, SMALLEST.replace(old, new))
    assert words in error.problem
    assert (error.line, error.field) == (line, field)
    assert str(error).startswith(f"{tmp_path / 'desk.yaml'}")


def test_two_questions_cannot_share_a_key(tmp_path: Path) -> None:
    second = "  - {id: place, key: 1, examples: [address], answer: Here.}\n"
    assert "key '1' is given twice (questions 'hours' and 'place')" in refused(tmp_path, SMALLEST + second).problem


@pytest.mark.parametrize("text", ["", "just words", "- a list"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    refused(tmp_path, text)


def test_a_missing_binary_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentFileError, match="cannot be read"):
        load_agent(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(AgentFileError, match="UTF-8"):
        load_agent(tmp_path / "binary.yaml")
    with pytest.raises(AgentFileError, match="larger than"):
        load_agent(write(tmp_path, "#" * 300_000, "huge.yaml"))


def test_a_recording_is_found_beside_the_agent_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "hello.wav")
    agent = load_agent(write(tmp_path, SMALLEST.replace("Hello, I am a machine.", "{clip: hello.wav, text: Hello.}")))
    assert agent.greeting == Clip(clip=(tmp_path / "hello.wav").resolve(), text="Hello.")


@pytest.mark.parametrize("wrong", [{"channels": 2}, {"rate_hz": 11_025}, {"seconds": 121.0}])
def test_a_recording_of_the_wrong_shape_is_refused_with_the_right_one(tmp_path: Path, wrong: dict[str, int]) -> None:
    write_clip(tmp_path / "hello.wav", **wrong)
    error = refused(tmp_path, SMALLEST.replace("Hello, I am a machine.", "{clip: hello.wav, text: Hello.}"))
    assert "expected" in error.problem


def test_the_example_in_the_documentation_is_an_agent_file(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "AGENTS.md").read_text("utf-8")
    blocks = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    files = [block for block in blocks if "name" in (yaml.safe_load(block) or {})]
    assert files
    for number, block in enumerate(files):
        load_agent(write(tmp_path, block, f"{number}.yaml"))


STRANGE = [
    ("? [a, b]\n: c", 8),
    ("{[1]: 2}: 3", 8),
    ("time_up: 2026-13-45", 8),
    ("time_up: !!int foo", 8),
    ("time_up: !!bool foo", 8),
    ("time_up: !!timestamp foo", 8),
    ("time_up: !!float ''", 8),
    ("max_call_minutes: " + "9" * 5_000, 8),
    ("max_call_minutes: 1" + ":1" * 300 + ".5", 8),
    ('menu: {prompt: {clip: "a\\0b.wav", text: x}}', 0),
    ("menu: &m {examples: *m}", 8),
    ("menu: " + "[" * 5_000, 0),
]


@pytest.mark.parametrize(("field", "line"), STRANGE)
def test_the_strangest_file_is_refused_with_its_line(tmp_path: Path, field: str, line: int) -> None:
    error = refused(tmp_path, f"{SMALLEST}{field}\n")
    assert error.problem
    assert error.line == line


@pytest.mark.parametrize("merge", ["", "<<: "])
def test_aliases_that_multiply_are_refused_before_they_do(tmp_path: Path, merge: str) -> None:
    levels = ["a0: &a0 {x: y}"]
    levels += [f"a{n}: &a{n} {{{merge or 'k: '}[{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30)]
    error = refused(tmp_path, "\n".join(levels))
    assert (error.line, error.problem) == (2, "an alias stands here; write out what it means")


_TAGS = st.sampled_from(["", "!!int ", "!!float ", "!!bool ", "!!timestamp ", "!!binary ", "!!set ", "!!omap ", "&a "])
_VALUES = st.sampled_from([field.split(": ", 1)[-1] for field, _ in STRANGE]) | st.text(max_size=20)
_FIELDS = st.sampled_from(["name", "greeting", "questions", "menu", "max_call_minutes", "? [a]\n", "<<", "clip"])
_FILES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.text("[]{}:,-?&*!|>'\"#%@ \n\tab1.", max_size=60).map(str.encode),
    st.builds(lambda field, tag, value: f"{SMALLEST}{field}: {tag}{value}\n".encode(), _FIELDS, _TAGS, _VALUES),
    st.builds(
        lambda field, tag, value: f"{field}: {tag}{value}\n".encode() + SMALLEST.encode(), _FIELDS, _TAGS, _VALUES
    ),
)


@settings(deadline=None)
@given(written=_FILES)
def test_whatever_stands_in_a_file_it_is_an_agent_or_refused(
    tmp_path_factory: pytest.TempPathFactory, written: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(written)
    with suppress(AgentFileError):
        assert load_agent(path).name
