# SPDX-License-Identifier: LGPL-2.1-or-later
import asyncio
import os
import time
import warnings

import discord

import gst_discord as listening
from call import Call, Ears, until


class Listening(Call):
    OPTIONS = ("--speakers", 2, "--rtcp", 200, "--records", "--frame-ms", "mixed", "--heartbeat", 1000)

    async def test_frames_are_those_that_were_sent(self):
        voice = await self.join()
        self.assertIsInstance(voice, discord.VoiceProtocol)
        self.assertIs(voice.guild.voice_client, voice)
        self.assertTrue(voice.is_connected())
        ears = Ears()
        voice.listen(ears, listening.AudioProcessPool(2))
        await until(lambda: all(len(ears.of(user)) > 20 for user in self.users), 30)
        await until(lambda: {type(p) for p in ears.rtcp} >= {
            listening.RTCPReceiverReportPacket, listening.RTCPSenderReportPacket,
            listening.RTCPSourceDescriptionPacket})
        voice.stop_listening()
        await voice.wait_for_listen_ready()
        truth = self.loopback.finish()
        for user in self.users:
            sent = {(ssrc, sequence, timestamp): ticks
                    for ssrc, sequence, timestamp, ticks, *_ in truth["records"][str(user)]}
            frames = ears.of(user)
            numbers = [(f.ssrc, f.sequence, f.timestamp) for f in frames if f.kind in ("audio", "silence")]
            self.assertEqual(len(set(numbers)), len(numbers))
            for f, key in ((f, (f.ssrc, f.sequence, f.timestamp)) for f in frames):
                if f.kind in ("audio", "silence"):
                    self.assertIn(key, sent)
            self.assertIsInstance(frames[0].user, discord.Member)
            self.assertEqual(frames[0].user.display_name, self.discord.people[user])
            for before, after in zip(frames, frames[1:]):
                self.assertGreaterEqual(after.position, before.position + before.samples)
            self.assertTrue(all(len(f.audio) == f.samples * 4 for f in frames))
            self.assertTrue(any(any(f.audio) for f in frames))
            self.assertEqual(voice.get_member_from_ssrc(frames[0].ssrc), frames[0].user)
        self.assertIsNone(voice.get_member_from_ssrc(1))
        voice.update_ssrc({"ssrc": 1, "user_id": str(self.users[0]), "speaking": 1})
        self.assertEqual(voice.get_member_from_ssrc(1).id, self.users[0])
        stats = voice.listen_stats
        self.assertEqual((stats["frames"], stats["sink_errors"], stats["frames_dropped"]), (len(ears.frames), 0, 0))
        self.assertEqual((stats["rtcp"], stats["malformed_rtcp"]), (len(ears.rtcp), 0))

    async def test_predicates_after_and_readiness(self):
        voice = await self.join()
        release = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Slow(Ears):
            def cleanup(self):
                asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
                super().cleanup()

        told = asyncio.Queue()

        async def after(sink, exc=None, *, extra):
            await told.put((sink, exc, extra, any(one.sink is sink for one in voice._cleaning), sink.cleaned))

        def state():
            return (voice.is_listening(), voice.is_listening_paused(), voice.is_listen_receiving(),
                    voice.is_listen_cleaning())

        self.assertEqual(state(), (False, False, False, False))
        await voice.wait_for_listen_ready()
        sink = Slow()
        voice.listen(sink, after=after, extra=5)
        self.assertEqual(state(), (True, False, True, False))
        voice.pause_listening()
        self.assertEqual(state(), (False, True, True, False))
        voice.resume_listening()
        self.assertEqual(state(), (True, False, True, False))
        voice.stop_listening()
        self.assertEqual(state(), (False, False, False, True))
        ready = asyncio.create_task(voice.wait_for_listen_ready())
        await asyncio.sleep(0.3)
        self.assertFalse(ready.done())
        self.assertEqual(sink.cleaned, 0)
        with self.assertRaises(discord.ClientException):
            voice.listen(sink)
        with self.assertWarns(UserWarning):
            voice.listen(Ears())
        voice.stop_listening()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            voice.listen(Ears(), supress_warning=True)
        voice.stop_listening()
        release.set()
        await ready
        self.assertEqual(state(), (False, False, False, False))
        self.assertEqual(await told.get(), (sink, None, 5, False, 1))

    async def test_what_listen_refuses(self):
        voice = await self.join()
        with self.assertRaises(TypeError):
            voice.listen(object())
        with self.assertRaises(TypeError):
            voice.listen(Ears(), object())
        with self.assertRaises(ValueError):
            voice.listen(listening.AudioFileSink(listening.WaveAudioFile, os.curdir), decode=False)
        voice.listen(Ears())
        with self.assertRaises(discord.ClientException):
            voice.listen(Ears())
        await voice.disconnect()
        with self.assertRaises(discord.ClientException):
            voice.listen(Ears())

    async def test_what_discord_py_users_ask_of_a_voice_client(self):
        voice = await self.join()
        self.assertEqual((voice.guild.id, voice.channel.id), (self.discord.guild_id, self.discord.channel_id))
        self.assertEqual(voice.user, self.client.user)
        self.assertTrue(voice.session_id and voice.token and voice.endpoint)
        await until(lambda: voice.latency < 1, 20)
        self.assertGreater(voice.latency, 0)
        self.assertEqual(voice.voice_stats["state"], "connected")

    async def test_a_sink_says_how_long_a_missing_packet_is_waited_for(self):
        class Patient(Ears):
            PACKET_WAIT_TIME = 0.35

        voice = await self.join()
        patient = Patient()
        voice.listen(patient)
        await patient.hears()
        self.assertEqual(voice._current._decoder.get_property("latency"), 350)

    async def test_opus_packets(self):
        voice = await self.join()
        ears = Ears()
        voice.listen(ears, decode=False)
        await ears.hears(100)
        voice.stop_listening()
        await voice.wait_for_listen_ready()
        self.assertTrue(all(f.kind in ("audio", "silence") and 0 < len(f.audio) < 1400 for f in ears.frames))
        self.assertTrue(all(f.audio == listening.SILENT_FRAME for f in ears.frames if f.kind == "silence"))

    async def test_pause_is_a_gap_of_its_length(self):
        voice = await self.join()
        ears = Ears()
        voice.listen(ears)
        await ears.hears(20)
        voice.pause_listening()
        await asyncio.sleep(0.4)
        heard = len(ears.frames)
        begun = time.monotonic()
        await asyncio.sleep(1)
        self.assertEqual(len(ears.frames), heard)
        self.assertGreater(voice.voice_stats["paused"], 0)
        voice.resume_listening()
        paused = time.monotonic() - begun
        await ears.hears(20)
        last = ears.frames[-1]
        self.assertAlmostEqual(last.paused / 48000, paused + 0.4, delta=0.2)
        self.assertGreater(last.position, last.paused)

    async def test_a_sink_that_raises_loses_a_frame_and_no_more(self):  # it killed the receiver
        class Bad(Ears):
            def on_valid_audio(self, frame):
                super().on_valid_audio(frame)
                raise ZeroDivisionError

        voice = await self.join()
        ears = Bad()
        with self.assertLogs("gst_discord.listening", "ERROR") as logs:
            voice.listen(ears)
            await ears.hears(50)
            voice.stop_listening()
            await voice.wait_for_listen_ready()
        self.assertLess(len(logs.records), 6)
        self.assertEqual(voice.listen_stats["sink_errors"], len(ears.frames))
        self.assertEqual(ears.cleaned, 1)

    async def test_a_slow_sink_holds_up_nobody(self):  # one slow sink stalled all guilds
        class Slow(Ears):
            def on_valid_audio(self, frame):
                super().on_valid_audio(frame)
                time.sleep(0.2)

        voice = await self.join()
        slow = Slow()
        voice.listen(slow)
        late = 0.0
        for _ in range(100):
            before = time.monotonic()
            await asyncio.sleep(0.01)
            late = max(late, time.monotonic() - before)
        self.assertLess(late, 0.5)
        voice._current.abort()
        await voice.wait_for_listen_ready()
        self.assertEqual(slow.cleaned, 1)

    async def test_the_end_of_a_pool_ends_listening(self):
        voice = await self.join()
        pool = listening.AudioProcessPool(1)
        ears = Ears()
        voice.listen(ears, pool)
        await ears.hears(5)
        await asyncio.get_running_loop().run_in_executor(None, pool.cleanup_processes)
        await voice.wait_for_listen_ready()
        self.assertEqual(ears.cleaned, 1)
        self.assertFalse(voice.is_listen_receiving())

    async def test_leaving_finishes_what_is_listened_to(self):
        voice = await self.join(self_mute=True, self_deaf=True)
        joined = (await self.discord.look())["asked"][0]
        self.assertEqual((joined["self_mute"], joined["self_deaf"]), (True, True))
        ears = Ears()
        voice.listen(ears)
        await ears.hears(5)
        await voice.disconnect()
        self.assertEqual(ears.cleaned, 1)
        self.assertIsNone(voice.guild.voice_client)
        self.assertFalse(voice.is_connected())
        await self.discord.until(lambda bot: bot["asked"][-1]["channel_id"] is None)
        again = await self.join()
        self.assertTrue(again.is_connected())


