# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where audio goes: subclass AudioSink or AudioHandlingSink."""
from __future__ import annotations

import abc

from .frames import AudioFrame
from .rtcp import RTCPPacket


class AudioSink(abc.ABC):
    """Receives what listen() hears, all of it from one thread that belongs to this listening.

    A sink may take its time: what it is late for waits in a queue of a few thousand frames, and what does not
    fit into that is dropped and counted (VoiceClient.listen_stats). An exception is logged and costs one frame.
    """

    # False for a sink that cannot use Opus packets: listen(decode=False) is refused.
    ACCEPTS_OPUS = True

    @abc.abstractmethod
    def on_audio(self, frame: AudioFrame) -> None:
        """A frame. The frames of one speaker come in order, without duplicates, never overlapping."""

    @abc.abstractmethod
    def on_rtcp(self, packet: RTCPPacket) -> None:
        """An authentic RTCP packet; those of a compound come one by one."""

    @abc.abstractmethod
    def cleanup(self) -> None:
        """Called once, after the last frame; only then is the voice client ready to listen again."""


class AudioHandlingSink(AudioSink):
    """A sink that says how long to wait for a missing packet before it is made up for.

    Ordering is done before a frame gets here, on the time of arrival and with sequence numbers that know about
    wrapping and restarts, so `on_valid_audio` is given every frame.
    """

    # Seconds, 0 to 5. Sound is late by that much.
    PACKET_WAIT_TIME = 2

    def on_audio(self, frame: AudioFrame) -> None:
        self.on_valid_audio(frame)

    @abc.abstractmethod
    def on_valid_audio(self, frame: AudioFrame) -> None:
        """A frame in its place."""
