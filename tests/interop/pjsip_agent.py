# mypy: ignore-errors
# PJSIP has no types, and is not in the environment that mypy looks at.
"""A PJSIP telephone, driven by lines of JSON. Runs under the Python of .venv-peers and imports nothing of ours.

Commands on standard input: ``{"do": "call", "uri": …}``, ``hold``, ``resume``, ``dtmf`` with ``digits``, ``refer`` with
``uri``, ``update``, ``hangup``, ``quit``. Events in the file of ``--events``, one a line: ``ready``, ``call`` with
``state`` and ``code``, ``media`` with ``codec`` and ``security``, ``dtmf`` with ``digit``, ``registration``,
``transfer``. Standard output is PJSIP's own: its threads write their log there, into the middle of a line too.

As a callee it does what the dialled user says: ``busy`` gives 486, ``ring`` rings on, any other rings and answers.
"""

import argparse
import json
import os
import select
import sys
import time

import pjsua2 as pj

ANSWER_AFTER_S = 0.2


said = None


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), file=said, flush=True)


class Telephone:
    """The endpoint, its account and its calls. One thread: PJSIP calls back only while ``run`` lets it."""

    def __init__(self, options):
        self.options = options
        self.calls = {}
        self.later = []
        self.quitting = False
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = 4  # as many as the wheel was compiled for
        config.logConfig.level = config.logConfig.consoleLevel = options.log_level
        config.medConfig.clockRate = config.medConfig.sndClockRate = options.sample_rate
        config.medConfig.noVad = True
        config.medConfig.ecTailLen = 0
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        scheme = self.open_transport(options)
        self.endpoint.libStart()
        self.choose_codecs(options.codecs.split(","))
        self.account = Account(self)
        self.account.create(self.account_config(options, scheme))
        say("ready", uri=f"sip:{options.user}@{options.host}:{options.port}{scheme}")

    def open_transport(self, options):
        transport = pj.TransportConfig()
        transport.port = options.port
        transport.boundAddress = options.host
        transport.publicAddress = options.host
        if options.transport == "tls":
            transport.tlsConfig.certFile = options.certificate
            transport.tlsConfig.privKeyFile = options.key
            transport.tlsConfig.method = pj.PJSIP_TLSV1_2_METHOD
            self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_TLS, transport)
            return ";transport=tls"
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_TCP, transport)
        return ";transport=tcp" if options.transport == "tcp" else ""

    def choose_codecs(self, wanted):
        for codec in self.endpoint.codecEnum2():
            name = codec.codecId.split("/")[0]
            self.endpoint.codecSetPriority(codec.codecId, 200 - wanted.index(name) if name in wanted else 0)

    def account_config(self, options, scheme):
        config = pj.AccountConfig()
        config.idUri = f"sip:{options.user}@{options.host}:{options.port}{scheme}"
        if options.username:
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", options.username, 0, options.password))
        if options.registrar:
            config.regConfig.registrarUri = options.registrar
            config.regConfig.timeoutSec = 120
            config.idUri = f"sip:{options.user}@{options.registrar.split(':', 1)[1].split(';')[0]}"
        if options.proxy:
            config.sipConfig.proxies.append(options.proxy)
        config.mediaConfig.srtpUse = {"none": 0, "optional": 1, "mandatory": 2}[options.srtp]
        config.mediaConfig.srtpSecureSignaling = 0
        keyings = pj.IntVector()
        keyings.append(pj.PJMEDIA_SRTP_KEYING_SDES)  # the wheel is built without DTLS-SRTP
        config.mediaConfig.srtpOpt.keyings = keyings
        config.mediaConfig.transportConfig.boundAddress = options.host
        config.mediaConfig.transportConfig.publicAddress = options.host
        config.mediaConfig.transportConfig.port = options.media_port
        config.callConfig.prackUse = {"no": 0, "optional": 2, "mandatory": 1}[options.prack]
        config.callConfig.timerUse = 1
        config.callConfig.timerMinSESec = 90
        return config

    def run(self):
        """Until ``quit``, the end of the input, or the limit."""
        until = time.monotonic() + self.options.limit_s
        pending = b""
        while not self.quitting and time.monotonic() < until:
            self.endpoint.libHandleEvents(10)
            for moment, action in self.later[:]:
                if moment <= time.monotonic():
                    self.later.remove((moment, action))
                    action()
            if select.select([sys.stdin], [], [], 0)[0]:
                data = os.read(sys.stdin.fileno(), 65_536)
                if not data:
                    break
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self.obey(json.loads(line))
        self.endpoint.hangupAllCalls()
        until = time.monotonic() + 1.0
        while self.calls and time.monotonic() < until:
            self.endpoint.libHandleEvents(10)

    def obey(self, command):
        doing = command.pop("do")
        if doing == "quit":
            self.quitting = True
        elif doing == "call":
            call = Call(self, self.account)
            self.calls[id(call)] = call
            call.makeCall(command["uri"], pj.CallOpParam(True))
        elif not self.calls:
            say("error", text=f"no call to {doing}")
        else:
            next(iter(self.calls.values())).obey(doing, command)

    def after(self, seconds, action):
        self.later.append((time.monotonic() + seconds, action))