class Moving(Call):
    OPTIONS = ("--speakers", 2)

    async def listen(self):
        voice = await self.join()
        ears = Ears()
        voice.listen(ears)
        await ears.hears(5)
        return voice, ears

    async def goes_on(self, voice, ears):
        ssrcs = {frame.ssrc for frame in ears.frames}
        await until(lambda: any(frame.ssrc not in ssrcs for frame in ears.frames), 30)
        new = next(frame for frame in ears.frames if frame.ssrc not in ssrcs)
        self.assertIn(new.user.id, self.users)
        self.assertTrue(voice.is_listening())
        self.assertEqual(ears.cleaned, 0)
        await voice.disconnect()
        self.assertEqual(ears.cleaned, 1)
        positions = [frame.position for user in self.users for frame in ears.of(user)]
        self.assertEqual(len(positions), len(ears.frames))

    async def test_moved_by_somebody(self):  # half of the packets were stolen by a second thread
        voice, ears = await self.listen()
        await self.discord.do("bot-move")
        await until(lambda: voice.channel.id == self.discord.other_channel_id)
        await self.goes_on(voice, ears)

    async def test_move_to(self):
        voice, ears = await self.listen()
        other = self.client.get_channel(self.discord.other_channel_id)
        await voice.move_to(other)
        self.assertTrue(voice.is_connected())
        self.assertEqual(voice.channel, other)
        await voice.move_to(other)
        await self.goes_on(voice, ears)

    async def test_region_change(self):
        voice, ears = await self.listen()
        await self.discord.do("bot-region")
        await self.goes_on(voice, ears)

    async def test_the_server_goes_and_another_comes(self):
        voice, ears = await self.listen()
        await self.discord.do("bot-no-endpoint", ms=1000)
        await until(lambda: not voice.is_connected())
        await self.goes_on(voice, ears)

    async def test_kicked(self):
        voice, ears = await self.listen()
        await self.discord.do("bot-kick")
        await until(lambda: ears.cleaned == 1)
        await until(lambda: voice.guild.voice_client is None)
        self.assertFalse(voice.is_connected())

    async def test_a_lost_connection_is_resumed(self):
        voice, ears = await self.listen()
        await self.discord.do("drop-socket")
        await ears.hears(100, 30)
        self.assertTrue(voice.is_connected())
        self.assertEqual(len((await self.discord.look())["asked"]), 1)

    async def test_a_session_that_is_invalid_is_joined_again(self):
        voice, ears = await self.listen()
        with self.assertLogs("gst_discord.client", "WARNING") if not voice._call.hot else self.subTest():
            await self.discord.do("close", code=4006, reason="session")
            await self.discord.until(lambda bot: len(bot["asked"]) >= 3, 30)
        await until(voice.is_connected)
        await ears.hears(20, 30)
        self.assertEqual([wish["channel_id"] for wish in self.discord.bot["asked"][1:3]],
                         [None, self.discord.channel_id])
        self.assertEqual(ears.cleaned, 0)


