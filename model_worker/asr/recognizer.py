"""Recognize an utterance with one grammar: two PocketSphinx decoders side by side.

One decoder knows the grammar and nothing else, so it fits any sound into it. The other, a phone
loop, knows no words: it takes whatever phones fit best. How much worse the grammar explains the
sound than the loop does, per frame, tells whether the caller said something of the grammar at all.
Runs in the recognizer's own process (``sphinx_child``), since a decoder can hang.
"""

import os
import tempfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
from pocketsphinx import Config, Decoder, get_model_path

from model_worker.asr.grammar import Grammar, without_fillers
from model_worker.asr.score import confidence, log_score
from model_worker.seams import Pcm, Recognition
