import pytest

from gateway.sdp.description import Attribute, Connection, Direction
from gateway.sdp.errors import SdpError
from gateway.sdp.formats import MediaCodec, read_formats, read_ptime
from gateway.sdp.parser import MAX_BYTES, MAX_FORMATS, MAX_LINE_CHARS, MAX_MEDIA, parse_sdp

HEAD = b"v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
AUDIO = b"m=audio 4000 RTP/AVP 0\r\n"


def reason_of(data: bytes) -> str:
    with pytest.raises(SdpError) as caught:
        parse_sdp(data)
    return caught.value.reason


def test_everything_of_a_full_description_is_read_and_written_in_order():
    data = (
        b"v=0\r\no=jdoe 3724394400 3724394405 IN IP6 2001:db8::1\r\ns=Call to John Smith\r\n"
        b"i=SDP Offer #1\r\nu=http://www.example.com/~jdoe/\r\ne=Jane Doe <jane@example.com>\r\np=+1 617 555-6011\r\n"
        b"c=IN IP4 198.51.100.1\r\nb=AS:64\r\nt=0 0\r\na=sendonly\r\n"
        b"m=audio 49170/2 RTP/AVP 0 101\r\ni=speech\r\nc=IN IP4 233.252.0.1/127/3\r\nb=TIAS:64000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\na=rtcp-mux\r\n"
        b"m=video 51372 RTP/AVP 99\r\nc=IN IP6 2001:db8::2\r\na=rtpmap:99 h263-1998/90000\r\n"
    )
    read = parse_sdp(data)
    assert read.to_bytes() == data
    assert (read.origin.username, read.origin.session_id, read.origin.version) == ("jdoe", "3724394400", "3724394405")
    audio, video = read.media
    assert (audio.port, audio.port_count, audio.formats, audio.title) == (49_170, 2, ("0", "101"), "speech")
    assert audio.connections == (Connection("233.252.0.1", suffix="/127/3"),)
    assert audio.attributes[1] == Attribute("rtcp-mux")
    assert read.connection_of(video) == Connection("2001:db8::2", "IP6")
    assert read.direction_of(video) is Direction.SENDONLY


def test_the_offer_of_sdp01_in_rfc_4475_is_read():
    body = (
        b"v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n"
        b"m=audio 49217 RTP/AVP 0 12\r\nm=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n"
    )
    read = parse_sdp(body)
    assert [media.kind for media in read.media] == ["audio", "video"]
    assert read_formats(read.media[0]).codecs == {MediaCodec.PCMU: 0}


