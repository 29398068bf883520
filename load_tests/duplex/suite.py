"""The conversations of a run: who calls whom, and what happens in each call."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence

from load_tests.duplex.caller import FRAME_S, Event, Scene, SipScene, Tape, TwilioScene
from load_tests.duplex.echo import EchoPath
from load_tests.duplex.figures import Rows
from load_tests.duplex.measures import SILENT_RMS, heard_words, levels, outcome
from load_tests.duplex.sounds import Kind, Repertoire, Sound
from load_tests.duplex.turns import added_latencies, turn_outcome
from load_tests.stack import Stack
from twowire.caller.addresses import Addresses
from twowire.caller.result import CallResult

SEED = 20_261_123
YIELDING, KEEPING, UNJUDGED = "+15550100001", "+15550100002", "+15550100003"
TURN_MS, WORD_MS = 36_000, 300  # longer than a call's sounds take: no turn ends by itself while one is judged
WORDS = " ".join(f"word{n}" for n in range(TURN_MS // WORD_MS))  # all different: a loop would be stopped
SCRIPT = f"""\
sessions: 64
default:
  judge: {{"{YIELDING}": "yield", "{KEEPING}": "keep"}}
  rules:
    - {{when: talk, rest: 2, say: {{ms: {TURN_MS}, watermark: true, text: "{WORDS}"}}}}
"""
"""An agent that never stops talking by itself, and judges a caller as his number says."""
_OVER = tuple(kind for kind in Kind if kind.over_voice)
_TAKING = tuple(kind for kind in _OVER if kind.takes_floor)
_OTHERS = tuple(kind for kind in _OVER if not kind.takes_floor)
SCRIPTED: tuple[tuple[str, str, tuple[Kind, ...]], ...] = (
    ("oracle", YIELDING, _TAKING),
    ("oracle", KEEPING, _OTHERS),
    ("adversary", KEEPING, _TAKING),
    ("adversary", YIELDING, _OTHERS),
    ("lengths only", UNJUDGED, _OVER),
)
"""Who judges: an engine that knows, one that is always wrong, or nobody, so that the gateway's own rules do."""
RECEPTIONIST = "receptionist"
ECHO_LOSS_DB = 12.0
ECHO_DELAYS_S = (0.1, 0.15, 0.2, 0.25, 0.3)
ECHO_CALLS = 12
ECHO_CALL_S = 66.0
MONOLOGUE = "monologue"
MONOLOGUE_YAML = """\
name: monologue
language: en
voice: {name: en-us, rate_wpm: 160, pitch: 45}
greeting: >-
  This is what we have to tell you today, and it takes a while.
  We are open Monday to Friday from eight in the morning until six in the evening.
  You find us at twelve Mill Lane, opposite the library. The bus stop is River Street.
  A check up is sixty dollars, and a cleaning is ninety dollars.
  We tell you the price of any other treatment before we begin.
  Whoever wants an appointment leaves a name and a number, and is called back.
  On Saturdays we are closed, and on the first Monday of each month we open at ten.
  Who comes by car finds a place behind the house, and the entrance is on the side of the garden.
  Children are welcome, and there is a room in which they can play while you wait.
  Please bring your card, a list of what you take, and half an hour more than you think you need.
  If you are in pain, say so at once, and we will see you on the same day.
  In the holidays our colleagues on the other side of the river are there for you.
  Their number is on our door, and on the tape that you hear when you call at night.
  Thank you for listening to all of this, and for your patience with a machine.
questions:
  - id: end
    key: 1
    examples: [the end]
    answer: Goodbye.
"""
"""An agent file whose greeting is a minute and more of speech."""

_SCRIPTED_AT_ONCE, _RECEPTIONISTS_AT_ONCE = 16, 6
_SOUNDS_A_CALL, _TURNS_A_CALL = 4, 2

DOORS = ("twilio", "sip")


Take = Callable[[Scene, Tape, CallResult], None]


def scripted_scenes(repertoire: Repertoire, each: int) -> list[Scene]:
    """Sounds over a voice that never ends; ``each`` of every kind and policy."""
    chance = random.Random(SEED)
    scenes = []
    for policy, number, kinds in SCRIPTED:
        sounds = [sound for kind in kinds for sound in repertoire.sounds(kind, each, SEED)]
        chance.shuffle(sounds)
        scenes += [
            Scene(policy, number, tuple(Event(sound, chance.uniform(0.8, 1.8)) for sound in some))
            for some in _portions(sounds, _SOUNDS_A_CALL)
        ]
    return scenes


