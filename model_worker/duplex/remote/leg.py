"""One session of a call and the link that carries it; what the caller says waits here until the server is ready."""

from collections.abc import Iterable

from model_worker.duplex.remote.effects import Broken, Effect, Ready, Send, SessionFault
from model_worker.duplex.remote.seam import Connected, Dialect, LinkEvent, Links, Lost, Opening, Received, ServerSession
from model_worker.seams import Pcm


class Leg:
    """``hear`` and ``take`` bring effects, in order. After a ``Broken`` there are no more; it closes itself."""

    def __init__(self, dialect: Dialect, links: Links, opening: Opening, before: Iterable[Pcm] = ()) -> None:
        """``before``: what the caller said that no session has answered."""
        self.ready = False
        self.heard_s = 0.0
        self.limit_s = dialect.session_limit_s
        """The server ends it when it has heard so much; None: nothing is known of such a limit."""
        self.session: ServerSession = dialect.session(opening)
        self.link = links.open(dialect.request(opening))
        self._rate_hz = dialect.capabilities.input_rate_hz
        self._links = links
        self._waiting = list(before)
        self._waited_s = 0.0
        self._ready_within_s = dialect.ready_within_s
        self._over = False

    def hear(self, pcm: Pcm) -> list[Effect]:
        """The caller's next chunk."""
        if self._over:
            return []
        if self.ready:
            self._pass_on(pcm)
            return self.effects()
        self._waiting.append(pcm)
        self._waited_s += len(pcm) / self._rate_hz
        if self._waited_s > self._ready_within_s:
            return self._broken(Broken(SessionFault.TOO_SLOW, "not ready in time"))
        return []

    def take(self, event: LinkEvent) -> list[Effect]:
        """Something happened on the link."""
        if self._over:
            return []
        match event:
            case Connected():
                self.session.connected()
            case Received(frame):
                self.session.receive(frame)
            case Lost(fault, reason):
                return self._broken(Broken(fault, reason))
        return self.effects()

    def expires_within(self, left_s: float) -> None:
        """The server said so."""
        at_s = self.heard_s + left_s
        self.limit_s = at_s if self.limit_s is None else min(at_s, self.limit_s)

    def goes_on_from(self, broken: "Leg") -> None:
        """The server's session is the one of ``broken``: its time runs on."""
        self.heard_s = broken.heard_s
        self.limit_s = broken.limit_s

    def effects(self) -> list[Effect]:
        """What the session wants beyond the link, after any of its methods was called."""
        found: list[Effect] = []
        while not self._over and (effect := self.session.poll()) is not None:
            match effect:
                case Send(frame):
                    self._links.send(self.link, frame)
                case Ready():
                    self.ready = True
                    waiting, self._waiting = self._waiting, []
                    for pcm in waiting:
                        self._pass_on(pcm)
                case Broken():
                    found += self._broken(effect)
                case _:
                    found.append(effect)
        return found

    def close(self) -> None:
        """The call does not need it any more."""
        if self._over:
            return
        self.session.end()
        self.effects()
        self._over = True
        self._links.close(self.link)

    def _pass_on(self, pcm: Pcm) -> None:
        self.heard_s += len(pcm) / self._rate_hz
        self.session.hear(pcm)

    def _broken(self, broken: Broken) -> list[Effect]:
        self._over = True
        self._links.close(self.link)
        return [broken]
