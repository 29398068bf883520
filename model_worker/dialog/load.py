"""Read agent files. Every error names the file, the line, the field and what to do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from model_worker.dialog.agent import Agent, Clip
from model_worker.dialog.brief import Brief
from model_worker.dialog.plain_yaml import PlainLoader, PlainYamlError
from wire.audio.wav import WavError, read_wav

MAX_FILE_BYTES = 256 * 1024  # a hundred times the longest we wrote; more is not an agent file

SHIPPED_AGENTS = Path(__file__).parent.parent / "agents"
"""The agent files that come with the package."""

_Location = tuple[int | str, ...]
_FoundT = TypeVar("_FoundT")


class AgentFileError(Exception):
    """An agent file cannot be used. ``line`` counts from 1, 0 where the file as a whole is meant."""

    def __init__(self, path: Path, line: int, field: str, problem: str) -> None:
        self.path, self.line, self.field, self.problem = path, line, field, problem
        place = f"{path}:{line}" if line else f"{path}"
        super().__init__(f"{place}: {field}: {problem}" if field else f"{place}: {problem}")


def load_agents(directory: Path) -> dict[str, Agent]:
    """The receptionist's agents of ``*.yaml`` and ``*.yml`` in a directory, by name. Raises AgentFileError."""
    agents = {name: agent for name, agent in _load_all(directory).items() if isinstance(agent, Agent)}
    return _some(agents, directory, "receptionist")


def load_briefs(directory: Path, engine: str) -> dict[str, Brief]:
    """The agents of another engine there, by name. Raises AgentFileError."""
    briefs = {
        name: brief
        for name, brief in _load_all(directory).items()
        if isinstance(brief, Brief) and brief.engine == engine
    }
    return _some(briefs, directory, engine)


def _some(found: dict[str, _FoundT], directory: Path, engine: str) -> dict[str, _FoundT]:
    if not found:
        wanted = f"holds no agent file with 'engine: {engine}'; write one (docs/AGENTS.md)"
        raise AgentFileError(directory, 0, "", wanted)
    return found


def _load_all(directory: Path) -> dict[str, Agent | Brief]:
    if not directory.is_dir():
        raise AgentFileError(directory, 0, "", "no such directory; name the one that holds the agent files")
    agents: dict[str, Agent | Brief] = {}
    files: dict[str, Path] = {}
    for path in sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")]):
        agent = load_agent(path)
        if agent.name in agents:
            raise AgentFileError(path, 0, "name", f"{agent.name!r} is the name in {files[agent.name]} too; rename one")
        agents[agent.name] = agent
        files[agent.name] = path
    if not agents:
        raise AgentFileError(directory, 0, "", "holds no *.yaml file; add an agent file (docs/AGENTS.md)")
    return agents


def load_agent(path: Path) -> Agent | Brief:
    """One agent file, checked, with the paths of its clips made absolute. Raises AgentFileError."""
    try:
        return _load(path)
    except RecursionError as error:
        raise AgentFileError(path, 0, "", "is nested too deeply; an agent file needs five levels") from error
    except (ValueError, RuntimeError) as error:  # a clip whose name no file can have, or a loop of links
        raise AgentFileError(path, 0, "", f"cannot be used: {error}") from error


def _load(path: Path) -> Agent | Brief:
    root = _parse(path)
    _refuse_twice(path, root)
    try:
        data = PlainLoader("").construct_document(root)
        if data.get("engine", "receptionist") != "receptionist":
            return Brief.model_validate(data)
        agent = Agent.model_validate(_clips_from(path.parent, data))
    except yaml.YAMLError as error:
        raise _not_plain_yaml(path, error) from error
    except ValidationError as error:
        raise _explain(path, root, error) from error
    for spoken in agent.spoken():
        if isinstance(spoken, Clip):
            _check_clip(path, spoken.clip)
    return agent


