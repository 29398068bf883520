"""The reply of a chat model as bytes, whole and in pieces."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model_worker.answers.chat_stream import (
    MAX_ARGUMENTS_CHARACTERS,
    MAX_EVENT_BYTES,
    MAX_FUNCTIONS,
    MAX_REPLY_BYTES,
    Called,
    ChatEvent,
    ChatStream,
    Delta,
    Failed,
    Finished,
    fault_of_status,
)
from model_worker.answers.seam import AnswerFault, FunctionWanted

DONE = b"data: [DONE]\n\n"


def chunk(content: str | None = None, finish_reason: str | None = None, **delta: object) -> bytes:
    """One event as vLLM sends it."""
    if content is not None:
        delta["content"] = content
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason, "token_ids": None}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def read(*pieces: bytes) -> list[ChatEvent]:
    """The events of a whole reply; words that follow each other are joined."""
    stream = ChatStream()
    events = [event for piece in pieces for event in stream.feed(piece)] + stream.end()
    assert stream.ended
    return joined(events)


def joined(events: list[ChatEvent]) -> list[ChatEvent]:
    text = "".join(event.text for event in events if isinstance(event, Delta))
    rest = [event for event in events if not isinstance(event, Delta)]
    ends = [event for event in events if isinstance(event, Finished | Failed)]
    assert events[-1:] == ends, "one event ends a reply, and nothing follows it"
    return [*([Delta(text)] if text else []), *rest]


def fault(*pieces: bytes) -> AnswerFault:
    last = read(*pieces)[-1]
    assert isinstance(last, Failed), last
    return last.fault


USAGE = {"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
VLLM = chunk(role="assistant", content="") + chunk("We are ") + chunk("open, ") + chunk("José 🥐") + chunk("", "stop")
REPLIES = [
    VLLM + event(USAGE) + DONE,
    VLLM,
    chunk("We are ") + DONE,
    chunk("We are "),
    b": hello\r\n\r\n" + VLLM.replace(b"\n", b"\r\n") + DONE,
    VLLM.replace(b"\n", b"\r"),
    b"\xef\xbb\xbf" + VLLM,
    b'data: {"choices": [{"delta":\ndata: {"content": "We"}}]}\n\nevent: x\nid: 4\nretry: 3\ndata:[DONE]\n\n',
    chunk("We") + b'data: {"choices": 3}\n\n' + chunk("never"),
    chunk("We") + b"data: {not json\n\n",
    chunk("We") + b"data: \xff\xfe\n\n",
    chunk("We") + b"<html>\n" + chunk("never"),
    chunk("We") + event({"error": {"message": "secret", "code": 503}}),
    chunk("We") + chunk("")[:-9],
    chunk("We are ") + b"data: [DONE]",
    b"",
    b'data: {"choices": [{"delta":\r\ndata: {"content": "We"}}]}\r\n\r\n',
]


@given(st.sampled_from(REPLIES), st.lists(st.integers(0, 1200), max_size=8))
@example(REPLIES[4], [7, 8, 9])
def test_any_split_gives_the_same_events(reply: bytes, cuts: list[int]):
    edges = [0, *sorted(cuts), len(reply)]
    assert read(*(reply[start:end] for start, end in pairwise(edges))) == read(reply)


@pytest.mark.parametrize("reply", REPLIES)
def test_byte_by_byte_gives_the_same_events(reply: bytes):
    assert read(*(reply[at : at + 1] for at in range(len(reply)))) == read(reply)


@given(st.binary(max_size=300))
def test_anything_ends_in_one_last_event(reply: bytes):
    assert isinstance(read(reply)[-1], Finished | Failed)


def test_the_words_of_a_whole_reply():
    assert read(REPLIES[0]) == [Delta("We are open, José 🥐"), Finished("stop")]


@pytest.mark.parametrize("reply", REPLIES[4:7])
def test_other_line_ends_comments_and_a_byte_order_mark_change_nothing(reply: bytes):
    assert read(reply) == read(VLLM)


def test_words_are_given_before_the_event_after_them_is_there():
    stream = ChatStream()
    assert stream.feed(chunk("We are ") + chunk("open")[:20]) == [Delta("We are ")]
    assert stream.feed(chunk("open")[20:]) == [Delta("open")]


def test_the_end_is_told_without_waiting_for_done():
    stream = ChatStream()
    assert stream.feed(chunk("Bye", "length")) == [Delta("Bye"), Finished("length")]
    assert stream.feed(DONE + b"whatever") == []
    assert stream.end() == []


def test_done_alone_ends_an_answer():
    assert read(chunk("We"), DONE) == [Delta("We"), Finished()]


def test_an_event_over_several_lines_is_one():
    assert read(REPLIES[7]) == [Delta("We"), Finished()]


def test_done_counts_without_a_line_end():
    assert read(b"data: [DONE]") == [Finished()]


def test_what_a_model_thinks_is_not_said():
    thinking = chunk(reasoning_content="The caller wants") + chunk(reasoning="bread") + chunk(None, "stop")
    assert read(thinking) == [Finished("stop")]


def said(*texts: str) -> str:
    events = read(*(chunk(text) for text in texts), chunk(None, "stop"))
    assert events[-1] == Finished("stop")
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize(
    ("reply", "heard"),
    [
        ("<think>He wants bread.</think>We are open.", "We are open."),
        ("\n<think>\n\n</think>\n\nYes.", "\n\nYes."),
        ("<think>for ever", ""),
        ("<thin ice> is no thought", "<thin ice> is no thought"),
        ("<th", "<th"),
        ("Say <think>this</think>.", "Say <think>this</think>."),
        (" Yes.", " Yes."),
    ],
)
def test_thoughts_before_the_answer_are_not_said_however_they_are_cut(reply: str, heard: str):
    assert said(reply) == heard
    assert said(*reply) == heard
    assert said(*(reply[at : at + 5] for at in range(0, len(reply), 5))) == heard


def test_another_choice_is_not_said():
    other = {"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}
    assert read(event({"choices": [other]}), VLLM) == read(VLLM)


@pytest.mark.parametrize("reply", [b"", b": still here\n\n", chunk("We"), chunk("We") + chunk("are")[:-9], b"dat"])
def test_a_reply_that_ends_before_its_answer_was_cut(reply: bytes):
    assert fault(reply) is AnswerFault.CUT


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_answer_that_the_server_gave_up_was_cut(reason: str):
    assert read(chunk("We", reason)) == [Delta("We"), Failed(AnswerFault.CUT, "the server gave the answer up")]


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>\n",
        b'{"choices": []}\n',
        b"data: {not json\n\n",
        b"data: \xff\n\n",
        b"data: 7\n\n",
        b"data: {}\n\n",
        b'data: {"choices": {}}\n\n',
        b'data: {"choices": [{"delta": {"content": ["We"]}}]}\n\n',
        b'data: {"choices": [{"index": "0"}]}\n\n',
        b'data: {"choices": [], "x": ' + b"[" * 30_000 + b"\n\n",
    ],
)
def test_garbage_is_refused(garbage: bytes):
    assert fault(garbage) is AnswerFault.BAD_REPLY
    assert read(chunk("We") + garbage + chunk("never"))[0] == Delta("We")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"error": {"message": "too many", "code": 429}}, AnswerFault.OVERLOADED),
        ({"error": {"message": "the key", "code": "401"}}, AnswerFault.REFUSED),
        ({"error": {"message": "too long", "code": 400}}, AnswerFault.BAD_REPLY),
        ({"error": "out of order"}, AnswerFault.BAD_REPLY),
        ({"error": {"code": {"deep": 1}}}, AnswerFault.BAD_REPLY),
        ({"object": "error", "message": "busy", "code": 503}, AnswerFault.OVERLOADED),
    ],
)
def test_an_error_in_the_stream_says_whose_it_is(error: dict[str, object], expected: AnswerFault):
    assert fault(chunk("We") + event(error)) is expected


def test_what_the_server_says_of_an_error_is_not_passed_on():
    assert "sk-1" not in repr(read(event({"error": {"message": "wrong key sk-1", "code": 401}})))


def test_a_line_may_be_as_long_as_the_limit_and_no_longer():
    longest = b":" + b"x" * (MAX_EVENT_BYTES - 1)
    assert read(longest + b"\n" + DONE) == [Finished()]
    for reply in (longest + b"x\n" + DONE, longest + b"xx"):
        assert fault(reply) is AnswerFault.BAD_REPLY
        assert fault(reply[:1000], reply[1000:]) is AnswerFault.BAD_REPLY


def test_an_event_may_not_be_longer_than_a_line():
    assert fault(b"data: xxxxxxxxx\n" * (MAX_EVENT_BYTES // 15 + 1)) is AnswerFault.BAD_REPLY


def test_a_reply_without_end_is_refused():
    stream = ChatStream()
    comment = b":" + b" " * 1022 + b"\n"
    for _ in range(MAX_REPLY_BYTES // len(comment)):
        assert stream.feed(comment) == []
    (failed,) = stream.feed(b"\n")
    assert isinstance(failed, Failed)
    assert failed.fault is AnswerFault.BAD_REPLY


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "refused"), (403, "refused"), (429, "overloaded"), (503, "overloaded"), (502, "unreachable")]
    + [(status, "bad_reply") for status in (204, 302, 400, 404, 500)],
)
def test_every_status_is_some_fault(status: int, expected: str):
    assert fault_of_status(status) == expected


def calls(index: int = 0, name: str | None = None, arguments: str | None = None) -> bytes:
    """A part of a function call as OpenAI and vLLM send it: the name first, the arguments bit by bit."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    opening = {"id": f"call_{index}", "type": "function"} if name is not None else {}
    return chunk(tool_calls=[{"index": index, **opening, "function": function}])


