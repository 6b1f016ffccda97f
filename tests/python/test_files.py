# SPDX-License-Identifier: LGPL-2.1-or-later
import asyncio
import os
import stat
import struct
import subprocess
import tempfile
import types
import unittest
import wave

import gst_discord as listening
from gst_discord.frames import Numbering, parse_rtp


def tone(samples, value=1000):
    return struct.pack("<hh", value, value) * samples


def person(user_id, name=""):
    return types.SimpleNamespace(id=user_id, display_name=name)


def frame(position, samples=960, ssrc=1, user=None, value=1000, **more):
    return listening.AudioFrame(0, 0, ssrc, tone(samples, value), user, position=position, **more)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def sink(self, kind=listening.WaveAudioFile, **options):
        return listening.AudioFileSink(kind, self.folder, **options)

    def convert(self, sink, **options):
        sink.cleanup()
        asyncio.run(sink.convert_files(**options))
        return {file.ssrc: file for file in sink.output_files.values()}

    def read(self, file):
        with wave.open(file.path) as audio:
            self.assertEqual((audio.getframerate(), audio.getnchannels(), audio.getsampwidth()), (48000, 2, 2))
            return audio.readframes(audio.getnframes())


class Files(Folder):
    def test_every_file_begins_and_ends_with_the_session(self):
        sink = self.sink()
        sink.on_audio(frame(480, ssrc=1))
        sink.on_audio(frame(9600, ssrc=2))
        files = self.convert(sink)
        first, second = self.read(files[1]), self.read(files[2])
        self.assertEqual(len(first), 4 * 10560)
        self.assertEqual(first, b"\0" * 4 * 480 + tone(960) + b"\0" * 4 * (10560 - 1440))
        self.assertEqual(second, b"\0" * 4 * 9600 + tone(960))

    def test_aligned_by_speaker(self):
        sink = self.sink(align="speaker")
        sink.on_audio(frame(9600))
        sink.on_audio(frame(9600 + 1920))
        self.assertEqual(self.read(self.convert(sink)[1]), tone(960) + b"\0" * 4 * 960 + tone(960))

    def test_a_silence_frame_takes_its_time(self):  # 20 ms were lost with each
        sink = self.sink(align="speaker")
        sink.on_audio(frame(0))
        sink.on_audio(frame(960, value=0, kind="silence"))
        sink.on_audio(frame(1920))
        self.assertEqual(self.read(self.convert(sink)[1]), tone(960) + b"\0" * 4 * 960 + tone(960))

    def test_frames_of_any_length(self):
        sink = self.sink(align="speaker")
        for position, samples in ((0, 2880), (2880, 120), (3000, 1920)):
            sink.on_audio(frame(position, samples))
        self.assertEqual(self.read(self.convert(sink)[1]), tone(4920))

    def test_an_hour_of_silence_takes_no_room(self):
        sink = self.sink()
        sink.on_audio(frame(0))
        sink.on_audio(frame(3600 * 48000))
        sink.cleanup()
        found = os.stat(sink.output_files[1].path)
        self.assertEqual(found.st_size, (3600 * 48000 + 960) * 4)
        self.assertLess(found.st_blocks * 512, 100_000)

    def test_pauses_are_silence_or_cut(self):
        for pauses, gap in (("silence", 48000), ("cut", 0)):
            with self.subTest(pauses):
                sink = self.sink(pauses=pauses, align="speaker")
                sink.on_audio(frame(0))
                sink.on_audio(frame(960 + 48000, paused=48000))
                self.assertEqual(self.read(self.convert(sink)[1]), tone(960) + b"\0" * 4 * gap + tone(960))

    def test_who_comes_back_goes_on_in_the_same_file(self):
        sink = self.sink()
        sink.on_audio(frame(0, ssrc=1, user=person(10)))
        sink.on_audio(frame(9600, ssrc=5, user=person(10)))
        self.assertEqual(list(sink.output_files), [1])

    def test_two_streams_of_one_user_at_a_time_are_two_files(self):
        sink = self.sink()
        sink.on_audio(frame(9600, ssrc=1, user=person(10)))
        sink.on_audio(frame(0, ssrc=5, user=person(10)))
        self.assertEqual(len(sink.output_files), 2)

    def test_an_ssrc_that_passes_to_another_user_is_another_file(self):
        sink = self.sink()
        for position, user in ((0, 10), (960, 11), (1920, 12)):
            sink.on_audio(frame(position, ssrc=1, user=person(user)))
        self.assertEqual([file.user.id for file in sink.output_files.values()], [10, 11, 12])

    def test_names_are_safe_and_nothing_is_overwritten(self):
        for _ in range(2):
            sink = self.sink()
            sink.on_audio(frame(0, ssrc=1, user=person(10, "../a/b c")))
            sink.on_audio(frame(0, ssrc=2, user=person(11)))
            sink.on_audio(frame(0, ssrc=3))
            self.convert(sink)
            self.assertTrue(sink.converted)
        self.assertEqual(sorted(os.listdir(self.folder)), [
            "audio-10-a_b_c-2.wav", "audio-10-a_b_c.wav", "audio-11-2.wav", "audio-11.wav", "audio-3-2.wav",
            "audio-3.wav"])
        for name in os.listdir(self.folder):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.folder, name)).st_mode), 0o600)

    def test_mp3_has_the_sound_and_the_length(self):
        sink = self.sink(listening.MP3AudioFile)
        for i in range(100):
            value = 8000 if i >= 50 else 0
            loud = b"".join(struct.pack("<hh", value if k % 96 < 48 else -value, 0) for k in range(960))
            sink.on_audio(listening.AudioFrame(i, i * 960, 1, loud, position=i * 960))
        path = self.convert(sink, bitrate=64)[1].path
        raw = os.path.join(self.folder, "decoded")
        subprocess.run(["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "decodebin", "!", "audioconvert", "!",
                        "audioresample", "!",
                        "audio/x-raw,format=S16LE,channels=2,rate=48000", "!", "filesink", f"location={raw}"],
                       check=True)
        data = open(raw, "rb").read()
        samples = struct.unpack(f"<{len(data) // 2}h", data)[::2]
        self.assertAlmostEqual(len(samples), 96000, delta=4000)  # what the encoder adds in front and behind
        self.assertLess(max(map(abs, samples[:44000])), 200)
        self.assertGreater(max(map(abs, samples[52000:])), 5000)
        self.assertLess(os.path.getsize(path), 64000 / 8 * 2.2)

    def test_a_failed_conversion_keeps_the_recording_and_the_others(self):  # it used to be deleted
        class Broken(listening.WaveAudioFile):
            async def convert(self, new_name=None, **options):
                await self._encode("no-such-encoder" if self.ssrc == 1 else "wavenc", new_name)

        sink = self.sink(Broken)
        sink.on_audio(frame(0, ssrc=1))
        sink.on_audio(frame(0, ssrc=2))
        sink.cleanup()
        with self.assertRaises(listening.ConversionError) as caught:
            asyncio.run(sink.convert_files())
        self.assertEqual(len(caught.exception.errors), 1)
        self.assertFalse(sink.converted)
        self.assertEqual(sorted(os.listdir(self.folder)), ["audio-1.pcm", "audio-2.wav"])

    def test_arguments_for_the_process_that_is_no_more_have_no_effect(self):
        sink = self.sink()
        self.assertEqual((sink.file_type, sink.output_dir), (listening.WaveAudioFile, self.folder))
        sink.on_audio(frame(0))
        file = self.convert(sink, stdout=subprocess.PIPE, stderr=subprocess.PIPE)[1]
        self.assertTrue(file.converted and os.path.getsize(file.path) > 960 * 4)

    def test_converting_before_the_end_is_refused(self):
        sink = self.sink()
        with self.assertRaises(listening.ConversionError):
            asyncio.run(sink.convert_files())

    def test_a_full_disk_ends_one_file(self):
        sink = self.sink()
        sink.on_audio(frame(0, ssrc=1))
        file = sink.output_files[1]
        file.file.close()
        file.file = open("/dev/full", "r+b", buffering=0)
        with self.assertLogs("gst_discord.files", "ERROR"):
            sink.on_audio(frame(960, ssrc=1))
        sink.on_audio(frame(1920, ssrc=1))
        sink.on_audio(frame(0, ssrc=2))
        self.assertIsInstance(file.error, OSError)
        self.assertEqual(len(self.convert(sink)), 2)

    def test_arguments_are_checked(self):
        for wrong in (lambda: listening.AudioFileSink(listening.WaveAudioFile, self.folder + "/no"),
                      lambda: self.sink(align="x"), lambda: self.sink(pauses="x")):
            self.assertRaises(ValueError, wrong)

    def test_after_the_end_nothing_changes(self):
        sink = self.sink()
        sink.on_audio(frame(0))
        sink.cleanup()
        sink.on_audio(frame(960))
        sink.cleanup()
        self.assertEqual(sink.output_files[1].end, 960)
        self.assertTrue(sink.done and sink.output_files[1].done)
        sink.on_rtcp(None)