@pytest.mark.parametrize(
    "data",
    [
        HEAD.replace(b"\r\n", b"\n") + AUDIO.replace(b"\r\n", b"\n"),
        HEAD.replace(b"t=0 0\r\n", b"") + AUDIO,
        HEAD.replace(b"s=-\r\n", b"") + AUDIO,
        HEAD.replace(b"s=-", b"s=") + AUDIO,
        HEAD.replace(b"- 1 2", b"1 2") + AUDIO,
        HEAD.replace(b"- 1 2", b"My Little Phone 1 2") + AUDIO,
        HEAD.replace(b"- 1 2", b"- 0x1f 2.0") + AUDIO,
        HEAD + b"X=unknown\r\nz=0 0\r\nr=7d 1h 0\r\nk=clear:secret\r\n" + AUDIO,
        HEAD + AUDIO + b"\r\n\r\n",
        HEAD + AUDIO.rstrip(),
        b"\r\n" + HEAD.replace(b"\r\n", b" \r\n") + AUDIO,
        HEAD.replace(b"t=0 0\r\n", b"") + b"a=tool:odd\r\nt=0 0\r\n" + AUDIO,
    ],
    ids=[
        *("bare_lf", "no_t", "no_s", "empty_s", "no_user", "user_with_blanks", "odd_numbers"),
        *("unknown", "blank_end", "no_end", "blanks", "order"),
    ],
)
def test_what_odd_carriers_send_is_read(data):
    read = parse_sdp(data)
    assert read.origin.address == "192.0.2.9"
    assert read.timings == ("0 0",)
    assert [(media.kind, media.port, media.formats) for media in read.media] == [("audio", 4_000, ("0",))]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\r\n\r\n", "empty"),
        (b"v=1\r\n" + HEAD[5:], "bad_version"),
        (HEAD[5:], "bad_version"),
        (b"a=crypto:1 x inline:secret\r\n", "bad_version"),
        (HEAD + HEAD, "doubled_line"),
        (HEAD + AUDIO + b"o=- 1 2 IN IP4 192.0.2.9\r\n", "doubled_line"),
        (b"v=0\r\ns=-\r\n" + AUDIO, "no_origin"),
        (b"v=0\r\no=1 2 3\r\n", "bad_origin"),
        (HEAD + b"garbage\r\n", "bad_line"),
        (HEAD + b" a=indented\r\n", "bad_line"),
        (HEAD + b"a=one\ra=two\r\n", "bad_line"),
        (HEAD + b"a=\0\r\n", "bad_character"),
        (HEAD + b"c=IN IP4\r\n", "bad_connection"),
        (HEAD + b"c=IN IP4 /127\r\n", "bad_connection"),
        (HEAD + b"m=audio\r\n", "bad_media"),
        (HEAD + b"m=audio 65536 RTP/AVP 0\r\n", "bad_port"),
        (HEAD + b"m=audio -1 RTP/AVP 0\r\n", "bad_port"),
        (HEAD + "m=audio ٤٠٠٠ RTP/AVP 0\r\n".encode(), "bad_port"),
        (HEAD + b"m=audio 4000/ RTP/AVP 0\r\n", "bad_port"),
    ],
)
def test_what_is_no_description_is_refused_with_its_reason(data, reason):
    assert reason_of(data) == reason


def test_limits_hold_on_the_dot():
    assert len(parse_sdp(HEAD + AUDIO * MAX_MEDIA).media) == MAX_MEDIA
    assert reason_of(HEAD + AUDIO * (MAX_MEDIA + 1)) == "too_many_media"
    assert len(parse_sdp(HEAD + b"m=audio 4000 RTP/AVP" + b" 0" * MAX_FORMATS).media[0].formats) == MAX_FORMATS
    assert reason_of(HEAD + b"m=audio 4000 RTP/AVP" + b" 0" * (MAX_FORMATS + 1)) == "too_many_formats"
    assert parse_sdp(HEAD + b"a=" + b"x" * (MAX_LINE_CHARS - 2)).attributes
    assert reason_of(HEAD + b"a=" + b"x" * (MAX_LINE_CHARS - 1)) == "line_too_long"
    padding = b"a=x\r\n" * ((MAX_BYTES - len(HEAD)) // 5)
    whole = HEAD + padding + b"\n" * (MAX_BYTES - len(HEAD) - len(padding))
    assert len(whole) == MAX_BYTES
    assert parse_sdp(whole).attributes
    assert reason_of(whole + b"\n") == "too_long"


def test_texts_of_errors_show_no_attribute():
    for data in (b"a=crypto:1 X inline:SECRET", HEAD + b"a=crypto:1 X inline:SECRET\ra=y", HEAD + b"inline:SECRET"):
        with pytest.raises(SdpError) as caught:
            parse_sdp(data)
        assert "SECRET" not in str(caught.value)


def test_secrets_never_show():
    secrets = (
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET",
        "a=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET",
        "a=cripto:1 AES_CM_128_HMAC_SHA1_80 INLINE:SECRET",
        "a=fingerprint:sha-256 SECRET",
        "a=Fingerprint :SHA-256 SECRET",
        "a=fngerprint:sha-1 SECRET",
        "a=ice-pwd:SECRET",
        "a=key-mgmt:mikey SECRET",
        "k=clear:SECRET",
    )
    read = parse_sdp(HEAD + AUDIO + "\r\n".join(secrets).encode() + b"\r\n" + "\r\n".join(secrets).encode())
    for text in (repr(read), str(read), *(str(attribute) for attribute in read.media[0].attributes)):
        assert "SECRET" not in text
    assert b"fingerprint:sha-256 SECRET" in read.to_bytes()
    assert "rtcp-mux" in repr(parse_sdp(HEAD + AUDIO + b"a=rtcp-mux").media[0])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("0 8 9", {MediaCodec.PCMU: 0, MediaCodec.PCMA: 8, MediaCodec.G722: 9}),
        ("9\na=rtpmap:9 G722/16000", {MediaCodec.G722: 9}),
        ("97\na=rtpmap:97 pcma/8000/1", {MediaCodec.PCMA: 97}),
        ("8 97\na=rtpmap:97 PCMA/8000", {MediaCodec.PCMA: 8}),
        ("96\na=rtpmap:96 PCMU/16000", {}),
        ("96\na=rtpmap:96 PCMU/8000/2", {}),
        ("0\na=rtpmap:0 G729/8000", {}),
        ("97", {}),
        ("128 -1 x 0000", {}),
    ],
)
def test_payload_types_are_what_the_rtpmap_says_and_else_what_they_always_were(lines, expected):
    media = parse_sdp(HEAD + f"m=audio 4000 RTP/AVP {lines}\n".encode()).media[0]
    assert read_formats(media).codecs == expected


