"""The TwiML we answer with, built by Twilio's own package so that everything is escaped."""

from collections.abc import Mapping, Sequence

from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from gateway.fallback import Greeting, Queue, Voicemail

POLL_S = 4
"""A slot that is free waits at most this long for who is next."""
RING_S = 30
"""Five or six rings: whoever is there has picked up by then."""


def connect_stream(stream_url: str, token: str, after_url: str) -> str:
    """Answer the call and open a bidirectional stream; ``after_url`` is asked when it ends."""
    response = VoiceResponse()
    connect = Connect(action=after_url, method="POST")
    connect.stream(url=stream_url).parameter(name="token", value=token)
    response.append(connect)
    return str(response)


def ask_again(after_url: str) -> str:
    """Have ``after_url`` asked once more in a second: another gateway will answer then."""
    response = VoiceResponse()
    response.pause(length=1)
    response.redirect(after_url, method="POST")
    return str(response)


def reject_busy() -> str:
    """Refuse before answering: the caller hears the busy tone and pays nothing."""
    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def wait(said: Sequence[Greeting], queue: Queue, place: int | None, queue_url: str) -> str:
    """Wait some seconds, then ask ``queue_url`` again. ``place`` is told, from 1; None: not now."""
    response = _greet(said)
    if place is not None and queue.say:
        response.say(queue.say.replace("{place}", str(place)))
    if queue.sound:
        response.play(queue.sound)
    else:
        response.pause(length=POLL_S)
    response.redirect(queue_url, method="POST")
    return str(response)


def dial(said: Sequence[Greeting], to: str, next_url: str) -> str:
    """Call somebody else; ``next_url`` is told how that ended, and says what comes next."""
    response = _greet(said)
    verb = Dial(timeout=RING_S, action=next_url, method="POST")
    if to.startswith(("sip:", "sips:")):
        verb.sip(to)
    else:
        verb.number(to)
    response.append(verb)
    return str(response)


def record(said: Sequence[Greeting], voicemail: Voicemail, after_url: str) -> str:
    """Take a message, then ask ``after_url``; unless it is named, Twilio asks for this document again, and again."""
    response = _greet(said)
    if voicemail.say:
        response.say(voicemail.say)
    response.record(max_length=voicemail.max_s, play_beep=True, finish_on_key="#", action=after_url, method="POST")
    response.hangup()  # after a silent message nobody is asked
    return str(response)


def go_on(said: Sequence[Greeting], next_url: str) -> str:
    """Say this first, then ask ``next_url``: nothing is held for the caller while a greeting plays."""
    response = _greet(said)
    response.redirect(next_url, method="POST")
    return str(response)


def part(said: Sequence[Greeting]) -> str:
    """The last words to a call that was answered."""
    response = _greet(said)
    response.hangup()
    return str(response)


def _greet(said: Sequence[Greeting]) -> VoiceResponse:
    response = VoiceResponse()
    for greeting in said:
        if greeting.say:
            response.say(greeting.say)
        if greeting.play:
            response.play(greeting.play)
    return response


def after_call(action: str, arguments: Mapping[str, str]) -> str:
    """What happens to the caller when the agent has left, by the action of ``effects.EndLeg``."""
    response = VoiceResponse()
    if action == "transfer":
        verb = Dial(timeout=RING_S)
        verb.number(arguments["to"])
        response.append(verb)
    elif action == "voicemail":
        response.record(max_length=120, play_beep=True, finish_on_key="#")
    elif action == "failed":
        response.say("We are sorry, this call cannot be continued. Please call again.")
    response.hangup()
    return str(response)
