# SPDX-License-Identifier: LGPL-2.1-or-later
"""Discord's side of a bot's call: a discord-loopback, asked from an event loop."""
import asyncio


class Discord:
    """`bot`, what the bot has done and where it is, is as of the last `look`."""

    def __init__(self, loopback):
        self.loopback = loopback
        self.guild_id, self.channel_id = int(loopback.ready["guild_id"]), int(loopback.ready["channel_id"])
        self.other_channel_id = self.channel_id + 1
        self.people = {int(speaker["user_id"]): speaker["name"] for speaker in loopback.ready["speakers"]}
        self.bot = {}
        self._one_at_a_time = asyncio.Lock()

    async def do(self, what, **more):
        """A command of the loopback; its answer."""
        async with self._one_at_a_time:
            answer = await asyncio.get_running_loop().run_in_executor(
                None, lambda: self.loopback.command(what, **more))
        assert answer["ok"], answer
        return answer

    async def look(self):
        self.bot = await self.do("bot-status")
        return self.bot

    async def until(self, ready, timeout=15):
        """Looks until `ready(bot)`."""
        end = asyncio.get_running_loop().time() + timeout
        while not ready(await self.look()):
            assert asyncio.get_running_loop().time() < end, "it did not happen in time"
            await asyncio.sleep(0.01)

    async def command(self, name, **options):
        """Somebody in the voice channel uses a slash command; the bot's answer."""
        before = len((await self.look())["answers"])
        await self.do("bot-command", user_id=str(next(iter(self.people))), name=name, options=options)
        await self.until(lambda bot: len(bot["answers"]) > before)
        return self.bot["answers"][before]
