from base64 import b64encode
from dataclasses import replace

import pytest

from gateway.sdp.crypto import SUITES, read_crypto
from gateway.sdp.dtls import DtlsRole, Fingerprint
from gateway.sdp.errors import SecurityMismatchError
from gateway.sdp.local import LocalMedia
from gateway.sdp.offer_answer import make_offer, read_answer
from gateway.sdp.plan import Change, changes
from gateway.sdp.security import PLAIN, DtlsSetup, SdesKeys, SecurityMethod, SecurityMode, SecurityPolicy
from tests.gateway.sdp.exchange import (
    DTLS,
    OPTIONAL,
    OUR_PRINT,
    SDES,
    THEIR_DIGEST,
    THEIR_PRINT,
    answer,
    keys,
    lines,
    local,
    no_key,
    sdp,
)

S80, S32, G128, G256 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"
PEER = Fingerprint("sha-256", THEIR_DIGEST)
PLAIN_OFFER = "m=audio 4000 RTP/AVP 0"


def crypto(suite: str = S80, tag: int = 1, fill: bytes = b"r", tail: str = "") -> str:
    return f"a=crypto:{tag} {suite} inline:{b64encode(fill * SUITES[suite]).decode()}{tail}"


def savp(*attributes: str, protocol: str = "RTP/SAVP") -> str:
    return "\n".join((f"m=audio 4000 {protocol} 0", *attributes))


def dtls_offer(setup: str = "actpass", protocol: str = "UDP/TLS/RTP/SAVP") -> str:
    return savp(f"a=setup:{setup}", f"a=fingerprint:{THEIR_PRINT}", "a=rtcp-mux", protocol=protocol)


def refusal(media: str, ours: LocalMedia, **rest: object) -> str:
    with pytest.raises(SecurityMismatchError) as caught:
        answer(media, ours, **rest)  # type: ignore[arg-type]
    assert "inline" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("suite", list(SUITES))
@pytest.mark.parametrize("policy", [SDES, OPTIONAL])
def test_a_key_in_the_offer_is_answered_by_ours_under_its_tag(suite, policy):
    agreed = answer(savp(crypto(suite, tag=7)), local(security=policy), new_key=keys())
    length = SUITES[suite]
    assert agreed.plan.security == SdesKeys(suite, b"\x01" * length, b"r" * length)
    assert agreed.answer.media[0].protocol == "RTP/SAVP"
    assert agreed.answer.media[0].get_all("crypto") == [f"7 {suite} inline:{b64encode(bytes([1]) * length).decode()}"]


def test_the_example_key_of_rfc_4568_is_read():
    line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20"
    (read,) = read_crypto(sdp(savp(line)).media[0])
    assert read.key == b"70xwPH5@/,L:S1wY\"~='EpgT%(i_Vc"
    assert read.attribute().line == line.removesuffix("|2^20")


def test_the_first_suite_of_the_offer_that_we_allow_is_taken():
    offer = savp("a=crypto:1 F8_128_HMAC_SHA1_80 inline:x", crypto(S32, 2), crypto(S80, 3))
    only_80 = SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.SDES,), (S80,))
    chosen = [answer(offer, local(security=policy), new_key=keys()).plan.security for policy in (SDES, only_80)]
    assert [security.suite for security in chosen if isinstance(security, SdesKeys)] == [S32, S80]


@pytest.mark.parametrize(
    "line",
    [
        crypto(tail="|2^31"),
        crypto(tail="|1048576"),
        crypto(tail="|2^48"),
        crypto(tail=" WSH=128"),
        crypto(tail=" KDR=0"),
        crypto(tail=" -UNKNOWN=1"),
        crypto().replace("inline:", "INLINE:").replace(S80, S80.lower()),
        crypto(G256).rstrip("="),
    ],
)
def test_harmless_additions_to_a_key_are_read(line):
    assert isinstance(answer(savp(line), local(security=SDES), new_key=keys()).plan.security, SdesKeys)


@pytest.mark.parametrize(
    "line",
    [
        crypto(tail="|2^31|1:4"),
        crypto(tail="|1:4"),
        crypto(tail="|2^10"),
        crypto(tail="|2^49"),
        crypto(tail="|2^99999999"),
        crypto(tail="|"),
        crypto(tail=";inline:" + "A" * 40),
        crypto(tail=" UNENCRYPTED_SRTP"),
        crypto(tail=" UNAUTHENTICATED_SRTP"),
        crypto(tail=" UNENCRYPTED_SRTCP"),
        crypto(tail=" KDR=16"),
        crypto(tail=" FEC_ORDER=SRTP_FEC"),
        crypto(S80).replace(S80, G256),
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "!" * 40,
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:é" + "A" * 39,
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 uri:x",
        "a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40,
        "a=crypto:1 NULL_HMAC_SHA1_80 inline:" + "A" * 40,
        "a=crypto:",
        "a=nothing",
    ],
)
def test_keys_we_cannot_honour_are_refused(line):
    assert list(read_crypto(sdp(savp(line)).media[0])) == []
    assert refusal(savp(line), local(security=OPTIONAL)) == "security_refused"