class Frames(unittest.TestCase):
    def test_frame(self):
        made = frame(0, 2880, ssrc=3)
        self.assertEqual((made.samples, made.duration, made.kind), (2880, 0.06, "audio"))
        self.assertIn("ssrc=3", repr(made))
        self.assertEqual(listening.SILENT_FRAME, b"\xf8\xff\xfe")

    def test_frames_nobody_sent_continue_the_numbers(self):
        numbers = Numbering()
        self.assertEqual(numbers.number(1, 960, (65535, 0xFFFFFFFF)), (65535, 0xFFFFFFFF))
        self.assertEqual(numbers.number(1, 960, None), (0, 959))
        self.assertEqual(numbers.number(2, 960, (5, 6)), (5, 6))
        for ssrc in range(5000):
            numbers.number(ssrc, 960, None)
        self.assertLessEqual(len(numbers._speakers), Numbering.MAX_SPEAKERS)

    def test_rtp(self):
        packet = struct.pack("!BBHII", 0x80, 120, 7, 8, 9) + b"opus"
        self.assertEqual(parse_rtp(packet), (7, 8, 9, b"opus"))
        self.assertIsNone(parse_rtp(packet[:11]))
        self.assertIsNone(parse_rtp(b"\x90" + packet[1:]))

    def test_sinks_are_abstract(self):
        for kind in (listening.AudioSink, listening.AudioHandlingSink):
            self.assertRaises(TypeError, kind)
        self.assertRaises(TypeError, listening.AudioFile, "path", 1)


class Pool(unittest.TestCase):
    def test_arguments(self):
        for wrong in ({"max_processes": 0}, {"max_processes": 1, "wait_timeout": -1},
                      {"max_processes": 1, "process_patience": -1}):
            self.assertRaises(ValueError, listening.AudioProcessPool, **wrong)
        pool = listening.AudioProcessPool(3, wait_timeout=None, process_patience=1.5)
        self.assertEqual((pool.properties()["max-workers"], pool.properties()["idle-timeout"]), (3, 1500))
        self.assertEqual(listening.AudioProcessPool(1).properties()["idle-timeout"], 0)
        self.assertNotEqual(pool.name, listening.AudioProcessPool(1).name)
        pool.cleanup_processes()
