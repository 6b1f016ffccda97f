# SPDX-License-Identifier: LGPL-2.1-or-later
"""The example bot, used through its slash commands."""
import array
import asyncio
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import wave

from call import Call, until

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "pipelines" / "python" / "examples"
sys.path.insert(0, str(EXAMPLES))
import recording_bot  # noqa: E402


def pcm(path):
    """Mono samples at 8 kHz of any sound file."""
    # A file of G.722 does not say what it is, and is decoded in one piece.
    decoder = ["decodebin"]
    if str(path).endswith("g722"):
        decoder = ["audio/G722,channels=1,rate=16000", "!", "avdec_g722"]
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["gst-launch-1.0", "-q", "filesrc", f"location={path}",
                        "do-timestamp=true", f"blocksize={os.path.getsize(path)}", "!", *decoder, "!", "audioconvert",
                        "!", "audioresample", "!", "audio/x-raw,format=S16LE,channels=1,rate=8000", "!", "filesink",
                        f"location={out.name}"], check=True)
        return array.array("h", pathlib.Path(out.name).read_bytes())


def likeness(recorded, original, around, slack=8000):
    """Best normalised correlation of the first second of `original` within `slack` samples of `around`."""
    piece = original[:8000:4]
    best = 0.0
    power = sum(x * x for x in piece)
    for shift in range(max(around - slack, 0), around + slack, 1):
        window = recorded[shift : shift + 8000 : 4]
        if len(window) < len(piece):
            break
        if shift % 4 and best < 0.2:
            continue
        own = sum(x * x for x in window)
        if own:
            best = max(best, sum(map(int.__mul__, window, piece)) / (own * power) ** 0.5)
    return best


class Bot(Call):
    async def asyncSetUp(self):
        posted = tempfile.TemporaryDirectory()
        self.addCleanup(posted.cleanup)
        self.OPTIONS = ("--speakers", 2, "--bitrate", 64000, "--posted", posted.name)
        await super().asyncSetUp()

    def make_client(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        bot = recording_bot.RecordingBot(self.folder)
        self.addCleanup(bot.process_pool.cleanup_processes)
        return bot

    async def record(self, file_format):
        use = self.discord.command
        self.assertEqual(await use("stop"), "I am not recording.")
        self.assertEqual(await use("start", file_format=file_format), "Recording.")
        self.assertEqual(await use("start", file_format=file_format), "I am recording already.")
        await asyncio.sleep(4)
        self.assertEqual(await use("pause"), "Paused.")
        await self.discord.until(lambda bot: bot["self_deaf"])
        self.assertEqual(await use("pause"), "It is paused already.")
        await asyncio.sleep(1)
        self.assertEqual(await use("resume"), "Recording again.")
        await self.discord.until(lambda bot: not bot["self_deaf"])
        self.assertEqual(await use("resume"), "Nothing is paused.")
        await asyncio.sleep(5)
        self.assertEqual(await use("stop"), "Stopped.")
        await self.discord.until(lambda bot: len(bot["posted"]) == 2 and bot["channel_id"] == "0")
        posted = self.discord.bot["posted"]
        self.assertEqual({message["content"] for message in posted}, {f"What <@{user}> said" for user in self.users})
        files = {}
        for message in posted:
            file, = message["files"]
            self.assertTrue(file["name"].endswith(f".{file_format}"), file)
            user = next(user for user in self.users if str(user) in message["content"])
            self.assertIn(self.discord.people[user], file["name"])
            files[user] = pathlib.Path(file["path"])
        await asyncio.get_running_loop().run_in_executor(None, self.sounds_like_them, files)
        return files

    def sounds_like_them(self, files):
        truth = self.loopback.finish()
        lengths = []
        for speaker in truth["calls"][0]["speakers"]:
            recorded = pcm(files[int(speaker["user_id"])])
            lengths.append(len(recorded))
            self.assertGreater(max(map(abs, recorded)), 1000)
            first = speaker["spurts"][0]
            if speaker is truth["calls"][0]["speakers"][0]:
                # The first sentence of the first speaker began before the pause, whole.
                source = pcm(first["source"])[first["first_frame"] // 6:]
                self.assertGreater(likeness(recorded, source, 2400), 0.8)
        self.assertLess(max(lengths) - min(lengths), 8000 // 50)
        self.assertGreater(min(lengths), 8000 * 6)

    async def test_wav(self):
        files = await self.record("wav")
        with wave.open(io.BytesIO(next(iter(files.values())).read_bytes())) as audio:
            self.assertEqual((audio.getframerate(), audio.getnchannels()), (48000, 2))

    async def test_mp3(self):
        await self.record("mp3")
        self.assertEqual(sorted(name.rsplit(".")[-1] for name in os.listdir(self.folder)), ["mp3"] * 2)
