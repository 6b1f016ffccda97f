# SPDX-License-Identifier: LGPL-2.1-or-later
"""One listen(): a branch of the call's pipeline, and the thread that gives a sink what comes out of it."""
from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, List, Optional

from .frames import SAMPLE_RATE, AudioFrame, Numbering, parse_rtp
from .gstreamer import Gst, has_property, make, speaker_meta
from .rtcp import parse_compound
from .sinks import AudioSink

_log = logging.getLogger(__name__)

_TICK = 50 * Gst.MSECOND
# Frames between appsink and sink. Behind them wait 4096 more in discordworkerdec, which drops and counts.
_WAITING = 500


def _position(time: int) -> int:
    return (time * SAMPLE_RATE + Gst.SECOND // 2) // Gst.SECOND


class Listening(threading.Thread):
    """The thread pulls samples instead of being called by GStreamer's threads, so that decoding never waits for
    the interpreter lock. It builds its branch and takes it away again itself: both can take a moment, and the
    event loop must not wait.

    resolve: user id to Member, Object or None. finished: called from the thread as its last act, with the error
    that ended listening or None; the sink has been cleaned up.
    """

    def __init__(self, pipeline: Gst.Pipeline, tee: Gst.Element, sink: AudioSink, properties: Dict[str, Any], *,
                 decode: bool, resolve: Callable[[int, int], Any],
                 finished: Callable[["Listening", Optional[BaseException]], None]) -> None:
        super().__init__(name="gst-discord-listening", daemon=True)
        self.sink = sink
        self.error: Optional[BaseException] = None
        self.stats: Dict[str, int] = {"frames": 0, "rtcp": 0, "malformed_rtcp": 0, "sink_errors": 0,
                                      "frames_dropped": 0}
        self._pipeline = pipeline
        self._tee = tee
        self._properties = properties
        self._decode = decode
        self._resolve = resolve
        self._finished = finished
        self._stop_asked = threading.Event()
        self._aborted = False
        self._lock = threading.Lock()
        self._pauses: List[List[int]] = []  # [first sample, sample after the last or -1], guarded by _lock
        self._numbering = Numbering()
        self._bin: Optional[Gst.Bin] = None
        self._decoder: Optional[Gst.Element] = None
        self._tee_pad: Optional[Gst.Pad] = None
        self._origin = self._now()

    # From any thread.

    def stop(self, error: Optional[BaseException] = None) -> None:
        """Lets what has arrived reach the sink and ends. Returns at once."""
        if error is not None and self.error is None:
            self.error = error
        self._stop_asked.set()

    def abort(self) -> None:
        """Ends without what is still on the way; the sink is cleaned up all the same."""
        self._aborted = True
        self.stop()

    def pause(self) -> None:
        with self._lock:
            if not self._pauses or self._pauses[-1][1] >= 0:
                self._pauses.append([max(self._now() - self._origin, 0), -1])

    def resume(self) -> None:
        with self._lock:
            if self._pauses and self._pauses[-1][1] < 0:
                self._pauses[-1][1] = max(self._now() - self._origin, 0)

    def owns(self, element: Optional[Gst.Object]) -> bool:
        """Whether a bus message comes from this branch."""
        branch = self._bin
        while element is not None and branch is not None:
            if element == branch:
                return True
            element = element.get_parent()
        return False

    def _now(self) -> int:
        clock = self._pipeline.get_clock()
        if clock is None:
            return 0
        return _position(max(clock.get_time() - self._pipeline.get_base_time(), 0))

    # Of the thread.

    def run(self) -> None:
        try:
            self._attach()
            self._pull()
        except Exception as error:  # a broken branch must not leave the client waiting for ever
            _log.exception("listening ended by an error")
            self.error = self.error or error
        finally:
            try:
                self._remove()
            except Exception as error:
                _log.exception("the branch could not be taken away")
                self.error = self.error or error
            try:
                self.sink.cleanup()
            except Exception as error:
                _log.exception("cleanup of %r failed", self.sink)
                self.error = self.error or error
            self._finished(self, self.error)

    def _attach(self) -> None:
        self._bin = branch = Gst.Bin()
        self._decoder = decoder = make("discordworkerdec", decode=self._decode)
        for name, value in self._properties.items():
            if name == "pool" and not has_property(decoder, name):
                continue  # this version has no shared workers: they are this listening's own
            decoder.set_property(name, value)
        limits = {"sync": False, "async": False, "qos": False, "enable_last_sample": False, "wait_on_eos": False}
        self._audio = make("appsink", max_buffers=_WAITING, **limits)
        self._rtcp = make("appsink", max_buffers=64, drop=True, **limits)
        for element in (decoder, self._audio, self._rtcp):
            branch.add(element)
        decoder.link(self._audio)
        decoder.request_pad_simple("rtcp_src").link(self._rtcp.get_static_pad("sink"))
        branch.add_pad(Gst.GhostPad.new("sink", decoder.get_static_pad("sink")))
        self._pipeline.add(branch)
        branch.sync_state_with_parent()
        self._tee_pad = self._tee.request_pad_simple("src_%u")
        self._tee_pad.link(branch.get_static_pad("sink"))

    def _detach(self) -> None:
        """No more datagrams; what is in the branch comes out, and EOS behind it."""
        if self._tee_pad is not None:
            self._tee.release_request_pad(self._tee_pad)
            self._tee_pad = None
            self._bin.get_static_pad("sink").send_event(Gst.Event.new_eos())

    def _remove(self) -> None:
        if self._bin is None:
            return
        if self._tee_pad is not None:
            self._tee.release_request_pad(self._tee_pad)
            self._tee_pad = None
        if self._decoder is not None:
            self._count_drops()
        self._bin.set_state(Gst.State.NULL)
        if self._bin.get_parent() is not None:
            self._pipeline.remove(self._bin)

    def _pull(self) -> None:
        ticks = 0
        while not self._aborted:
            sample = self._audio.try_pull_sample(_TICK)
            if sample is not None:
                self._deliver(sample)
            elif self._audio.is_eos():
                return
            else:
                ticks += 1
                if ticks % 100 == 0:
                    self._count_drops()
            while True:
                compound = self._rtcp.try_pull_sample(0)
                if compound is None:
                    break
                self._deliver_rtcp(compound)
            if self._stop_asked.is_set():
                self._detach()
                if self.error is not None and sample is None:
                    return  # a branch that has failed sends no EOS

    def _deliver(self, sample: Gst.Sample) -> None:
        buffer = sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        meta = speaker_meta(buffer)
        if meta is None:
            return
        samples = _position(buffer.duration)
        if self._decode:
            sent = (meta.sequence, meta.timestamp) if meta.has_packet else None
        else:
            packet = parse_rtp(data)
            if packet is None:
                return
            sent, data = packet[:2], packet[3]
        sequence, timestamp = self._numbering.number(meta.ssrc, samples, sent)
        position = max(_position(buffer.pts) - self._origin, 0)
        frame = AudioFrame(sequence, timestamp, meta.ssrc, data, self._resolve(meta.ssrc, meta.user_id),
                           kind=meta.kind, position=position, samples=samples, paused=self._paused(position))
        self.stats["frames"] += 1
        self._call(self.sink.on_audio, frame)

    def _deliver_rtcp(self, sample: Gst.Sample) -> None:
        buffer = sample.get_buffer()
        packets, problem = parse_compound(buffer.extract_dup(0, buffer.get_size()))
        if problem is not None:
            self.stats["malformed_rtcp"] += 1
        for packet in packets:
            self.stats["rtcp"] += 1
            self._call(self.sink.on_rtcp, packet)

    def _call(self, function: Callable[[Any], None], argument: Any) -> None:
        try:
            function(argument)
        except Exception:
            # Every time would fill the disk at fifty frames a second.
            self.stats["sink_errors"] += 1
            if self.stats["sink_errors"] in (1, 10, 100) or self.stats["sink_errors"] % 1000 == 0:
                _log.exception("%r failed, for the %d. time", self.sink, self.stats["sink_errors"])

    def _paused(self, position: int) -> int:
        with self._lock:
            return sum(end - begin for begin, end in self._pauses if 0 <= end <= position)

    def _count_drops(self) -> None:
        stats = self._decoder.get_property("stats")
        dropped = stats.get_value("frames-dropped") if stats is not None else 0
        if dropped and dropped != self.stats["frames_dropped"]:
            _log.warning("%r is too slow: %d frames dropped", self.sink,
                         dropped - self.stats["frames_dropped"])
            self.stats["frames_dropped"] = dropped
