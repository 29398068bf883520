"""``twowire call``: one call on a gateway, as Twilio would place it, or as a SIP phone."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from twowire.caller.script import Plan, Press, Say, Step

if TYPE_CHECKING:
    from twowire.caller.recording import CallRecording
    from twowire.caller.result import CallResult

PASSWORD_VARIABLE = "TWOWIRE_CALL_PASSWORD"  # noqa: S105 - the name of a variable
REFUSED = 1
CANNOT_CONNECT = 3
_STEP_OPTIONS = ("say", "play", "dtmf")


class _OrderedSteps(click.Command):
    """Remembers in which order --say, --play and --dtmf were given: click sorts values by option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[__name__] = [option.name for option in order if option.name in _STEP_OPTIONS]
        return super().parse_args(ctx, args)


@click.command(cls=_OrderedSteps)
@click.argument("target", required=False, metavar="[SIP-URI]")
@click.option("--say", multiple=True, metavar="TEXT", help="Speak this, with the built-in voice. Repeatable.")
@click.option(
    "--play",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Play this wav: mono, G.711 at 8 kHz or 16-bit PCM. Repeatable.",
)
@click.option("--dtmf", multiple=True, metavar="KEYS", help="Press these keys: 0-9 * # A-D. Repeatable.")
@click.option(
    "--barge-in-at",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Interrupt: begin the last --say or --play this long after the agent's turn before it began.",
)
@click.option("--hang-up-after", type=click.FloatRange(min=0), metavar="SECONDS", help="Hang up then, in any case.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=120.0, show_default=True, help="Longest call in seconds."
)
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Stereo wav: left caller, right agent.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The gateway.")
@click.option(
    "--public-url", metavar="URL", help="The gateway's TWOWIRE_PUBLIC_URL, if it has one: signatures are over it."
)
@click.option("--user", metavar="NAME", help="SIP user name, for a password in TWOWIRE_CALL_PASSWORD.")
@click.option(
    "--srtp",
    type=click.Choice(["none", "sdes", "dtls"]),
    default="none",
    show_default=True,
    help="SIP: encrypt the media, with keys from the SDP or from DTLS.",
)
@click.option("--from", "caller", default="+15005550006", show_default=True, help="Number that calls.")
@click.option("--to", "callee", default="+15005550001", show_default=True, help="Number that is called.")
@click.option(
    "--auth-token",
    envvar="TWOWIRE_TWILIO_AUTH_TOKEN",
    default="twowire-demo-auth-token",
    help="The gateway's Twilio auth token (TWOWIRE_TWILIO_AUTH_TOKEN).  [default: that of `twowire demo`]",
)
@click.option(
    "--api-token",
    envvar="TWOWIRE_API_TOKEN",
    default="twowire-demo-api-token",
    help="The gateway's API token (TWOWIRE_API_TOKEN).  [default: that of `twowire demo`]",
)
@click.pass_context
def call(
    ctx: click.Context,
    /,
    say: tuple[str, ...],
    play: tuple[Path, ...],
    dtmf: tuple[str, ...],
    barge_in_at: float | None,
    hang_up_after: float | None,
    timeout: float,
    record: Path | None,
    as_json: bool,
    target: str | None,
    user: str | None,
    srtp: str,
    **line: Any,
) -> None:
    """Call a gateway as Twilio would, or as a SIP phone where a SIP-URI is given, and print what was heard
    and how long it took.

    Waits for the greeting to end, then says, plays and presses what it was given, in the order of the
    options, each after the agent's answer to the one before; hangs up after the last answer.

    \b
    Exit codes:
      0  the agent was heard and answered everything
      1  the call was refused, or an answer was not heard
      2  wrong usage, or speech that cannot be made
      3  no gateway at the address
    """
    steps = _steps(ctx.meta[__name__], say, play, dtmf)
    if barge_in_at is not None and not (steps and isinstance(steps[-1], Say)):
        raise click.UsageError("--barge-in-at needs a --say or --play to interrupt with, as the last step")
    plan = Plan(steps, barge_in_at, hang_up_after, timeout)
    caller = _twilio_caller(plan, **line) if target is None else _sip_caller(plan, target, user, srtp, **line)
    sys.exit(_place(caller, record, as_json))