def test_plain_media_is_refused_where_protection_is_required():
    assert refusal(PLAIN_OFFER, local(security=SDES)) == "security_required"
    assert refusal(PLAIN_OFFER, local(security=DTLS)) == "security_required"
    assert answer(PLAIN_OFFER, local(security=OPTIONAL)).plan.security is None


def test_protection_is_refused_where_it_is_switched_off():
    assert refusal(savp(crypto()), local(security=PLAIN)) == "security_refused"
    assert refusal(dtls_offer(), local(security=PLAIN)) == "security_refused"


def test_methods_that_are_not_allowed_are_not_used():
    assert refusal(dtls_offer(), local(security=SDES)) == "security_refused"
    assert refusal(savp(crypto()), local(security=DTLS)) == "security_refused"
    assert refusal(dtls_offer(), local(security=OPTIONAL, fingerprint=None)) == "security_refused"


def test_keys_beside_plain_rtp_protect_it_as_rfc_8643_says():
    offer = savp(crypto(), protocol="RTP/AVP")
    for policy in (OPTIONAL, SDES):
        agreed = answer(offer, local(security=policy), new_key=keys())
        assert isinstance(agreed.plan.security, SdesKeys)
        assert agreed.answer.media[0].protocol == "RTP/AVP"
        assert agreed.answer.media[0].get("crypto") is not None
    unprotected = answer(offer, local(security=PLAIN))
    assert unprotected.plan.security is None
    assert unprotected.answer.media[0].get("crypto") is None


def test_of_two_alternatives_the_protected_one_is_taken():
    offer = f"{PLAIN_OFFER}\n{savp(crypto())}"
    agreed = answer(offer, local(security=OPTIONAL), new_key=keys())
    assert [media.port for media in agreed.answer.media] == [0, 20_000]
    assert [media.port for media in answer(offer).answer.media] == [20_000, 0]


@pytest.mark.parametrize("protocol", ["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", "RTP/SAVP", "RTP/SAVPF"])
def test_a_fingerprint_in_the_offer_is_answered_by_ours(protocol):
    agreed = answer(dtls_offer(protocol=protocol), local(security=DTLS))
    assert agreed.plan.security == DtlsSetup(DtlsRole.CLIENT, (PEER,))
    assert agreed.plan.remote_rtcp == agreed.plan.remote
    stream = agreed.answer.media[0]
    assert (stream.protocol, stream.get("setup")) == (protocol, "active")
    assert stream.get("fingerprint") == f"sha-256 {OUR_PRINT.digest.hex(':').upper()}"


@pytest.mark.parametrize(
    ("setup", "role", "answered"),
    [
        ("actpass", DtlsRole.CLIENT, "active"),
        ("passive", DtlsRole.CLIENT, "active"),
        ("active", DtlsRole.SERVER, "passive"),
        ("ACTIVE", DtlsRole.SERVER, "passive"),
    ],
)
def test_roles_of_the_handshake_follow_the_offer(setup, role, answered):
    agreed = answer(dtls_offer(setup), local(security=DTLS))
    assert isinstance(agreed.plan.security, DtlsSetup)
    assert agreed.plan.security.role is role
    assert agreed.answer.media[0].get("setup") == answered


def test_an_offer_without_a_role_means_to_be_active():
    offer = savp(f"a=fingerprint:{THEIR_PRINT}", protocol="UDP/TLS/RTP/SAVP")
    assert answer(offer, local(security=DTLS)).answer.media[0].get("setup") == "passive"


@pytest.mark.parametrize("setup", ["holdconn", "existing", ""])
def test_a_role_that_makes_no_handshake_is_refused(setup):
    assert refusal(dtls_offer(setup), local(security=DTLS)) == "security_refused"


def test_fingerprint_and_role_may_stand_in_the_session():
    session = f"a=fingerprint:{THEIR_PRINT}\na=setup:active"
    agreed = answer(savp(protocol="UDP/TLS/RTP/SAVPF"), local(security=DTLS), session=session)
    assert agreed.plan.security == DtlsSetup(DtlsRole.SERVER, (PEER,))


@pytest.mark.parametrize(
    "value", ["sha-1 " + ":".join(["AB"] * 20), "md5 AB", "sha-256 AB:CD", "sha-256 ZZ", "sha-256"]
)
def test_weak_or_broken_fingerprints_are_not_believed(value):
    offer = savp("a=setup:actpass", f"a=fingerprint:{value}", protocol="UDP/TLS/RTP/SAVP")
    assert refusal(offer, local(security=DTLS)) == "security_refused"


