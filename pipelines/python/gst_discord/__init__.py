# SPDX-License-Identifier: LGPL-2.1-or-later
"""Voice receive for discord.py: a voice client, sinks, frames, RTCP, and files.

    voice = await channel.connect(cls=gst_discord.VoiceClient)
    voice.listen(gst_discord.AudioFileSink(gst_discord.MP3AudioFile, "recordings"), pool, after=finished)

The guide is docs/python.md.
"""
from .client import VoiceClient, VoiceError
from .files import AudioFile, AudioFileSink, ConversionError, MP3AudioFile, WaveAudioFile
from .frames import SILENT_FRAME, AudioFrame
from .pool import AudioProcessPool
from .rtcp import (
    RTCPApplicationDefinedPacket,
    RTCPGoodbyePacket,
    RTCPMessageType,
    RTCPPacket,
    RTCPReceiverReportBlock,
    RTCPReceiverReportPacket,
    RTCPSenderReportPacket,
    RTCPSourceDescriptionChunk,
    RTCPSourceDescriptionItem,
    RTCPSourceDescriptionPacket,
    parse_compound,
)
from .sinks import AudioHandlingSink, AudioSink

__version__ = "0.1.0"

__all__ = (
    "AudioFile",
    "AudioFileSink",
    "AudioFrame",
    "AudioHandlingSink",
    "AudioProcessPool",
    "AudioSink",
    "ConversionError",
    "MP3AudioFile",
    "RTCPApplicationDefinedPacket",
    "RTCPGoodbyePacket",
    "RTCPMessageType",
    "RTCPPacket",
    "RTCPReceiverReportBlock",
    "RTCPReceiverReportPacket",
    "RTCPSenderReportPacket",
    "RTCPSourceDescriptionChunk",
    "RTCPSourceDescriptionItem",
    "RTCPSourceDescriptionPacket",
    "SILENT_FRAME",
    "VoiceClient",
    "VoiceError",
    "WaveAudioFile",
    "parse_compound",
)
