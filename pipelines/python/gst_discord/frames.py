# SPDX-License-Identifier: LGPL-2.1-or-later
"""What sinks are given."""
from __future__ import annotations

import struct
from typing import Any, Optional

SAMPLE_RATE = 48000
BYTES_PER_SAMPLE = 4  # 16 bit, two channels

# What Discord sends when somebody stops talking.
SILENT_FRAME = b"\xf8\xff\xfe"


class AudioFrame:
    """One frame of one speaker.

    sequence, timestamp, ssrc: of the RTP packet. A frame nobody sent (kind "fec" or "plc") has the numbers the
        lost packet had.
    audio: 48 kHz, 16 bit little endian, stereo; with decode=False the Opus packet.
    user: discord.Member, discord.Object for somebody who is not in the cache, None while nobody is known.
    kind: "audio"; "fec", a lost frame recovered from its successor; "plc", a concealed one; "silence".
    position: first sample of the frame on the clock that all speakers share; 0 is the moment of listen().
    samples: length at 48 kHz, per channel.
    paused: how many samples before `position` listening was paused.
    """

    __slots__ = ("sequence", "timestamp", "ssrc", "audio", "user", "kind", "position", "samples", "paused")

    def __init__(self, sequence: int, timestamp: int, ssrc: int, audio: bytes, user: Any = None, *,
                 kind: str = "audio", position: int = 0, samples: Optional[int] = None, paused: int = 0) -> None:
        self.sequence = sequence
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.audio = audio
        self.user = user
        self.kind = kind
        self.position = position
        self.samples = len(audio) // BYTES_PER_SAMPLE if samples is None else samples
        self.paused = paused

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / SAMPLE_RATE

    def __repr__(self) -> str:
        return (f"<AudioFrame ssrc={self.ssrc} sequence={self.sequence} timestamp={self.timestamp} "
                f"position={self.position} samples={self.samples} kind={self.kind} user={self.user!r}>")


class _Speaker:
    __slots__ = ("sequence", "timestamp", "samples")

    def __init__(self) -> None:
        self.sequence = -1
        self.timestamp = 0
        self.samples = 0


class Numbering:
    """Sequence and timestamp of frames: those of their packets, and continued over frames that have none."""

    MAX_SPEAKERS = 1024

    def __init__(self) -> None:
        self._speakers: dict = {}

    def number(self, ssrc: int, samples: int, sent: Optional[tuple]) -> tuple:
        """`sent` is (sequence, timestamp), or None for a frame nobody sent."""
        speaker = self._speakers.get(ssrc)
        if speaker is None:
            if len(self._speakers) >= self.MAX_SPEAKERS:  # the one that was first is the likeliest to be gone
                del self._speakers[next(iter(self._speakers))]
            speaker = self._speakers[ssrc] = _Speaker()
        if sent is None:
            sent = ((speaker.sequence + 1) & 0xFFFF, (speaker.timestamp + speaker.samples) & 0xFFFFFFFF)
        speaker.sequence, speaker.timestamp = sent
        speaker.samples = samples
        return sent


def parse_rtp(data: bytes) -> Optional[tuple]:
    """(sequence, timestamp, ssrc, payload) of a plain RTP packet as discordworkerdec decode=false makes them, or
    None if it is none."""
    if len(data) < 12 or data[0] != 0x80:
        return None
    sequence, timestamp, ssrc = struct.unpack_from("!HII", data, 2)
    return sequence, timestamp, ssrc, data[12:]