def test_several_fingerprints_are_kept_but_for_the_weak_ones():
    long = "SHA-512 " + ":".join(["CD"] * 64)
    weak = "sha-1 " + ":".join(["AB"] * 20)
    offer = savp(*(f"a=fingerprint:{value}" for value in (weak, long, THEIR_PRINT)), "a=setup:actpass")
    agreed = answer(offer, local(security=DTLS))
    assert isinstance(agreed.plan.security, DtlsSetup)
    assert [one.hash_name for one in agreed.plan.security.remote] == ["sha-512", "sha-256"]


def test_rtcp_without_keys_of_its_own_is_not_sent():
    offer = dtls_offer().replace("a=rtcp-mux", "a=rtcp:4001")
    assert answer(offer, local(security=DTLS)).plan.remote_rtcp == ("192.0.2.9", 0)


def test_the_method_we_like_best_is_taken_when_both_are_offered():
    offer = savp(crypto(), "a=setup:actpass", f"a=fingerprint:{THEIR_PRINT}")
    both = (SecurityMethod.DTLS, SecurityMethod.SDES)
    first_dtls = answer(offer, local(security=SecurityPolicy(SecurityMode.OPTIONAL, both)))
    first_sdes = answer(offer, local(security=SecurityPolicy(SecurityMode.OPTIONAL, both[::-1])), new_key=keys())
    assert isinstance(first_dtls.plan.security, DtlsSetup)
    assert isinstance(first_sdes.plan.security, SdesKeys)
    assert first_dtls.answer.media[0].get("crypto") is None
    assert first_sdes.answer.media[0].get("fingerprint") is None


def test_our_offer_has_a_key_of_its_own_for_each_suite():
    offer = make_offer(local(security=SDES), keys())
    stream = offer.media[0]
    assert stream.protocol == "RTP/SAVP"
    assert [line.suite for line in read_crypto(stream)] == [S80, G256, G128, S32]
    assert [line.tag for line in read_crypto(stream)] == [1, 2, 3, 4]
    assert len({line.key[0] for line in read_crypto(stream)}) == 4
    assert not any("|" in line for line in lines(offer))


def test_an_answer_with_a_key_gives_both_keys():
    ours = local(security=SDES)
    offer = make_offer(ours, keys())
    plan = read_answer(offer, sdp(savp(crypto(G128, tag=3))), ours)
    assert plan.security == SdesKeys(G128, b"\x03" * 28, b"r" * 28)


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        (PLAIN_OFFER, "other_transport"),
        (savp(), "no_common_suite"),
        (savp(crypto(S80, tag=2)), "no_common_suite"),
        (savp(crypto(S80, tag=9)), "no_common_suite"),
        (savp(crypto(S80, tag=1, fill=b"\x01")), "no_common_suite"),
        (savp(crypto(S80, tail="|2^20|1:4")), "no_common_suite"),
        (dtls_offer("active"), "other_transport"),
    ],
    ids=["plain", "no_key", "other_suite", "other_tag", "our_own_key", "mki", "dtls"],
)
def test_an_answer_that_drops_our_protection_is_refused(media, reason):
    ours = local(security=SDES)
    offer = make_offer(ours, keys())
    with pytest.raises(SecurityMismatchError) as caught:
        read_answer(offer, sdp(media), ours)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("setup", "role"), [("active", DtlsRole.SERVER), ("passive", DtlsRole.CLIENT), (None, DtlsRole.CLIENT)]
)
def test_an_answer_with_a_fingerprint_gives_the_role(setup, role):
    ours = local(security=DTLS)
    offer = make_offer(ours, no_key)
    assert offer.media[0].protocol == "UDP/TLS/RTP/SAVP"
    assert offer.media[0].get("setup") == "actpass"
    theirs = dtls_offer(setup or "x") if setup else dtls_offer().replace("a=setup:actpass\n", "")
    assert read_answer(offer, sdp(theirs), ours).security == DtlsSetup(role, (PEER,))


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        (dtls_offer("actpass"), "bad_setup"),
        (dtls_offer("holdconn"), "bad_setup"),
        (savp("a=setup:active", protocol="UDP/TLS/RTP/SAVP"), "no_fingerprint"),
        (savp(crypto()), "other_transport"),
    ],
)
def test_an_answer_without_a_proper_handshake_is_refused(media, reason):
    ours = local(security=DTLS)
    with pytest.raises(SecurityMismatchError) as caught:
        read_answer(make_offer(ours, no_key), sdp(media), ours)
    assert caught.value.reason == reason


def test_our_offers_are_plain_unless_protection_is_required():
    for policy in (PLAIN, OPTIONAL):
        assert make_offer(local(security=policy), no_key).media[0].protocol == "RTP/AVP"


