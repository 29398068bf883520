"""What RFC 4475 says about each of its 49 messages, and what becomes of it here.

``PARSED`` messages are understood; where the layers above refuse one, ``outcome`` says so. The tests of the
parser, of the user agent and of the whole gateway on the wire read this one table.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data" / "rfc4475"


class Fate(Enum):
    RINGS = "the application is asked about a call"
    SILENCE = "nothing is answered"


RINGS, SILENCE = Fate.RINGS, Fate.SILENCE
PARSED = ""
"""In the place of the parser's reason to refuse."""


@dataclass(frozen=True, slots=True)
class Case:
    """``fault`` is the parser's reason, PARSED for none; ``outcome`` what a user agent answers over UDP."""

    section: str
    says: str
    fault: str
    outcome: int | Fate

    @property
    def layer(self) -> str:
        """Who decided."""
        return "parser" if self.fault else "user agent"


NO_REGISTRAR = "valid; a registrar accepts it. Here: no registrar, 405"

CASES = {
    # 3.1.1 valid messages
    "wsinv": Case("3.1.1.1", "valid whatever its white space; its To tag is of no dialog", PARSED, 481),
    "intmeth": Case("3.1.1.2", "valid, every character class used; an unknown method: 405 or 501", PARSED, 405),
    "esc01": Case("3.1.1.3", "valid; escapes in user parts and parameters are not those of separators", PARSED, RINGS),
    "escnull": Case("3.1.1.4", "valid; a user may hold %00. " + NO_REGISTRAR, PARSED, 405),
    "esc02": Case("3.1.1.5", "valid; % escapes nothing in a method, which is unknown then: 405 or 501", PARSED, 405),
    "lwsdisp": Case("3.1.1.6", "valid; no white space is needed between display name and <", PARSED, 200),
    "longreq": Case("3.1.1.7", "valid; long values, 34 Vias", PARSED, RINGS),
    "dblreq": Case("3.1.1.8", "the first request is answered, what follows it in the datagram is not", PARSED, 405),
    "semiuri": Case("3.1.1.9", "valid; a semicolon before the @ belongs to the user", PARSED, 200),
    "transports": Case("3.1.1.10", "valid; an element need not know the transports of the lower Vias", PARSED, 200),
    "mpart01": Case("3.1.1.11", "valid, with a binary body of two parts. Here: no MESSAGE, 405", PARSED, 405),
    "unreason": Case("3.1.1.12", "a valid response with a reason in UTF-8; to nothing that was asked", PARSED, SILENCE),
    "noreason": Case("3.1.1.13", "a valid response with an empty reason; to nothing that was asked", PARSED, SILENCE),
    # 3.1.2 invalid messages
    "badinv01": Case("3.1.2.1", "empty parameters in Via and Contact: 400", "parameter", 400),
    "clerr": Case("3.1.2.2", "a body shorter than Content-Length: 400 over UDP", "content_length", 400),
    "ncl": Case("3.1.2.3", "a negative Content-Length: 400", "content_length", 400),
    "scalar02": Case("3.1.2.4", "CSeq, Max-Forwards and Expires too large: 400", "cseq", 400),
    "scalarlg": Case("3.1.2.5", "a response with numbers too large is dropped", "cseq", SILENCE),
    "quotbal": Case("3.1.2.6", "a quote that is not closed: 400", "name_addr", 400),
    "ltgtruri": Case("3.1.2.7", "a Request-URI in angle brackets: 400", "uri", 400),
    "lwsruri": Case("3.1.2.8", "white space within the Request-URI: 400", "uri", 400),
    "lwsstart": Case("3.1.2.9", "two spaces in the start line: 400", "uri", 400),
    "trws": Case("3.1.2.10", "spaces behind the start line: 400, or be lenient", "start_line", 400),
    "escruri": Case("3.1.2.11", "headers in the Request-URI: 400, or ignore them", "uri", 400),
    "baddate": Case("3.1.2.12", "a Date with a wrong time zone: 400, or ignore it as nobody reads it", PARSED, RINGS),
    "regbadct": Case("3.1.2.13", "a Contact with ? outside of angle brackets: 400, or guess", "name_addr", 400),
    "badaspec": Case("3.1.2.14", "spaces within the URI of To: 400, or be lenient", "uri", 400),
    # Its last line is not followed by an empty one either, so it is refused before the names are read.
    "baddn": Case("3.1.2.15", "a display name with a comma and no quotes: 400, or be lenient", "no_end", 400),
    "badvers": Case("3.1.2.16", "SIP/7.0: 505", "version", 505),
    "mismatch01": Case("3.1.2.17", "another method in CSeq than in the start line: 400", "cseq", 400),
    "mismatch02": Case("3.1.2.18", "the same with an unknown method: 400 or 501", "cseq", 400),
    "bigcode": Case("3.1.2.19", "a response with a status beyond 699 is dropped", "status", SILENCE),
    # 3.2 transaction layer
    "badbranch": Case("3.2.1", "the branch is the magic cookie alone: not to be taken for unique", PARSED, 200),
    # 3.3 application layer
    "insuf": Case("3.3.1", "without Call-ID, From and To: 400", "missing_header", 400),
    "unkscm": Case("3.3.2", "a Request-URI of an unknown scheme: 416", PARSED, 416),
    "novelsc": Case("3.3.3", "a Request-URI of a known scheme that is not ours: 416", PARSED, 416),
    "unksm2": Case("3.3.4", "unknown schemes in To, From and Contact are well-formed. " + NO_REGISTRAR, PARSED, 405),
    "bext01": Case("3.3.5", "unknown extensions are required: 420", PARSED, 420),
    "invut": Case("3.3.6", "a body of an unknown type: 415", PARSED, 415),
    "regaut01": Case("3.3.7", "credentials of an unknown scheme are ignored. " + NO_REGISTRAR, PARSED, 405),
    "multi01": Case("3.3.8", "CSeq, Call-ID, From, To and Max-Forwards twice: 400", "repeated_header", 400),
    "mcl01": Case("3.3.9", "two Content-Length that differ: 400", "content_length", 400),
    "bcast": Case("3.3.10", "a response with a second Via, of a broadcast address, is dropped", PARSED, SILENCE),
    "zeromf": Case("3.3.11", "Max-Forwards 0 at the end of the way is no error", PARSED, 200),
    "cparam01": Case("3.3.12", "without angle brackets a parameter is that of Contact. " + NO_REGISTRAR, PARSED, 405),
    "cparam02": Case("3.3.13", "within angle brackets a parameter is that of the URI. " + NO_REGISTRAR, PARSED, 405),
    "regescrt": Case("3.3.14", "a Contact with a header in its URI. " + NO_REGISTRAR, PARSED, 405),
    "sdp01": Case("3.3.15", "takes no SDP in the response: it could be refused with 406 or 400", PARSED, RINGS),
    # 3.4 backward compatibility. The message should be accepted by those that want to talk to RFC 2543; here an
    # INVITE needs the Contact that RFC 3261 §8.1.1.8 asks for, by which the caller can be told of the end.
    "inv2543": Case("3.4.1", "no branch, no From tag, no Content-Length, no Max-Forwards: legal in 1999", PARSED, 400),
}


def message(name: str) -> bytes:
    return (FOLDER / f"{name}.dat").read_bytes()