TRANSFER = calls(0, "transfer", "") + calls(0, arguments='{"to": ') + calls(0, arguments='"sales"}')


@given(st.lists(st.integers(0, 600), max_size=5))
def test_a_function_call_comes_with_the_end_of_the_answer(cuts: list[int]) -> None:
    reply = chunk("One moment.") + TRANSFER + chunk(finish_reason="tool_calls") + DONE
    places = sorted({0, len(reply), *(cut % len(reply) for cut in cuts)})
    assert read(*(reply[start:end] for start, end in pairwise(places))) == [
        Delta("One moment."),
        Called(FunctionWanted("transfer", '{"to": "sales"}')),
        Finished("tool_calls"),
    ]


def test_functions_that_are_called_together_keep_their_order_and_their_arguments() -> None:
    reply = calls(1, "hangup", "{}") + TRANSFER + calls(2, None, "{}") + chunk(finish_reason="tool_calls")
    called = [event.function for event in read(reply) if isinstance(event, Called)]
    assert [wanted.name for wanted in called] == ["transfer", "hangup"], "one without a name is none"
    assert called[0].arguments == '{"to": "sales"}'


@pytest.mark.parametrize(
    "reply",
    [
        b"".join(calls(index, "hangup", "{}") for index in range(MAX_FUNCTIONS + 1)),
        calls(0, "hangup", "x" * (MAX_ARGUMENTS_CHARACTERS + 1)),
        calls(0, "hangup", "x" * MAX_ARGUMENTS_CHARACTERS) + calls(0, arguments="x"),
        chunk(tool_calls="hangup"),
        chunk(tool_calls=[{"index": "first"}]),
    ],
    ids=["many", "long", "long-in-pieces", "no-list", "no-number"],
)
def test_more_functions_than_anybody_would_call_are_a_bad_reply(reply: bytes) -> None:
    assert fault(reply + chunk(finish_reason="tool_calls")) is AnswerFault.BAD_REPLY


def test_a_function_call_that_is_cut_off_is_not_made() -> None:
    assert not [event for event in read(TRANSFER) if isinstance(event, Called)]
