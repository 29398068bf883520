"""RFC 3263: from a URI to the places it may be sent to, best first."""

from typing import Any

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import pytest

from gateway.sip.flow import Target, Transport
from gateway.sip.uri import SipUri, parse_uri
from gateway.transports.sip_resolver import MAX_TARGETS, SipResolver

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS


class Zone:
    """Answers from a table; every question is noted."""

    def __init__(self, records: dict[tuple[str, str], list[str]]) -> None:
        self.records = records
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, name: str, kind: str, lifetime: float) -> list[Any]:
        self.asked.append((name, kind))
        texts = self.records.get((name, kind))
        if texts is None:
            raise dns.resolver.NXDOMAIN
        if texts == ["timeout"]:
            raise dns.exception.Timeout
        return [dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text) for text in texts]


async def targets(zone: Zone, uri: str) -> list[Target]:
    parsed = parse_uri(uri)
    assert isinstance(parsed, SipUri)
    resolver: Any = zone
    return list(await SipResolver(resolver).resolve(parsed))


A = {("gw.example.com", "A"): ["192.0.2.1"], ("gw2.example.com", "A"): ["192.0.2.2"]}


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("sip:bob@192.0.2.9", Target(UDP, ("192.0.2.9", 5060), "192.0.2.9")),
        ("sip:bob@192.0.2.9:5080;transport=tcp", Target(TCP, ("192.0.2.9", 5080), "192.0.2.9")),
        ("sips:bob@192.0.2.9", Target(TLS, ("192.0.2.9", 5061), "192.0.2.9")),
        ("sip:bob@[2001:db8::1]", Target(UDP, ("2001:db8::1", 5060), "2001:db8::1")),
        ("sip:bob@example.com;maddr=192.0.2.7", Target(UDP, ("192.0.2.7", 5060), "192.0.2.7")),
    ],
)
async def test_an_address_asks_nobody(uri: str, target: Target):
    zone = Zone({})
    assert await targets(zone, uri) == [target]
    assert zone.asked == []


async def test_a_port_leads_straight_to_the_address():
    zone = Zone(A)
    assert await targets(zone, "sip:bob@gw.example.com:5070") == [Target(UDP, ("192.0.2.1", 5070), "gw.example.com")]
    assert ("_sip._udp.gw.example.com", "SRV") not in zone.asked


async def test_naptr_chooses_the_transport_and_srv_the_hosts():
    zone = Zone(
        A
        | {
            ("example.com", "NAPTR"): [
                '20 50 "s" "SIP+D2U" "" _sip._udp.example.com.',
                '10 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.',
            ],
            ("_sips._tcp.example.com", "SRV"): ["20 0 5061 gw2.example.com.", "10 0 5071 gw.example.com."],
        }
    )
    assert await targets(zone, "sip:bob@example.com") == [
        Target(TLS, ("192.0.2.1", 5071), "example.com"),  # the certificate is the domain's, not the host's (RFC 5922)
        Target(TLS, ("192.0.2.2", 5061), "example.com"),
    ]


async def test_without_naptr_the_srv_records_are_tried_in_turn():
    zone = Zone(A | {("_sip._tcp.example.com", "SRV"): ["10 0 5090 gw.example.com."]})
    assert await targets(zone, "sip:bob@example.com") == [Target(TCP, ("192.0.2.1", 5090), "example.com")]


async def test_without_any_record_of_service_the_name_itself_is_the_host():
    assert await targets(Zone(A), "sip:bob@gw.example.com") == [Target(UDP, ("192.0.2.1", 5060), "gw.example.com")]


async def test_sips_is_never_looked_for_in_the_clear():
    zone = Zone(A | {("_sip._udp.gw.example.com", "SRV"): ["10 0 5060 gw.example.com."]})
    assert await targets(zone, "sips:bob@gw.example.com") == [Target(TLS, ("192.0.2.1", 5061), "gw.example.com")]


@pytest.mark.parametrize("records", [{}, {("nowhere.example", "NAPTR"): ["timeout"]}])
async def test_nothing_found_is_no_target(records: dict[tuple[str, str], list[str]]):
    assert await targets(Zone(records), "sip:bob@nowhere.example") == []


async def test_too_many_answers_are_cut():
    many = {("big.example", "A"): [f"192.0.2.{n}" for n in range(100)]}
    assert len(await targets(Zone(many), "sip:bob@big.example:5060")) == MAX_TARGETS


async def test_localhost_is_here():
    assert await targets(Zone({}), "sip:bob@localhost:5060") == [Target(UDP, ("127.0.0.1", 5060), "localhost")]


async def test_of_equal_priority_the_heavier_comes_first_more_often():
    zone = Zone(A | {("_sip._udp.example.com", "SRV"): ["10 90 1 gw.example.com.", "10 10 1 gw2.example.com."]})
    first = [(await targets(zone, "sip:bob@example.com;transport=udp"))[0].address[0] for _ in range(400)]
    assert 300 < first.count("192.0.2.1") < 400
