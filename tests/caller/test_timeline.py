from tests.speech import jfk_ulaw
from twowire.caller.segments import VOICED_ABOVE, Segment, SpeechSegments, loudness, silent_tail_bytes, speech_above
from twowire.caller.timeline import BargeIn, Moment, Reply, Timeline

LOUD, QUIET = b"\x10" * 160, b"\xff" * 160


def test_short_pauses_do_not_end_an_utterance_and_long_ones_do():
    segments = SpeechSegments()
    pattern = [1] * 10 + [0] * 39 + [1] * 5 + [0] * 40 + [1] * 2
    for n, voiced in enumerate(pattern):
        segments.push(n, bool(voiced))
    assert segments.finished == [Segment(0.0, 1.08)]
    assert segments.open_since_s == 1.88
    assert segments.all() == [Segment(0.0, 1.08), Segment(1.88, 1.92)]


def test_a_clear_ends_an_utterance_where_it_is():
    segments = SpeechSegments()
    segments.push(0, True)
    segments.cut()
    segments.push(1, False)
    segments.push(2, True)
    assert segments.all() == [Segment(0.0, 0.02), Segment(0.04, 0.06)]


def test_speech_is_voiced_and_line_noise_is_not():
    assert loudness(LOUD) > VOICED_ABOVE
    assert loudness(QUIET) == 0.0
    assert loudness(b"\xf8\x78" * 80) < VOICED_ABOVE / 2


def test_breath_and_noise_of_a_recording_are_not_taken_for_its_speech():
    recording = jfk_ulaw()
    above = speech_above(recording)
    onset = next(n for n in range(50) if loudness(recording[n * 160 : (n + 1) * 160]) > above)
    assert 0.30 <= onset * 0.02 <= 0.34  # its noise begins at 0.06 s, at -46 dBFS
    assert speech_above(QUIET) == VOICED_ABOVE
    assert speech_above(b"") == VOICED_ABOVE


def test_the_silent_tail_of_a_recording_is_found():
    assert silent_tail_bytes(LOUD * 3 + QUIET * 5, VOICED_ABOVE) == 5 * 160
    assert silent_tail_bytes(LOUD, VOICED_ABOVE) == 0
    assert silent_tail_bytes(QUIET * 2, VOICED_ABOVE) == 320
    assert silent_tail_bytes(b"", VOICED_ABOVE) == 0


def test_latencies_are_measured_from_the_end_of_speech_and_from_the_key():
    timeline = Timeline(
        agent=[Segment(0.5, 3.0), Segment(6.2, 8.0), Segment(11.0, 12.0)],
        caller=[Segment(4.0, 5.4)],
        keys=[Moment(10.0, "1")],
    )
    assert timeline.first_audio_s == 0.5
    assert timeline.replies() == [Reply(5.4, 6.2, "speech"), Reply(10.0, 11.0, "key")]
    assert [reply.latency_s for reply in timeline.replies()] == [0.8, 1.0]


def test_an_utterance_that_nobody_asked_for_is_no_reply():
    timeline = Timeline(agent=[Segment(2.0, 3.0), Segment(5.0, 6.0)], caller=[Segment(0.2, 1.0)])
    assert timeline.replies() == [Reply(1.0, 2.0, "speech")]


def test_a_barge_in_is_timed_from_the_first_packet_to_the_clear_and_to_silence():
    timeline = Timeline(
        agent=[Segment(0.0, 1.0), Segment(4.0, 6.24), Segment(8.0, 9.0)],
        caller=[Segment(2.0, 3.0), Segment(6.0, 7.0)],
        clears_s=[6.06, 6.205],
    )
    barge_ins = timeline.barge_ins()
    assert barge_ins == [BargeIn(6.0, 6.06, 6.205, 6.24)]
    assert (barge_ins[0].to_lowered_s, barge_ins[0].to_clear_s, barge_ins[0].to_silence_s) == (0.06, 0.205, 0.24)
    assert [reply.latency_s for reply in timeline.replies()] == [1.0, 1.0]


def test_a_barge_in_without_a_clear_says_so():
    timeline = Timeline(agent=[Segment(0.0, 5.0), Segment(7.0, 8.0)], caller=[Segment(2.0, 3.0)], clears_s=[7.5])
    assert timeline.barge_ins() == [BargeIn(2.0, None, None, 5.0)]
    assert timeline.barge_ins()[0].to_clear_s is None


def test_the_lines_of_a_timeline_are_in_order_and_name_what_was_said():
    timeline = Timeline(
        agent=[Segment(0.5, 1.0)],
        caller=[Segment(2.0, 3.0)],
        clears_s=[2.5],
        keys=[Moment(0.1, "#")],
        said=[Moment(1.9, "hello?")],
    )
    assert timeline.lines() == [
        (0.1, None, "caller presses #"),
        (0.5, 1.0, "agent speaks"),
        (2.0, 3.0, "caller speaks: hello?"),
        (2.5, None, "clear: the agent's buffered audio is taken back"),
    ]