class Account(pj.Account):
    def __init__(self, telephone):
        super().__init__()
        self.telephone = telephone

    def onRegState(self, prm):
        say("registration", code=prm.code)

    def onIncomingCall(self, prm):
        call = Call(self.telephone, self, prm.callId)
        self.telephone.calls[id(call)] = call
        dialled = call.getInfo().localUri.partition("sip:")[2].partition("@")[0]
        if dialled == "busy":
            call.answer_with(486)
            return
        call.answer_with(180)
        if dialled != "ring":
            self.telephone.after(ANSWER_AFTER_S, lambda: call.answer_with(200))


class Call(pj.Call):
    def __init__(self, telephone, account, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(account, call_id)
        self.telephone = telephone
        self.player = self.recorder = None
        self.over = False

    def answer_with(self, code):
        if not self.over:
            param = pj.CallOpParam()
            param.statusCode = code
            self.answer(param)

    def obey(self, doing, command):
        param = pj.CallOpParam(True)
        if doing == "hold":
            self.setHold(param)
        elif doing == "resume":
            param.opt.flag = pj.PJSUA_CALL_UNHOLD
            self.reinvite(param)
        elif doing == "update":
            self.update(param)
        elif doing == "dtmf":
            self.dialDtmf(command["digits"])
        elif doing == "refer":
            self.xfer(command["uri"], param)
        elif doing == "hangup":
            self.hangup(param)
        else:
            say("error", text=f"unknown command {doing}")

    def onCallState(self, prm):
        info = self.getInfo()
        say("call", state=info.stateText, code=info.lastStatusCode, reason=info.lastReason)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.over = True
            self.player = self.recorder = None  # which closes the files
            self.telephone.calls.pop(id(self), None)

    def onCallMediaState(self, prm):
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            status = {0: "none", 1: "active", 2: "local_hold", 3: "remote_hold", 4: "error"}[media.status]
            fields = {"status": status}
            if media.status in (1, 3):
                stream = self.getStreamInfo(index)
                fields |= {"codec": stream.codecName, "rate": stream.codecClockRate, "protocol": stream.proto}
                if media.status == 1:
                    self.connect(self.getAudioMedia(index))
            say("media", **fields)

    def connect(self, audio):
        options = self.telephone.options
        if self.player is None and options.play:
            self.player = pj.AudioMediaPlayer()
            self.player.createPlayer(options.play, 0 if options.loop else pj.PJMEDIA_FILE_NO_LOOP)
        elif self.player is None:
            # A call into which nothing is fed sends no RTP, and no keys either.
            self.player = pj.ToneGenerator()
            self.player.createToneGenerator(options.sample_rate, 1)
        if options.record and self.recorder is None:
            self.recorder = pj.AudioMediaRecorder()
            self.recorder.createRecorder(options.record)
        self.player.startTransmit(audio)
        if self.recorder is not None:
            audio.startTransmit(self.recorder)

    def onDtmfDigit(self, prm):
        say("dtmf", digit=prm.digit)

    def onCallTransferRequest(self, prm):
        say("transfer", uri=prm.dstUri)
        prm.statusCode = 603  # one call at a time is what the tests look at

    def onCallTransferStatus(self, prm):
        say("transfer_status", code=prm.statusCode, final=prm.finalNotify)


def main():
    global said
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", required=True, help="file that takes the events")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--media-port", type=int, default=4000)
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), default="udp")
    parser.add_argument("--certificate", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--user", default="pjsip")
    parser.add_argument("--username", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--registrar", default="")
    parser.add_argument("--proxy", default="")
    parser.add_argument("--codecs", default="PCMU,PCMA", help="in order of preference; others are not offered")
    parser.add_argument("--srtp", choices=("none", "optional", "mandatory"), default="none")
    parser.add_argument("--prack", choices=("no", "optional", "mandatory"), default="no")
    parser.add_argument("--sample-rate", type=int, default=8_000)
    parser.add_argument("--play", default="", help="wav file")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--record", default="", help="wav file")
    parser.add_argument("--limit-s", type=float, default=60.0)
    parser.add_argument("--log-level", type=int, default=4)
    options = parser.parse_args()
    with open(options.events, "a") as said:
        telephone = Telephone(options)
        telephone.run()
        telephone.account.shutdown()
        telephone.endpoint.libDestroy()


if __name__ == "__main__":
    main()