def _parse(path: Path) -> yaml.Node:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise AgentFileError(
                path, 0, "", f"is larger than {MAX_FILE_BYTES} bytes; an agent file is text of a few kB"
            )
        root = yaml.compose(path.read_text("utf-8"), Loader=PlainLoader)
    except OSError as error:
        raise AgentFileError(path, 0, "", f"cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise AgentFileError(path, 0, "", "is not UTF-8 text; save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise _not_plain_yaml(path, error) from error
    if not isinstance(root, yaml.MappingNode):
        raise AgentFileError(path, 1, "", "expected 'name: ...' and further fields (docs/AGENTS.md)")
    return root


def _not_plain_yaml(path: Path, error: yaml.YAMLError) -> AgentFileError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 0
    problem = getattr(error, "problem", None) or str(error)
    if isinstance(error, PlainYamlError):
        return AgentFileError(path, line, "", problem)
    return AgentFileError(path, line, "", f"is not YAML: {problem}; check indentation and quotes")


def _refuse_twice(path: Path, root: yaml.Node) -> None:
    """YAML lets a later field of the same name win without a word."""
    for node in _walk(root):
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise AgentFileError(path, key.start_mark.line + 1, "", "expected a word as the name of a field")
                if key.value in seen:
                    raise AgentFileError(path, key.start_mark.line + 1, key.value, "is given twice; remove one")
                seen.add(key.value)


def _walk(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _walk(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _walk(value)


def _clips_from(directory: Path, data: Any) -> Any:
    """``data`` with every ``clip:`` made a path from the agent file's directory."""
    if isinstance(data, dict):
        resolved = {key: _clips_from(directory, value) for key, value in data.items()}
        if isinstance(resolved.get("clip"), str):
            resolved["clip"] = str((directory / resolved["clip"]).resolve())
        return resolved
    return [_clips_from(directory, value) for value in data] if isinstance(data, list) else data


def _explain(path: Path, root: yaml.Node, error: ValidationError) -> AgentFileError:
    """The first thing that is wrong, at its line."""
    # A misspelt field is missing under its right name as well: the misspelling is what to correct.
    details = min(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
    node, field = _find(root, details["loc"])
    problem = details["msg"].removeprefix("Value error, ")
    return AgentFileError(path, node.start_mark.line + 1, field, problem + _remedy(details["type"], field, node))


def _find(root: yaml.Node, location: _Location) -> tuple[yaml.Node, str]:
    """The node a location of pydantic's means, as deep as it exists, and its name as an author would write it."""
    node, name = root, ""
    for part in location:
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == str(part)), None)
            if inner is None and part is location[-1]:
                return node, f"{name}.{part}".lstrip(".")
            if inner is None:
                continue  # "words" or "recording": the form of a prompt, not a field
            node, name = inner, f"{name}.{part}".lstrip(".")
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node, name = node.value[part], f"{name}[{part}]"
    return node, name


def _remedy(kind: str, field: str, node: yaml.Node) -> str:
    written = node.value if isinstance(node, yaml.ScalarNode) else ""
    if kind == "extra_forbidden":
        return "; remove it or correct its spelling (docs/AGENTS.md lists the fields)"
    if kind == "missing":
        return "; add it"
    if kind == "string_type" and node.tag == "tag:yaml.org,2002:bool":
        return f"; YAML reads {written} as true or false, write it in quotes"
    if kind == "string_type" and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        return f'; write it in quotes: "{written}"'
    if kind == "string_pattern_mismatch" and field.endswith("transfer.to"):
        return "; write the number as +, country code, digits without spaces"
    if kind == "string_pattern_mismatch" and field.endswith("key"):
        return "; a key is one digit, 0 to 9 (* says the menu, # ends the call)"
    return ""


def _check_clip(path: Path, clip: Path) -> None:
    try:
        read_wav(clip)
    except WavError as error:
        raise AgentFileError(path, 0, "clip", f"{error}; name a WAV file beside the agent file") from error
