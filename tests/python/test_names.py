# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every name that users of discord-ext-listening know is there, or the guide says why not."""
import inspect
import pathlib
import re
import unittest

import discord

import gst_discord as listening

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "python.md"

EXPORTED = """RTCPMessageType AudioProcessPool AudioFrame AudioSink AudioHandlingSink AudioFileSink AudioFile WaveAudioFile
    MP3AudioFile RTCPPacket RTCPSenderReportPacket RTCPReceiverReportPacket RTCPSourceDescriptionPacket RTCPGoodbyePacket
    RTCPApplicationDefinedPacket RTCPReceiverReportBlock RTCPSourceDescriptionChunk RTCPSourceDescriptionItem
    VoiceClient SILENT_FRAME""".split()
MEMBERS = {
    "VoiceClient": """on_voice_server_update disconnect update_ssrc get_member_from_ssrc listen is_listening
        is_listening_paused is_listen_receiving is_listen_cleaning stop_listening pause_listening resume_listening
        wait_for_listen_ready is_connected move_to latency guild user""",
    "AudioProcessPool": "cleanup_processes",
    "AudioSink": "on_audio on_rtcp cleanup",
    "AudioHandlingSink": "on_audio on_rtcp cleanup on_valid_audio PACKET_WAIT_TIME",
    "AudioFileSink": "on_audio on_rtcp cleanup on_valid_audio convert_files",
    "AudioFile": "on_audio cleanup convert",
    "WaveAudioFile": "on_audio cleanup convert",
    "MP3AudioFile": "on_audio cleanup convert",
    "RTCPMessageType": "sender_report receiver_report source_description goodbye application_defined",
}
# Of its inside, or without a use here.
EXPLAINED = """connect_websocket recv_audio AudioReceiver AudioUnpacker RawAudioData get_audio_packet Decoder hook
    AsyncEventWrapper convert_with_ffmpeg get_new_path FRAME_BUFFER_LIMIT VALIDATION_LOOP_TIMEOUT
    VALIDATION_LOOP_START_TIMEOUT VALIDATION_WAIT_TIMEOUT wait_timeout AudioProcessPool.submit OpusNotLoaded""".split()
COROUTINES = {"VoiceClient": "disconnect wait_for_listen_ready move_to on_voice_server_update",
              "AudioFileSink": "convert_files", "AudioFile": "convert"}


class Names(unittest.TestCase):
    def test_what_was_exported_is_exported(self):
        for name in EXPORTED:
            self.assertIn(name, listening.__all__)
            self.assertTrue(hasattr(listening, name), name)

    def test_members(self):
        for kind, members in MEMBERS.items():
            for member in members.split():
                self.assertTrue(hasattr(getattr(listening, kind), member), f"{kind}.{member}")
        for kind, members in COROUTINES.items():
            for member in members.split():
                self.assertTrue(inspect.iscoroutinefunction(getattr(getattr(listening, kind), member)), member)
        self.assertTrue(issubclass(listening.VoiceClient, discord.VoiceProtocol))

    def test_arguments(self):
        listen = inspect.signature(listening.VoiceClient.listen).parameters
        self.assertEqual(list(listen)[:2], ["self", "sink"])
        for keyword, default in (("decode", True), ("supress_warning", False), ("after", None)):
            self.assertEqual(listen[keyword].default, default)
            self.assertEqual(listen[keyword].kind, inspect.Parameter.KEYWORD_ONLY)
        self.assertTrue(any(p.kind is inspect.Parameter.VAR_KEYWORD for p in listen.values()))
        pool = inspect.signature(listening.AudioProcessPool).parameters
        self.assertEqual({name: p.default for name, p in pool.items()},
                         {"max_processes": inspect.Parameter.empty, "wait_timeout": 3, "process_patience": None})

    def test_the_numbers_of_rtcp(self):
        self.assertEqual([kind.value for kind in listening.RTCPMessageType], [200, 201, 202, 203, 204])

    def test_what_is_not_there_has_a_sentence(self):
        guide = GUIDE.read_text().split("## Moving from discord-ext-listening")[1]
        rows = dict(re.findall(r"^\| (.*?) \| (.*) \|$", guide, re.M))
        for name in EXPLAINED:
            told = [row for names, sentence in rows.items() for row in [names + sentence] if name in row]
            self.assertTrue(told, name)
        for name in EXPORTED:
            kind = re.match("RTCP", name) and "RTCP" or name
            self.assertTrue(any(kind in names for names in rows), name)


if __name__ == "__main__":
    unittest.main()