@pytest.mark.parametrize(
    ("lines", "dtmf", "takes_keys"),
    [
        ("101\na=rtpmap:101 telephone-event/8000", 101, True),
        ("101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16", 101, True),
        ("101\na=rtpmap:101 Telephone-Event/8000\na=fmtp:101 0,1,2-9,10-11", 101, True),
        ("101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 events=0-15", 101, True),
        ("101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 66,70", 101, False),
        ("110 126\na=rtpmap:110 telephone-event/48000\na=rtpmap:126 telephone-event/8000", 126, True),
        ("97\na=rtpmap:97 telephone-event/16000", None, False),
        ("0\na=rtpmap:101 telephone-event/8000", None, False),
    ],
)
def test_keys_are_taken_on_the_clock_of_the_audio(lines, dtmf, takes_keys):
    formats = read_formats(parse_sdp(HEAD + f"m=audio 4000 RTP/AVP {lines}\n".encode()).media[0])
    events = formats.events.get(8_000)
    assert (None if events is None else events.payload_type) == dtmf
    assert (events is not None and events.takes_keys) == takes_keys


def test_keys_are_known_by_the_clock_of_each_codec():
    lines = "110 126\na=rtpmap:110 telephone-event/48000\na=fmtp:110 0-15\na=rtpmap:126 telephone-event/8000"
    formats = read_formats(parse_sdp(HEAD + f"m=audio 4000 RTP/AVP {lines}\n".encode()).media[0])
    assert {clock_hz: events.payload_type for clock_hz, events in formats.events.items()} == {48_000: 110, 8_000: 126}


@pytest.mark.parametrize(
    ("lines", "expected_ms"),
    [
        ("", 20),
        ("a=ptime:30", 30),
        ("a=ptime:10", 10),
        ("a=ptime:60", 60),
        ("a=ptime:5", 10),
        ("a=ptime:25", 20),
        ("a=ptime:120", 60),
        ("a=ptime:20.0", 20),
        ("a=ptime:0", 20),
        ("a=ptime:-20", 20),
        ("a=ptime:99999999999999", 20),
        ("a=ptime:40\na=maxptime:30", 30),
        ("a=maxptime:10", 10),
        ("a=ptime:60\na=maxptime:240", 60),
    ],
)
def test_the_packet_time_is_ten_to_sixty_milliseconds(lines, expected_ms):
    media = parse_sdp(HEAD + AUDIO + lines.encode()).media[0]
    assert read_ptime(media, default_ms=20) == expected_ms
