"""One call of the model: two machines, what it writes and what the caller hears of it.

The model listens or replies; the voice plays or is silent; a reply takes no time of the model's stream, so that the
model listens on while its last reply is still being spoken. What comes meanwhile:

* a chunk while a reply is written waits in a queue. With the first chunk after the reply all of the queue is fed in
  one go, in the layout of the training: KEEP_SILENCE between the chunks, one decision at the end;
* chunks of a call that is behind, while it listens, are fed together as if it kept silent after each; up to the first
  decision to speak that is what feeding them one by one gives, and from there they are fed again;
* where the words come from elsewhere (``borrowed``), chunks wait likewise until the last of them came, and then the
  model is fed what was said in its name; where none come, it goes on from its draft;
* an interruption takes the reply back to the last word that was heard, closes it, and feeds again what the caller
  said since.

Between one chunk and the next at most ``Policy.reply_pace`` tokens are written, and all of those before the next
chunk counts: what the model does is a function of what it was given, not of how fast it was.
"""

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import exp
from typing import Any

from msgspec import Struct

from model_worker.answers.seam import AnswerPiece
from model_worker.duplex.audio_interaction.borrowed import Ask, Borrowed, Draft, Drop, Encode, Wish
from model_worker.duplex.audio_interaction.context import BLOCK, Context
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.reply import Decode, Render, Reply
from model_worker.duplex.audio_interaction.tokens import KEEP_SILENCE, LISTEN_TOKENS, TEXT_BEGIN, TEXT_END
from model_worker.duplex.audio_interaction.work import Decided, Listen, Work, Write, Written
from model_worker.duplex.history import Entry, History
from model_worker.seams import Said, Speech, StepInput, StepOutput
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, Floor, Voice

MEMORY_ENTRIES = 60


@dataclass(frozen=True, slots=True)
class Heard:
    """A chunk with its vectors."""

    given: StepInput
    vectors: Any


class CallState(Struct, frozen=True, array_like=True):
    """A call at rest: what stands in its context, and what was said."""

    prefix: tuple[int, ...]
    context: tuple[int, list[int], list[int], int]
    newest_turn: int
    history: tuple[tuple[Voice, str, int, bool], ...]


@dataclass(frozen=True, slots=True)
class Stopped:
    """The gateway stopped a turn."""

    turn: TurnId
    heard_s: float