def test_a_protected_call_never_becomes_plain():
    ours = local(security=OPTIONAL)
    agreed = answer(savp(crypto()), ours, new_key=keys())
    assert refusal(PLAIN_OFFER, ours, last=agreed.answer, plan=agreed.plan) == "downgrade"
    offer = make_offer(ours.hold(), no_key, agreed.answer, agreed.plan)
    assert offer.media[0].protocol == "RTP/SAVP"
    with pytest.raises(SecurityMismatchError):
        read_answer(offer, sdp(PLAIN_OFFER), ours)


def test_a_call_protected_beside_plain_rtp_stays_so():
    ours = local(security=OPTIONAL)
    agreed = answer(savp(crypto(), protocol="RTP/AVP"), ours, new_key=keys())
    offer = make_offer(ours, no_key, agreed.answer, agreed.plan)
    assert offer.media[0].protocol == "RTP/AVP"
    assert offer.media[0].get("crypto") == agreed.answer.media[0].get("crypto")
    with pytest.raises(SecurityMismatchError) as caught:
        read_answer(offer, sdp(PLAIN_OFFER), ours)
    assert caught.value.reason == "no_common_suite"


def test_keys_stay_while_the_peer_keeps_its_own():
    ours = local(security=SDES)
    agreed = answer(savp(crypto()), ours, new_key=keys())
    again = answer(savp(crypto(), "a=sendonly"), ours, last=agreed.answer, plan=agreed.plan)
    assert again.plan.security == agreed.plan.security
    assert changes(agreed.plan, again.plan) == Change.DIRECTION


def test_a_new_key_of_the_peer_is_answered_by_a_new_one():
    ours, new_key = local(security=SDES), keys()
    agreed = answer(savp(crypto()), ours, new_key=new_key)
    again = answer(savp(crypto(fill=b"s")), ours, new_key=new_key, last=agreed.answer, plan=agreed.plan)
    assert changes(agreed.plan, again.plan) == Change.LOCAL_KEY | Change.REMOTE_KEY


def test_our_later_offer_keeps_our_key():
    ours = local(security=SDES)
    first = make_offer(ours, keys())
    plan = read_answer(first, sdp(savp(crypto(G256, tag=2))), ours)
    second = make_offer(ours, no_key, first, plan)
    assert [line.suite for line in read_crypto(second.media[0])] == [G256]
    again = read_answer(second, sdp(savp(crypto(G256, tag=1))), ours)
    assert changes(plan, again) == Change.NOTHING


def test_a_handshake_that_is_over_keeps_its_roles():
    ours = local(security=DTLS)
    agreed = answer(dtls_offer("active"), ours)
    again = answer(dtls_offer("actpass"), ours, last=agreed.answer, plan=agreed.plan)
    assert again.plan.security == agreed.plan.security
    assert again.answer.media[0].get("setup") == "passive"
    offer = make_offer(ours, no_key, again.answer, again.plan)
    assert offer.media[0].get("setup") == "actpass"
    assert changes(again.plan, read_answer(offer, sdp(dtls_offer("active")), ours)) == Change.NOTHING


def test_another_fingerprint_asks_for_another_handshake():
    ours = local(security=DTLS)
    agreed = answer(dtls_offer("active"), ours)
    other = dtls_offer("actpass").replace("AB", "CD")
    again = answer(other, ours, last=agreed.answer, plan=agreed.plan)
    assert isinstance(again.plan.security, DtlsSetup)
    assert again.plan.security.role is DtlsRole.CLIENT
    assert changes(agreed.plan, again.plan) == Change.REMOTE_KEY


def test_policies_that_cannot_be_met_are_refused_when_made():
    with pytest.raises(ValueError):
        local(security=DTLS, fingerprint=None)
    with pytest.raises(ValueError):
        SecurityPolicy(SecurityMode.REQUIRED, ())
    with pytest.raises(ValueError):
        SecurityPolicy(SecurityMode.REQUIRED, suites=("ROT13",))
    with pytest.raises(ValueError):
        SecurityPolicy(SecurityMode.REQUIRED, suites=())
    without = local(security=SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.DTLS, SecurityMethod.SDES)))
    offer = make_offer(replace(without, fingerprint=None), keys())
    assert offer.media[0].protocol == "RTP/SAVP"


def test_nothing_agreed_shows_a_key_or_a_fingerprint():
    agreed = answer(savp(crypto(fill=b"\x07")), local(security=SDES), new_key=keys())
    encoded = [b64encode(bytes([fill]) * 30).decode() for fill in (1, 7)]
    handshake = answer(dtls_offer(), local(security=DTLS))
    text = repr(agreed) + str(agreed) + repr(handshake) + str(handshake) + repr(local())
    for secret in (*encoded, r"\x01\x01", r"\x07\x07", "AB:AB", r"\xab\xab", "00:01:02", r"\x01\x02"):
        assert secret not in text