def _steps(order: Sequence[str], say: Sequence[str], play: Sequence[Path], dtmf: Sequence[str]) -> list[Step]:
    """The steps in the order given. Raises click.UsageError when a text or a file cannot be made speech."""
    from model_worker.seams import TtsError
    from model_worker.tts.espeak import EspeakTts
    from twowire.caller.speech import recorded, speak
    from wire.audio.wav import WavError

    texts, files, keys = iter(say), iter(play), iter(dtmf)
    steps: list[Step] = []
    tts: EspeakTts | None = None
    try:
        for kind in order:
            if kind == "dtmf":
                steps.append(Press(_checked_keys(next(keys))))
            elif kind == "play":
                path = next(files)
                steps.append(Say(recorded(path), path.name))
            else:
                text = next(texts)
                tts = tts or EspeakTts()
                steps.append(Say(speak(text, tts), text))
    except TtsError as error:
        raise click.UsageError(f"--say: {error}; or play a recording with --play") from None
    except WavError as error:
        raise click.UsageError(f"--play: {error}") from None
    finally:
        if tts is not None:
            tts.close()
    return steps


def _checked_keys(keys: str) -> str:
    keys = keys.upper()
    if not keys or not set(keys) <= set("0123456789*#ABCD"):
        raise click.UsageError(f"--dtmf: expected keys out of 0-9 * # A-D, got {keys!r}")
    return keys


class _Caller(Protocol):
    async def run(self, recording: "CallRecording | None") -> "CallResult": ...


def _twilio_caller(
    plan: Plan,
    *,
    url: str,
    public_url: str | None,
    caller: str,
    callee: str,
    auth_token: str,
    api_token: str,
) -> _Caller:
    from twowire.caller.addresses import Addresses
    from twowire.caller.session import CallSession, Dialled

    for option, address in (("--url", url), ("--public-url", public_url)):
        if address is not None:
            _check_address(option, address)
    return CallSession(Addresses(url, public_url, auth_token), Dialled(caller, callee), plan, api_token)


def _sip_caller(
    plan: Plan, target: str, user: str | None, srtp: str, *, url: str, caller: str, api_token: str, **_twilio: Any
) -> _Caller:
    from gateway.sip.errors import SipParseError
    from gateway.sip.trunk import Credentials, MediaSecurity
    from gateway.sip.uri import SipUri, parse_uri
    from twowire.caller.sip_call import SipCaller, SipDialled

    _check_address("--url", url)
    try:
        uri = parse_uri(target)
    except SipParseError as error:
        raise click.UsageError(f"{target}: {error}") from None
    if not isinstance(uri, SipUri):
        raise click.UsageError(f"{target}: expected a sip: or sips: URI")
    password = os.environ.get(PASSWORD_VARIABLE, "")
    if user and not password:
        raise click.UsageError(f"--user: put the password into {PASSWORD_VARIABLE}")
    credentials = Credentials(user, password) if user else None
    return SipCaller(SipDialled(uri, caller, credentials, MediaSecurity(srtp)), plan, url.rstrip("/"), api_token)


def _check_address(option: str, address: str) -> None:
    if not address.startswith(("http://", "https://")):
        raise click.UsageError(f"{option}: expected an address that starts with http:// or https://, got {address}")


def _place(caller: _Caller, record: Path | None, json_wanted: bool) -> int:
    """Place the call and print it; the exit code."""
    import asyncio

    from twowire.caller.recording import CallRecording
    from twowire.caller.report import as_json, as_text, succeeded
    from twowire.caller.result import CallRefusedError, CannotConnectError

    with ExitStack() as stack:
        try:
            recording = None if record is None else stack.enter_context(CallRecording(record))
        except OSError as error:
            raise click.UsageError(f"--record: cannot write {record}: {error.strerror}") from None
        try:
            result = asyncio.run(caller.run(recording))
        except (CallRefusedError, CannotConnectError) as error:
            click.echo(f"Error: {error}", err=True)
            return REFUSED if isinstance(error, CallRefusedError) else CANNOT_CONNECT
    saved = None if record is None else str(record)
    click.echo(json.dumps(as_json(result, saved)) if json_wanted else as_text(result, saved))
    return 0 if succeeded(result) else REFUSED