def receptionist_scenes(repertoire: Repertoire, each: int) -> list[Scene]:
    """One sound over each greeting, and turns of real speech after it."""
    chance = random.Random(SEED)
    sounds = [sound for kind in _OVER for sound in repertoire.sounds(kind, each, SEED)]
    scenes = [Scene(RECEPTIONIST, UNJUDGED, (Event(sound, chance.uniform(0.8, 3.0)),)) for sound in sounds]
    turns = repertoire.sounds(Kind.TURN, each, SEED)
    for some in _portions(turns, _TURNS_A_CALL):
        events = tuple(Event(sound, chance.uniform(1.0, 1.4)) for sound in some)
        scenes.append(Scene(RECEPTIONIST, UNJUDGED, events, rest_s=6.0))
    return scenes


def echo_scenes() -> list[Scene]:
    """Callers who only listen, on telephones that send back what they play."""
    paths = [
        EchoPath(ECHO_LOSS_DB, ECHO_DELAYS_S[call % len(ECHO_DELAYS_S)], SEED + call) for call in range(ECHO_CALLS)
    ]
    return [Scene("echo", UNJUDGED, (), echo=path, limit_s=ECHO_CALL_S) for path in paths]


def caller(stack: Stack, door: str, scene: Scene, tape: Tape) -> TwilioScene | SipScene:
    """Who plays a scene through ``door``."""
    if door == "sip":
        return SipScene(stack.sip_address, stack.gateway_url, stack.api_token, scene, tape)
    return TwilioScene(Addresses(stack.gateway_url, None, stack.auth_token), stack.api_token, scene, tape)


async def play(
    stack: Stack, scenes: Iterable[Scene], at_once: int, take: Take, failed: list[str], door: str = "twilio"
) -> None:
    """All scenes through a door of ``stack``, so many at once. A call that fails is a finding."""
    gate = asyncio.Semaphore(at_once)

    async def one(scene: Scene) -> None:
        tape = Tape()
        async with gate:
            try:
                result = await caller(stack, door, scene, tape).run(tape)
            except Exception as error:  # counted
                failed.append(f"{scene.policy}: {error}")
                return
        take(scene, tape, result)

    calls: list[Awaitable[None]] = [one(scene) for scene in scenes]
    await asyncio.gather(*calls)


async def run_scripted(stack: Stack, repertoire: Repertoire, each: int, rows: Rows, door: str) -> None:
    """What the gateway does, whoever judges."""

    def take(scene: Scene, tape: Tape, result: CallResult) -> None:
        rows.late_s += tape.late_s
        rows.outcomes.setdefault(scene.policy, []).extend(outcome(tape, made, watermarked=True) for made in tape.made)
        rows.show(scene.policy, tape, result.record.get("overlaps", ()))
        if door == "twilio":  # at the others chunks end anywhere within a frame
            rows.added_s += added_latencies(tape)
        told = [
            len(words["heard"].split())
            for words in result.record.get("transcript", ())
            if words["voice"] == "agent" and words["heard"]
        ]
        ear = heard_words(tape)
        errors = [theirs - ours for theirs, ours in zip(told, ear, strict=False)]
        rows.word_errors += errors
        if any(abs(error) > 1 for error in errors) or abs(len(told) - len(ear)) > 1:
            rows.misheard.append(f"{scene.policy}: told {told}, heard {ear}")

    await play(stack, scripted_scenes(repertoire, each), _SCRIPTED_AT_ONCE, take, rows.failed, door)


async def run_receptionist(stack: Stack, repertoire: Repertoire, each: int, rows: Rows, door: str) -> None:
    """What the shipped agent does, as a whole."""

    def take(scene: Scene, tape: Tape, result: CallResult) -> None:
        rows.late_s += tape.late_s
        rows.show(scene.policy, tape, result.record.get("overlaps", ()))
        for made in tape.made:
            if made.sound.kind.over_voice:
                rows.outcomes.setdefault(scene.policy, []).append(outcome(tape, made, watermarked=False))
            else:
                rows.turns.append(turn_outcome(tape, made))

    await play(stack, receptionist_scenes(repertoire, each), _RECEPTIONISTS_AT_ONCE, take, rows.failed, door)


async def run_echo(stack: Stack, rows: Rows) -> None:
    """More than ten minutes of an agent who hears himself. The gateway's record says how often he was stopped."""

    def take(scene: Scene, tape: Tape, result: CallResult) -> None:
        rows.late_s += tape.late_s
        rows.show(scene.policy, tape, result.record.get("overlaps", ()))
        ends = [overlap["end"] for overlap in result.record.get("overlaps", ())]
        rows.echo.calls += 1
        rows.echo.agent_s += float((levels(tape.heard) >= SILENT_RMS).sum()) * FRAME_S
        rows.echo.ducked += len(ends)
        rows.echo.false_barge_ins += sum(end in ("yielded", "resumed") for end in ends)

    await play(stack, echo_scenes(), ECHO_CALLS, take, rows.failed)


def _portions(sounds: Sequence[Sound], size: int) -> Iterable[Sequence[Sound]]:
    return (sounds[at : at + size] for at in range(0, len(sounds), size))
