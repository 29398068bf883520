"""The TwiML we answer with, built by Twilio's own package so that everything is escaped."""

from collections.abc import Mapping

from twilio.twiml.voice_response import Connect, Dial, VoiceResponse


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
