"""The TwiML we answer with, built by Twilio's own package so that everything is escaped."""

from collections.abc import Mapping

from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from gateway.fallback import Greeting, Ladder, Queue, SmallerEngine, Transfer, Voicemail

POLL_S = 4
"""A slot that is free waits at most this long for who is next."""


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


def fall_back(ladder: Ladder) -> str:
    """The steps of a ladder without its queue, one after the other until one takes the call; none: the busy tone."""
    response = VoiceResponse()
    _append(response, ladder)
    return str(response)


def wait(ladder: Ladder, place: int | None, queue_url: str, *, greet: bool) -> str:
    """Wait some seconds, then ask ``queue_url`` again. ``place`` is told, from 1; None: not now.

    ``greet``: the steps before the queue come first.
    """
    response = VoiceResponse()
    queue = ladder.queue
    assert queue is not None, "a ladder in which callers wait"
    if greet:
        _append(response, ladder.before_queue(), end=False)
    if place is not None and queue.say:
        response.say(queue.say.replace("{place}", str(place)))
    if queue.sound:
        response.play(queue.sound)
    else:
        response.pause(length=POLL_S)
    response.redirect(queue_url, method="POST")
    return str(response)


def _append(response: VoiceResponse, ladder: Ladder, *, end: bool = True) -> None:
    for step in ladder.steps:
        match step:
            case Greeting(say, play):
                if say:
                    response.say(say)
                if play:
                    response.play(play)
            case Transfer(to):
                dial = Dial(timeout=30)
                if to.startswith(("sip:", "sips:")):
                    dial.sip(to)
                else:
                    dial.number(to)
                response.append(dial)
            case Voicemail(say, max_s):
                response.say(say)
                response.record(max_length=max_s, play_beep=True, finish_on_key="#")
            case SmallerEngine() | Queue():
                pass  # tried, or waited in, before
    if end:
        _end(response)


def _end(response: VoiceResponse) -> None:
    """A call that nothing was said to is refused, which costs nobody anything; others end."""
    if not response.verbs:
        response.reject(reason="busy")
    else:
        response.hangup()


def after_call(action: str, arguments: Mapping[str, str]) -> str:
    """What happens to the caller when the agent has left, by the action of ``effects.EndLeg``."""
    response = VoiceResponse()
    if action == "transfer":
        dial = Dial(timeout=30)
        dial.number(arguments["to"])
        response.append(dial)
    elif action == "voicemail":
        response.record(max_length=120, play_beep=True, finish_on_key="#")
    elif action == "failed":
        response.say("We are sorry, this call cannot be continued. Please call again.")
    response.hangup()
    return str(response)
