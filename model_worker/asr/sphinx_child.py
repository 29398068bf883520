"""PocketSphinx in a process that can be killed: utterances in on stdin, hypotheses out on stdout.

Run by ``model_worker.asr.sphinx`` as ``python -m model_worker.asr.sphinx_child``; ``protocol`` has
the frames. The process ends when stdin does.
"""

import signal
import sys

from model_worker.asr.protocol import Begin, Drop, Feed, Finish, read_command, write
from model_worker.asr.recognizer import Recognizer

# Should the parent be gone and a decoder hang, nobody else would end this process.
_HANG_LIMIT_S = 60


def main() -> None:
    """Serve until stdin ends."""
    recognizer = Recognizer()
    while (command := read_command(sys.stdin.buffer)) is not None:
        signal.alarm(_HANG_LIMIT_S)
        match command:
            case Begin(utterance, jsgf, dictionary):
                recognizer.begin(utterance, jsgf, dictionary)
            case Feed(utterance, pcm):
                recognizer.feed(utterance, pcm)
            case Finish(utterance):
                write(sys.stdout.buffer, recognizer.finish(utterance))
            case Drop(utterance):
                recognizer.drop(utterance)
        signal.alarm(0)


if __name__ == "__main__":
    main()
