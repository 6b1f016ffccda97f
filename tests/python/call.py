# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bot in discord.py's own client, logged in to a discord-loopback."""
import asyncio
import os
import unittest

import discord
import yarl

import gst_discord as listening
from discord_side import Discord
from loopback import Loopback


class Ears(listening.AudioHandlingSink):
    """Keeps all it hears."""

    PACKET_WAIT_TIME = 0.1

    def __init__(self):
        self.frames, self.rtcp, self.cleaned = [], [], 0

    def on_valid_audio(self, frame):
        self.frames.append(frame)

    def on_rtcp(self, packet):
        self.rtcp.append(packet)

    def cleanup(self):
        self.cleaned += 1

    def of(self, user_id):
        return [frame for frame in self.frames if frame.user is not None and frame.user.id == user_id]

    async def hears(self, count=1, timeout=15):
        """Waits for so many more frames."""
        target = len(self.frames) + count
        await until(lambda: len(self.frames) >= target, timeout)


async def until(ready, timeout=15):
    end = asyncio.get_running_loop().time() + timeout
    while not ready():
        assert asyncio.get_running_loop().time() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


class Call(unittest.IsolatedAsyncioTestCase):
    OPTIONS = ("--speakers", 2)

    def make_client(self):
        return discord.Client(intents=discord.Intents(guilds=True, voice_states=True))

    async def asyncSetUp(self):
        loopback = await asyncio.get_running_loop().run_in_executor(
            None, lambda: Loopback(os.environ["DISCORD_LOOPBACK"], *self.OPTIONS))
        self.addCleanup(loopback.__exit__)
        self.loopback = loopback
        self.discord = Discord(loopback)
        discord.http.Route.BASE = loopback.ready["api_url"] + "/v10"
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(loopback.ready["gateway_url"] + "/")
        self.client = self.make_client()
        self.client._connection.guild_ready_timeout = 0.1
        running = asyncio.create_task(self.client.start(loopback.ready["bot_token"]))
        self.addAsyncCleanup(asyncio.wait, [running])
        self.addAsyncCleanup(self.client.close)
        await until(lambda: self.client.is_ready() or running.done())
        if running.done():
            running.result()
        self.channel = self.client.get_channel(self.discord.channel_id)
        self.users = list(self.discord.people)

    async def join(self, **options):
        self.voice = await self.channel.connect(cls=listening.VoiceClient, timeout=10, **options)
        return self.voice
