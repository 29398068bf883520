"""Digest authentication: published vectors for the answers, and what the asking side lets through."""

import hashlib
import re
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.sip.digest import (
    Challenge,
    DigestVerifier,
    Missing,
    Rejected,
    Stale,
    Verified,
    answer,
    choose,
    parse_challenges,
)
from gateway.sip.message import Request
from gateway.sip.trunk import Credentials
from tests.gateway.sip.transactions import our_request

MUFASA = Credentials("Mufasa", "Circle of Life")
RFC_7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC_7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC_7616_CHALLENGES = [
    f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={name}, nonce="{RFC_7616_NONCE}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    for name in ("MD5", "SHA-256")
]
BOB = Credentials("bob", "zanzibar")
BOB_NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
BOB_BODY = (
    b"v=0\r\no=bob 2890844526 2890844526 IN IP4 media.biloxi.com\r\ns=-\r\nc=IN IP4 media.biloxi.com\r\nt=0 0\r\n"
    b"m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n"
    b"m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n"
)


def fields(value: str) -> dict[str, str]:
    assert value.startswith("Digest ")
    return {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^",]+))', value)}


@pytest.mark.parametrize(
    ("challenge", "response"),
    [
        (RFC_7616_CHALLENGES[0], "8ca523f5e9506fed4657c9700eebdbec"),
        (RFC_7616_CHALLENGES[1], "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_answers_are_those_of_rfc_7616_section_3_9_1(challenge: str, response: str):
    [parsed] = parse_challenges([challenge])
    value = fields(answer(parsed, MUFASA, "GET", "/dir/index.html", b"", 1, RFC_7616_CNONCE))
    assert value == {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "uri": "/dir/index.html",
        "algorithm": parsed.algorithm,
        "nonce": RFC_7616_NONCE,
        "nc": "00000001",
        "cnonce": RFC_7616_CNONCE,
        "qop": "auth",
        "response": response,
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }


def test_the_answer_is_that_of_rfc_2617_section_3_5():
    [challenge] = parse_challenges(
        [
            'Digest\r\n realm="testrealm@host.com",\r\n qop="auth,auth-int",\r\n '
            'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",\r\n opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        ]
    )
    credentials = Credentials("Mufasa", "Circle Of Life")
    value = fields(answer(challenge, credentials, "GET", "/dir/index.html", b"", 1, "0a4f113b"))
    assert value["response"] == "6629fae49393a05397450978507c4ef1"
    assert value["opaque"] == "5ccc069c403ebaf9f0171e9517f40e41"


@pytest.mark.parametrize(
    ("algorithm", "qop", "response"),
    [
        ("MD5", (), "bf57e4e0d0bffc0fbaedce64d59add5e"),
        ("MD5", ("auth",), "89eb0059246c02b2f6ee02c7961d5ea3"),
        ("MD5-sess", ("auth",), "e4e4ea61d186d07a92c9e1f6919902e9"),
        ("MD5", ("auth-int",), "bdbeebb2da6adb6bca02599c2239e192"),
        ("MD5-sess", ("auth-int",), "91984da2d8663716e91554859c22ca70"),
    ],
)
def test_the_answers_are_those_of_draft_smith_sipping_auth_examples(
    algorithm: str, qop: tuple[str, ...], response: str
):
    challenge = Challenge("biloxi.com", BOB_NONCE, algorithm, qop)
    value = fields(answer(challenge, BOB, "INVITE", "sip:bob@biloxi.com", BOB_BODY, 1, "0a4f113b"))
    assert value["response"] == response
    assert ("qop" in value, "nc" in value, "cnonce" in value) == (bool(qop),) * 3
    assert "opaque" not in value


def test_a_session_answer_in_sha_256_follows_the_formula_of_rfc_7616():
    def h(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    challenge = Challenge("r", "n", "sha-256-SESS", ("auth",))
    value = fields(answer(challenge, Credentials("u", "p"), "BYE", "sip:x", b"", 17, "c"))
    a1 = h(h("u:r:p") + ":n:c")
    assert value["response"] == h(f"{a1}:n:00000011:c:auth:{h('BYE:sip:x')}")
    assert value["nc"] == "00000011"


def test_a_session_answer_without_qop_still_tells_its_cnonce():
    value = fields(answer(Challenge("r", "n", "MD5-sess"), BOB, "BYE", "sip:x", b"", 1, "c"))
    assert value["cnonce"] == "c"
    assert "qop" not in value


def test_quotes_and_backslashes_survive_the_way_there_and_back():
    [challenge] = parse_challenges(['Digest realm="a \\"b\\" \\\\c", nonce="x,y=z"'])
    assert (challenge.realm, challenge.nonce) == ('a "b" \\c', "x,y=z")
    value = answer(challenge, Credentials('o"x', "p"), "BYE", "sip:x", b"", 1, "c")
    assert r'username="o\"x", realm="a \"b\" \\c", nonce="x,y=z"' in value


def test_challenges_are_read_in_any_layout():
    [first, second] = parse_challenges(
        [
            'dIGEST  Realm = "a" ,nonce="1",QOP=auth, stale=TRUE, algorithm="MD5", x-new=1, '
            'Basic realm="b", Digest realm="c", nonce="2", qop="AUTH , auth-int", stale=false, algorithm=SHA-256'
        ]
    )
    assert first == Challenge("a", "1", "MD5", ("auth",), None, True)
    assert second == Challenge("c", "2", "SHA-256", ("auth", "auth-int"), None, False)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Digest",
        "Digest ",
        'Digest realm="a"',
        'Digest nonce="a"',
        'Digest realm="a, nonce="b"',
        'Digest realm="a" nonce="b"',
        'Digest realm="a" xnonce="b"',
        'Digest realm="a", realm="b", nonce="c"',
        'Digest realm="a", nonce="b", junk',
        'realm="a", nonce="b"',
        'Basic realm="a"',
        'Digest realm="a", nonce="' + "b" * 9_000 + '"',
    ],
)
def test_what_is_no_digest_challenge_is_left_out(value: str):
    assert parse_challenges([value, 'Digest realm="r", nonce="n"']) == [Challenge("r", "n")]


def test_the_strongest_challenge_that_is_known_is_chosen():
    def of(algorithm: str, *qop: str) -> Challenge:
        return Challenge("r", algorithm, algorithm, qop)

    md5, sha, unknown = of("MD5", "auth"), of("SHA-256", "auth"), of("SHA-512-256", "auth")
    assert choose([md5, sha, unknown]) == sha
    assert choose([unknown, md5]) == md5
    assert choose([of("md5-SESS"), md5]) == of("md5-SESS")
    assert choose([of("SHA-256", "token"), md5]) == md5
    assert choose([unknown]) is None
    assert choose([]) is None


@pytest.mark.parametrize(
    ("challenge", "text"),
    [(Challenge("r", "n", "AKAv1-MD5"), "got 'AKAv1-MD5'"), (Challenge("r", "n", "MD5", ("token",)), "got .'token',")],
)
def test_what_was_not_chosen_is_not_answered(challenge: Challenge, text: str):
    with pytest.raises(ValueError, match=text):
        answer(challenge, BOB, "BYE", "sip:x", b"", 1, "c")


def verifier(lifetime_s: float = 300.0, max_nonces: int = 100, secret: bytes = b"secret") -> DigestVerifier:
    tokens = count(1)
    return DigestVerifier("gateway", secret, lambda: f"token{next(tokens)}", lifetime_s, max_nonces)


def lookup(user: str) -> str | None:
    return {"bob": "zanzibar", "eve": ""}.get(user)


def authorized(
    asking: DigestVerifier,
    now: float,
    *,
    credentials: Credentials = BOB,
    algorithm: str = "SHA-256",
    nonce_count: int = 1,
    method: str = "INVITE",
    qop: tuple[str, ...] = ("auth",),
    uri: str = "",
) -> Request:
    """A request that answers a fresh challenge; what differs from the challenge is the test's doing."""
    offered = parse_challenges(asking.challenges(now))
    request = our_request()
    base = next(item for item in offered if item.algorithm == algorithm.upper().removesuffix("-SESS"))
    challenge = Challenge(base.realm, base.nonce, algorithm, qop)
    value = answer(challenge, credentials, method, uri or str(request.uri), b"", nonce_count, "c")
    request.headers.add("Authorization", value)
    return request


def with_count(request: Request, challenge_nonce: str, nonce_count: int) -> Request:
    copy = our_request()
    challenge = Challenge("gateway", challenge_nonce, "SHA-256", ("auth",))
    copy.headers.add("Authorization", answer(challenge, BOB, "INVITE", str(request.uri), b"", nonce_count, "c"))
    return copy


def nonce_of(request: Request) -> str:
    return fields(request.headers.get("Authorization") or "")["nonce"]


def test_sha_256_is_asked_for_before_md5_with_the_same_nonce():
    first, second = parse_challenges(verifier().challenges(5.0))
    assert (first.algorithm, second.algorithm) == ("SHA-256", "MD5")
    assert first.nonce == second.nonce
    assert (first.realm, first.qop, first.stale) == ("gateway", ("auth",), False)
    assert all(item.stale for item in parse_challenges(verifier().challenges(5.0, stale=True)))


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5", "MD5-sess", "SHA-256-sess", "md5"])
def test_the_right_password_is_verified(algorithm: str):
    asking = verifier()
    assert asking.verify(authorized(asking, 10.0, algorithm=algorithm), lookup, 10.1) == Verified("bob")


def test_without_credentials_for_this_realm_there_is_nothing_to_verify():
    asking = verifier()
    request = our_request()
    assert asking.verify(request, lookup, 0.0) == Missing()
    request.headers.add("Authorization", 'Digest username="bob", realm="elsewhere", nonce="n", uri="x", response="r"')
    request.headers.add("Authorization", "Basic Ym9iOnphbnppYmFy")
    assert asking.verify(request, lookup, 0.0) == Missing()
    right = authorized(asking, 0.0)
    request.headers.add("Authorization", right.headers.get("Authorization") or "")
    assert asking.verify(request, lookup, 0.0) == Verified("bob")


@pytest.mark.parametrize(
    "credentials",
    [Credentials("bob", "wrong"), Credentials("bob", ""), Credentials("nobody", ""), Credentials("Bob", "zanzibar")],
)
def test_the_wrong_user_or_password_is_rejected(credentials: Credentials):
    asking = verifier()
    assert asking.verify(authorized(asking, 0.0, credentials=credentials), lookup, 0.0) == Rejected()


def test_an_answer_made_for_another_request_is_rejected():
    asking = verifier()
    assert asking.verify(authorized(asking, 0.0, method="BYE"), lookup, 0.0) == Rejected()
    for uri in ("sip:other@198.51.100.7", "sip:callee@203.0.113.1", "sip:callee@198.51.100.7:5080", "tel:+1", "%"):
        assert asking.verify(authorized(asking, 0.0, uri=uri), lookup, 0.0) == Rejected()


def test_a_request_uri_that_lost_its_parameters_is_the_same_place():
    asking = verifier()
    request = authorized(asking, 0.0, uri="sip:callee@198.51.100.7;transport=udp")
    assert asking.verify(request, lookup, 0.0) == Verified("bob")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=0000000g"),
        (", nc=00000001", ""),
        ("qop=auth", "qop=auth-int"),
        ("qop=auth", "qop=token"),
        ("algorithm=SHA-256", "algorithm=MD5"),
        ("algorithm=SHA-256", "algorithm=SHA-1"),
        (', cnonce="c"', ""),
        ("response=", "answer="),
        ('response="', 'response="é'),
    ],
)
def test_an_answer_to_something_that_was_not_asked_is_rejected(old: str, new: str):
    asking = verifier()
    request = authorized(asking, 0.0)
    value = request.headers.get("Authorization") or ""
    assert old in value
    request.headers.set("Authorization", value.replace(old, new))
    assert asking.verify(request, lookup, 0.0) == Rejected()


def test_an_answer_must_tell_its_cnonce_even_when_it_is_empty():
    asking = verifier()
    [challenge, _] = parse_challenges(asking.challenges(0.0))
    request = our_request()
    value = answer(challenge, BOB, "INVITE", str(request.uri), b"", 1, "")
    request.headers.add("Authorization", value.replace(', cnonce=""', ""))
    assert asking.verify(request, lookup, 0.0) == Rejected()
    request.headers.set("Authorization", value)
    assert asking.verify(request, lookup, 0.0) == Verified("bob")


def test_a_nonce_count_is_taken_once_and_only_upwards():
    asking = verifier()
    request = authorized(asking, 0.0)
    nonce = nonce_of(request)
    assert asking.verify(request, lookup, 0.0) == Verified("bob")
    assert asking.verify(request, lookup, 0.0) == Stale()
    assert asking.verify(with_count(request, nonce, 5), lookup, 0.0) == Verified("bob")
    for used in (2, 5):
        assert asking.verify(with_count(request, nonce, used), lookup, 0.0) == Stale()
    assert asking.verify(with_count(request, nonce, 6), lookup, 0.0) == Verified("bob")


def test_an_answer_without_a_count_uses_its_nonce_up():
    asking = verifier()
    request = authorized(asking, 0.0, algorithm="MD5", qop=())
    nonce = nonce_of(request)
    assert asking.verify(request, lookup, 0.0) == Verified("bob")
    assert asking.verify(request, lookup, 0.0) == Stale()
    assert asking.verify(with_count(request, nonce, 9), lookup, 0.0) == Stale()


def test_a_nonce_is_good_for_its_lifetime():
    for elapsed, outcome in ((0.0, Verified("bob")), (30.0, Verified("bob")), (30.1, Stale()), (-1.0, Stale())):
        asking = verifier(lifetime_s=30.0)
        assert asking.verify(authorized(asking, 50.0), lookup, 50.0 + elapsed) == outcome


def test_a_nonce_that_is_not_ours_is_stale_for_who_knows_the_password_only():
    asking, other = verifier(), verifier(secret=b"another")
    assert asking.verify(authorized(other, 0.0), lookup, 0.0) == Stale()
    assert asking.verify(authorized(other, 0.0, credentials=Credentials("bob", "x")), lookup, 0.0) == Rejected()
    # With the same secret the gateways of a host take each other's nonces.
    assert asking.verify(authorized(verifier(), 0.0), lookup, 0.0) == Verified("bob")


@pytest.mark.parametrize("nonce", ["", "0", "0.a", "0.a.00", "zz.a.b", "0" * 17 + ".a.b", "-1.a.b"])
def test_a_forged_nonce_is_never_taken(nonce: str):
    asking = verifier()
    assert asking.verify(with_count(our_request(), nonce, 1), lookup, 0.0) == Stale()


def test_a_nonce_that_had_to_be_forgotten_is_not_taken_again():
    asking = verifier(max_nonces=2)
    requests = [authorized(asking, float(at)) for at in range(4)]
    for request in requests[:3]:
        assert asking.verify(request, lookup, 3.0) == Verified("bob")
    assert asking.verify(requests[0], lookup, 3.0) == Stale()
    assert asking.verify(with_count(requests[0], nonce_of(requests[0]), 2), lookup, 3.0) == Stale()
    assert asking.verify(with_count(requests[2], nonce_of(requests[2]), 2), lookup, 3.0) == Verified("bob")
    assert asking.verify(requests[3], lookup, 3.0) == Verified("bob")


def test_a_nonce_in_use_is_remembered_longer_than_one_that_is_not():
    asking = verifier(max_nonces=2)
    first, second, third = (authorized(asking, 0.0) for _ in range(3))
    for request in (first, second, with_count(first, nonce_of(first), 2), third):
        assert asking.verify(request, lookup, 0.0) == Verified("bob")
    assert asking.verify(with_count(first, nonce_of(first), 3), lookup, 0.0) == Verified("bob")


def test_an_empty_password_is_a_password():
    asking = verifier()
    assert asking.verify(authorized(asking, 0.0, credentials=Credentials("eve", "")), lookup, 0.0) == Verified("eve")


def test_an_empty_secret_is_refused():
    with pytest.raises(ValueError, match="expected a secret"):
        DigestVerifier("r", b"", lambda: "x")


TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=60
)
PARTS = st.sampled_from(
    [
        "Digest ",
        'realm="gateway"',
        "nonce=",
        '"',
        ",",
        " ",
        "\\",
        "response=",
        "qop=auth",
        "nc=00000001",
        'username="bob"',
    ]
)


@given(value=st.lists(PARTS | TEXT, max_size=20).map("".join))
@example('Digest realm="gateway", nc=00000001, qop=auth, cnonce=""')
def test_no_header_value_raises_or_lets_anybody_in(value: str):
    request = our_request()
    request.headers.add("Authorization", value)
    assert verifier().verify(request, lookup, 0.0) in (Missing(), Rejected())
    choose(parse_challenges([value]))


@given(user=TEXT, password=TEXT, realm=TEXT)
def test_what_one_side_answers_the_other_verifies(user: str, password: str, realm: str):
    asking = DigestVerifier(realm, b"s", lambda: "t")
    challenge = choose(parse_challenges(asking.challenges(1.0)))
    assert challenge is not None
    assert challenge.realm == realm
    request = our_request()
    value = answer(challenge, Credentials(user, password), "INVITE", str(request.uri), b"", 1, "c")
    request.headers.add("Authorization", value)
    assert asking.verify(request, lambda name: password if name == user else None, 1.0) == Verified(user)
