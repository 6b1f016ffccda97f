# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is heard."""
import array
import json
import math
import pathlib
import tempfile
import wave

import discord

from call import Call, Ears, until

ADA, MALLORY, JUKEBOX = 501, 502, 503


class Heard(Call):
    """Ada, Mallory and a bot talk all the time."""

    async def asyncSetUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        sound = pathlib.Path(folder.name) / "tone.wav"
        with wave.open(str(sound), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(48000)
            out.writeframes(array.array("h", (int(9000 * math.sin(i / 17)) for i in range(96000))).tobytes())
        speakers = pathlib.Path(folder.name) / "speakers.json"
        speakers.write_text(json.dumps([
            {"name": name, "user_id": str(user), "files": [str(sound)], "start": 0, "repeat": 2, "padding": 0,
             "fewer_silence": 0, "silence_frames": 0, "bot": user == JUKEBOX}
            for name, user in (("Ada", ADA), ("Mallory", MALLORY), ("Jukebox", JUKEBOX))]))
        self.OPTIONS = ("--speakers", speakers)
        await super().asyncSetUp()

    async def heard(self, denied, count, **who):
        """Whom a listening hears: so many, while packets of as many others as `denied` are dropped."""
        ears = Ears()
        self.voice.listen(ears, **who)

        def dropped():
            decoder = self.voice._current._decoder
            return decoder.get_property("stats").get_value("denied") if decoder is not None else 0

        await until(lambda: len({frame.user.id for frame in ears.frames if frame.user}) >= count
                    and len(ears.frames) > 60 and (not denied or dropped() > 40), 30)
        self.voice.stop_listening()
        await self.voice.wait_for_listen_ready()
        return {frame.user.id for frame in ears.frames}

    async def test_who_is_heard(self):
        await self.join()
        mallory = self.channel.guild.get_member(MALLORY)
        self.assertEqual(await self.heard(1, 2), {ADA, MALLORY})
        self.assertEqual(await self.heard(0, 3, ignore_bots=False), {ADA, MALLORY, JUKEBOX})
        self.assertEqual(await self.heard(2, 1, users=[mallory]), {MALLORY})
        self.assertEqual(await self.heard(1, 2, users=[ADA, discord.Object(JUKEBOX)]), {ADA, JUKEBOX})
        self.assertEqual(await self.heard(2, 1, ignore_users={mallory}), {ADA})
        self.assertEqual(await self.heard(1, 2, ignore_users={ADA}, ignore_bots=False), {MALLORY, JUKEBOX})
        self.voice.worker_properties = {"ignore-bots": False}
        self.assertEqual(await self.heard(0, 3), {ADA, MALLORY, JUKEBOX})

    async def test_who_is_nobody_is_refused(self):
        voice = await self.join()
        with self.assertRaises(ValueError):
            voice.listen(Ears(), users=[])
        for nobody in ("Ada", -ADA, 0, True, 2 ** 64):
            with self.assertRaises(TypeError):
                voice.listen(Ears(), users=[nobody])
            with self.assertRaises(TypeError):
                voice.listen(Ears(), ignore_users=[nobody])
        self.assertFalse(voice.is_listening())