class ServerFirst(Moving):
    """Everything once more with the voice server update in front of the voice state update."""

    OPTIONS = (*Moving.OPTIONS, "--server-first")


class Refused(Call):
    OPTIONS = ("--speakers", 1)

    async def test_no_answer_says_what_was_missing(self):
        await self.discord.do("bot-ignore")
        with self.assertRaises(asyncio.TimeoutError) as caught:
            await self.channel.connect(cls=listening.VoiceClient, timeout=0.5)
        self.assertIn("no voice state", str(caught.exception))
        self.assertIsNone(self.channel.guild.voice_client)

    async def test_a_token_that_is_refused_is_an_error_at_once(self):
        tokens = []

        class Client(listening.VoiceClient):
            async def on_voice_server_update(self, data, /):
                tokens.append(data["token"])
                await super().on_voice_server_update(data)

        await self.discord.do("bot-stale", count=10)
        with self.assertLogs("gst_discord", "DEBUG") as logs:
            with self.assertRaises(listening.VoiceError) as caught:
                await self.channel.connect(cls=Client, timeout=10)
        self.assertTrue(tokens)
        for token in tokens:
            self.assertNotIn(token, str(caught.exception) + "".join(logs.output))
        self.assertIsNone(self.channel.guild.voice_client)

    async def test_workers_that_cannot_be_started_end_listening_with_the_reason(self):
        voice = await self.join()
        told = asyncio.Queue()
        program = os.environ["GST_DISCORD_WORKER"]
        os.environ["GST_DISCORD_WORKER"] = "/nonexistent"
        try:
            voice.listen(Ears(), after=lambda sink, error: told.put_nowait(error))
            error = await asyncio.wait_for(told.get(), 20)
        finally:
            os.environ["GST_DISCORD_WORKER"] = program
        self.assertIsInstance(error, listening.VoiceError)
        self.assertIn("worker", str(error).lower())