class ModelCall:
    """``next_work`` and ``take`` in turns; ``take_outputs`` gives what came of it. No device, no clock in here."""

    def __init__(
        self, call: CallId, slot: int, prefix: Sequence[int], policy: Policy, decode: Decode, render: Render
    ) -> None:
        self.call = call
        self.slot = slot
        self.context = Context(prefix, policy.capacity)
        self.history = History()
        self.newest_turn = NO_TURN
        self._prefix = tuple(prefix)
        self._policy = policy
        self._decode = decode
        self._render = render
        self._inbox: deque[Heard | Stopped] = deque()
        self._queue: list[Any] = []  # vectors of chunks that came while a reply was written
        self._since: list[Any] | None = []  # those since the decision to reply; None when they are too many to keep
        self._reply: Reply | None = None  # being written, or not yet played to its end
        self._owed = 0  # tokens to write before the next chunk
        self._draft: Draft | None = None  # being written instead of the reply
        self._borrowed: Borrowed | None = None  # words for the reply are on their way
        self._wishes: list[Wish] = []
        self._batch: list[Heard] = []  # chunks in the work under way
        self._outputs: list[StepOutput] = []
        self._last_index = 0
        # So many chunks may wait that they, and what may come with them, fit behind the prefix.
        with_them = policy.reply_tokens if policy.draft_tokens else 0  # a reply that is not the model's is fed at once
        self._queue_limit = max(1, (policy.capacity - len(prefix) - with_them) // LISTEN_TOKENS // 2)

    @property
    def writing(self) -> bool:
        return self._reply is not None and not self._reply.written

    @property
    def busy(self) -> bool:
        """There is work to do."""
        return bool(self._inbox or self._batch or (self.writing and self._owed))

    @property
    def at_rest(self) -> bool:
        """Nothing is written, spoken or waited for."""
        return self._reply is None and not self._inbox and not self._queue and not self._batch and not self._outputs

    def state(self) -> CallState:
        """For ``recall``; only at rest."""
        entries = tuple((e.voice, e.text, int(e.turn), e.cut) for e in self.history.last(MEMORY_ENTRIES))
        return CallState(self._prefix, self.context.state(), int(self.newest_turn), entries)

    def recall(self, state: CallState) -> None:
        """Be what another call was. Raises ValueError when that was of another model."""
        if state.prefix != self._prefix:
            raise ValueError("another prefix")
        self.context.recall(state.context)
        self.newest_turn = TurnId(state.newest_turn)
        for voice, text, turn, cut in state.history:
            self.history.add(Entry(voice, text, TurnId(turn), cut))

    def hear(self, given: StepInput, vectors: Any) -> None:
        """The next chunk; its decision comes among the outputs."""
        self._inbox.append(Heard(given, vectors))

    def interrupt(self, turn: TurnId, heard_s: float) -> None:
        """The gateway stopped a turn between the chunks before and those to come."""
        self._inbox.append(Stopped(turn, heard_s))

    def take_outputs(self) -> list[StepOutput]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def take_wishes(self) -> list[Wish]:
        """What is wanted of whoever finds the words, in order."""
        wishes, self._wishes = self._wishes, []
        return wishes

    def take_answer(self, piece: AnswerPiece, encode: Encode) -> None:
        """More of the words that were asked for."""
        reply, borrowed = self._reply, self._borrowed
        if reply is None or borrowed is None:
            return
        if piece.error is not None and not borrowed.any:
            self._speak_for_itself(reply, borrowed.draft)
            return
        full = False
        for text, tokens in borrowed.take(piece.text, encode, last=piece.done and piece.error is None):
            full = len(reply.tokens) + len(tokens) > self._policy.reply_tokens
            if full:
                break
            self._say(reply, reply.add_words(text, tokens))
        if full and not piece.done:
            self._wishes.append(Drop())
        if full or piece.done:
            self._borrowed = None
            self.context.pending = [*reply.tokens, TEXT_END]
            self._end_reply(reply)

    def next_work(self) -> Work | None:
        """What has to be done next; None when there is nothing. Asked again before ``take``, it is the same."""
        if self._batch:
            return self._listen(self._batch)
        while self._inbox:
            event = self._inbox[0]
            if self.writing and self._owed and not self._knows_already(event):
                return self._write()
            if isinstance(event, Stopped):
                self._stop(event)
            elif self.writing:
                self._wait_in_queue(event)
            else:
                self._batch = self._next_batch()
                return self._listen(self._batch)
            self._inbox.popleft()
        return self._write() if self.writing and self._owed else None

    def make_room(self) -> int:
        """Before work is done: how many positions behind the prefix have to be evicted for it."""
        work = self.next_work()
        dropped = 0 if work is None else self.context.make_room(len(work.tokens))
        if dropped and self._reply is not None:
            self._reply.at -= dropped
        return dropped

    def take(self, outcome: Decided | Written) -> None:
        """What came of the work."""
        if isinstance(outcome, Written):
            self._write_on(outcome.token)
        else:
            self._decide(outcome)

    def _next_batch(self) -> list[Heard]:
        if self._queue:
            event = self._inbox[0]
            assert isinstance(event, Heard), "a batch begins with a chunk"
            return [event]
        batch: list[Heard] = []
        for event in self._inbox:
            if not isinstance(event, Heard):
                break
            batch.append(event)
        return batch

    def _listen(self, batch: Sequence[Heard]) -> Listen:
        tokens = list(self.context.pending)
        vectors: list[tuple[int, Any]] = []
        read: list[int] = []
        chunks = [*self._queue, *(heard.vectors for heard in batch)]
        for number, chunk in enumerate(chunks):
            if number:
                tokens.append(KEEP_SILENCE)
            vectors.append((len(tokens) + 1, chunk))
            tokens.extend(BLOCK)
            if number >= len(self._queue):
                read.append(len(tokens) - 1)
        return Listen(self.call, self.slot, self.context.length, tokens, vectors, read)

    def _write(self) -> Write:
        reply = self._reply
        assert reply is not None, "a reply is written"
        written = len(reply.tokens) + (0 if self._draft is None else len(self._draft.tokens))
        place = struct.pack("!qq", reply.turn, written)
        drawn = blake2b(place, digest_size=6, key=self.call.encode()[:64]).digest()
        chance = int.from_bytes(drawn) / 2**48
        return Write(self.call, self.slot, self.context.length, self.context.pending, chance)

    def _decide(self, decided: Decided) -> None:
        batch, self._batch = self._batch, []
        work = self._listen(batch)
        policy = self._policy
        probabilities = [
            1 / (1 + exp(min(700.0, silence - speak - policy.speak_bias))) for silence, speak in decided.logits
        ]
        spoke = next((n for n, p in enumerate(probabilities) if p >= policy.speak_from), None)
        accepted = len(batch) if spoke is None else spoke + 1
        self.context.fed(work.read[accepted - 1] + 1, [at - 1 for at, _ in work.vectors[: len(self._queue) + accepted]])
        self.context.pending = [KEEP_SILENCE if spoke is None else TEXT_BEGIN]
        self._queue = []
        for number, heard in enumerate(batch[:accepted]):
            self._inbox.popleft()
            self._keep(heard.vectors)
            self._answer(heard.given, probabilities[number], begins=number == spoke)

    def _answer(self, given: StepInput, p_speak: float | None, *, begins: bool) -> None:
        self._last_index = given.index
        if self._reply is not None:
            self._follow(self._reply, given)
        if begins:
            self._begin_reply()
        reply = self._reply
        if reply is None:
            self._outputs.append(StepOutput(given.call, given.index, DecisionKind.LISTEN, p_speak=p_speak))
            return
        speech = reply.voice.speak() if not begins else []
        decision = self._speaking(reply, given.index, DecisionKind.SPEAK, speech, p_speak)
        self._outputs.append(replace(decision, floor=self._judge(given, p_speak)))
        self._end_if_played(reply)

    def _judge(self, given: StepInput, p_speak: float | None) -> Floor | None:
        """Whose turn it is while both sound; None where nobody asks, or while the model hears nothing."""
        if not self._policy.judges or given.overlap_s <= 0 or p_speak is None:
            return None
        return Floor.YIELD if p_speak >= self._policy.speak_from else Floor.KEEP

    def _begin_reply(self) -> None:
        """The decision to speak; what was still being said is replaced."""
        if self._reply is not None:
            self._cut_history(self._reply, self._reply.voice.heard_s)
        self.newest_turn = TurnId(self.newest_turn + 1)
        self._reply = Reply(self.newest_turn, self.context.length, self._decode, self._render)
        self._since = []
        self._owed = self._policy.reply_pace
        if self._policy.draft_tokens:
            self._draft = Draft(self._policy.draft_tokens)

    def _wait_in_queue(self, heard: Heard) -> None:
        self._queue = [*self._queue, heard.vectors][-self._queue_limit :]
        self._keep(heard.vectors)
        self._owed = 0 if self._borrowed is not None else self._policy.reply_pace
        self._answer(heard.given, None, begins=False)

    def _keep(self, vectors: Any) -> None:
        if self._reply is None or self._since is None:
            return
        self._since.append(vectors)
        if len(self._since) > self._policy.rewind_chunks:
            self._since = None

    def _write_on(self, token: int) -> None:
        reply, policy = self._reply, self._policy
        assert reply is not None, "a reply is written"
        self.context.fed(len(self.context.pending))
        self._owed -= 1
        if self._draft is not None:
            self._draft_on(reply, self._draft, token)
            return
        if token != TEXT_END:
            self._say(reply, reply.add(token))
            self.context.pending = [token]
            too_long = len(reply.tokens) > policy.reply_tokens
            if not too_long and not (policy.loop_repeats and reply.loops(policy.loop_repeats)):
                return
            self.context.pending.append(TEXT_END)
        else:
            self.context.pending = [TEXT_END]
        self._end_reply(reply)

    def _draft_on(self, reply: Reply, draft: Draft, token: int) -> None:
        if token != TEXT_END:
            draft.tokens.append(token)
            self.context.pending = [token]
            if not draft.full:
                return
        else:
            draft.ended = True
        self._draft, self._owed = None, 0
        reply.emotion = draft.emotion
        if reply.at >= self.context.pinned:
            self.context.cut(reply.at, [TEXT_BEGIN])
        self._borrowed = Borrowed(draft)
        self._wishes.append(Ask(reply.turn, self._decode(draft.words)))

    def _speak_for_itself(self, reply: Reply, draft: Draft) -> None:
        """Nobody found words: the model goes on from its draft as if nobody had been asked."""
        self._borrowed, self._owed = None, self._policy.reply_pace
        self.context.pending = [TEXT_BEGIN, *draft.tokens]
        for token in draft.tokens:
            self._say(reply, reply.add(token))
        if draft.ended:
            self.context.pending.append(TEXT_END)
            self._end_reply(reply)

    def _end_reply(self, reply: Reply) -> None:
        self._owed = 0
        self.history.add(Entry(Voice.AGENT, reply.text, reply.turn))
        self._say(reply, reply.finish(), ended=True)
        self._end_if_played(reply)

    def _say(self, reply: Reply, speech: Sequence[Speech], *, ended: bool = False) -> None:
        if speech or ended:
            said = (Said(Voice.AGENT, reply.text),) if ended and reply.text else ()
            self._outputs.append(self._speaking(reply, self._last_index, None, speech, None, said))

    def _speaking(
        self,
        reply: Reply,
        index: int,
        decision: DecisionKind | None,
        speech: Sequence[Speech],
        p_speak: float | None,
        said: Sequence[Said] = (),
    ) -> StepOutput:
        done = reply.voice.done and not reply.told_done
        reply.told_done |= done
        return StepOutput(self.call, index, decision, reply.turn, speech, turn_done=done, said=said, p_speak=p_speak)

    def _follow(self, reply: Reply, given: StepInput) -> None:
        turn, heard_s = given.playback_s
        if turn == reply.turn:
            reply.voice.hear(heard_s)
        self._end_if_played(reply)

    def _end_if_played(self, reply: Reply) -> None:
        if reply.written and reply.told_done and reply.voice.played and self._reply is reply:
            self._reply = None

    def _knows_already(self, event: Heard | Stopped) -> bool:
        """An interruption within what was spoken need not wait for the rest of the tokens: they are thrown away."""
        reply = self._reply
        return isinstance(event, Stopped) and (
            reply is None or event.turn != reply.turn or event.heard_s < reply.voice.generated_s
        )

    def _stop(self, stopped: Stopped) -> None:
        reply = self._reply
        if reply is None or stopped.turn < reply.turn:
            return
        # A later turn than any of ours: the worker before said more turns than came out of the replay here.
        heard_s = stopped.heard_s if stopped.turn == reply.turn else reply.voice.heard_s
        if self._borrowed is not None:
            self._wishes.append(Drop())
        self._draft = self._borrowed = None
        kept = reply.heard_tokens(heard_s)
        if not reply.written:
            self.history.add(Entry(Voice.AGENT, reply.text, reply.turn))
        self._cut_history(reply, heard_s)
        self._reply, self._owed = None, 0
        if reply.at >= self.context.pinned and self._since is not None:
            fed = min(kept, self.context.length - reply.at)
            self.context.cut(reply.at + fed, [*reply.tokens[fed:kept], TEXT_END])
            self._queue = self._since[-self._queue_limit :]
        elif not reply.written:  # its beginning is gone from the context: it ends where it is
            self.context.pending.append(TEXT_END)

    def _cut_history(self, reply: Reply, heard_s: float) -> None:
        self.history.cut(reply.turn, reply.voice.heard_text(heard_s))
