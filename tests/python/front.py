# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a bot sees of Discord beside the voice server: the main gateway and the REST calls of slash commands and
posted files, on 127.0.0.1. Voice is a discord-loopback behind it, whose people are the members of the guild."""
import asyncio
import itertools
import json
import zlib

from aiohttp import WSMsgType, web

TEXT_CHANNEL = 300
OTHER_CHANNEL = 400
EMPTY_GUILD = {
    "name": "loopback", "owner_id": "1", "member_count": 3, "emojis": [], "features": [], "stickers": [],
    "threads": [], "presences": [], "stage_instances": [], "guild_scheduled_events": [], "large": False,
}


def user(user_id, name, bot=False):
    return {"id": str(user_id), "username": name, "discriminator": "0", "global_name": None, "avatar": None, "bot": bot}


def member(user_id, name, bot=False):
    return {"user": user(user_id, name, bot), "roles": [], "joined_at": "2024-01-01T00:00:00+00:00", "deaf": False,
            "mute": False, "flags": 0, "nick": None, "avatar": None, "permissions": str((1 << 47) - 1)}


def reply(data, status=200):
    # discord.py takes a type with a charset for text.
    return web.Response(body=json.dumps(data).encode(), content_type="application/json", status=status)


class Front:
    """`answers` gets what the bot says to commands, `posted` the messages with their files. With `swap` the voice
    server update comes before the voice state update; with `mute` joins are not answered."""

    def __init__(self, loopback):
        self.loopback = loopback
        ready = loopback.ready
        self.guild_id, self.channel_id = int(ready["guild_id"]), int(ready["channel_id"])
        self.bot_id = int(ready["user_id"])
        self.credentials = {key: ready[key] for key in ("session_id", "token", "endpoint")}
        self.endpoint = ready["endpoint"]
        self.people = [(int(speaker["user_id"]), speaker["name"]) for speaker in ready["speakers"]]
        self.in_channel = None  # of the bot
        self.self_deaf = False
        self.swap = False
        self.mute = False
        self.joins = []
        self.joined = False
        self.answers = asyncio.Queue()
        self.posted = []
        self.identified = 0
        self._socket = None
        self._sequence = itertools.count(1)
        self._ids = itertools.count(9000)

    async def start(self):
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/", self._gateway)
        app.router.add_route("*", "/api/v10/{path:.*}", self._rest)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def stop(self):
        if self._socket is not None:
            await self._socket.close()
        await self._runner.cleanup()

    # Main gateway.

    async def _gateway(self, request):
        socket = self._socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._deflate = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None
        await self._send({"op": 10, "d": {"heartbeat_interval": 41250}})
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await self._received(json.loads(message.data))
        return socket

    async def _send(self, payload):
        text = json.dumps({"s": None, "t": None, **payload})
        if self._deflate is None:
            await self._socket.send_str(text)
        else:
            await self._socket.send_bytes(self._deflate.compress(text.encode())
                                          + self._deflate.flush(zlib.Z_SYNC_FLUSH))

    async def dispatch(self, event, data):
        await self._send({"op": 0, "s": next(self._sequence), "t": event, "d": data})

    async def _received(self, payload):
        if payload["op"] == 1:
            await self._send({"op": 11, "d": None})
        elif payload["op"] == 2:
            self.identified += 1
            assert payload["d"]["token"] == "a-token"
            await self.dispatch("READY", {
                "v": 10, "user": user(self.bot_id, "recorder", True), "session_id": "main",
                "resume_gateway_url": f"ws://127.0.0.1:{self.port}/", "application": {"id": "77", "flags": 0},
                "guilds": [{"id": str(self.guild_id), "unavailable": True}]})
            await self.dispatch("GUILD_CREATE", self._guild())
        elif payload["op"] == 4:
            await self._voice_state(payload["d"])

    def _guild(self):
        voice = {"type": 2, "position": 1, "bitrate": 64000, "user_limit": 0, "permission_overwrites": []}
        return {
            **EMPTY_GUILD, "id": str(self.guild_id),
            "roles": [{"id": str(self.guild_id), "name": "@everyone", "permissions": str((1 << 47) - 1), "position": 0,
                       "color": 0, "hoist": False, "managed": False, "mentionable": False}],
            "channels": [
                {**voice, "id": str(self.channel_id), "name": "voice"},
                {**voice, "id": str(OTHER_CHANNEL), "name": "other"},
                {"id": str(TEXT_CHANNEL), "name": "text", "type": 0, "position": 0, "permission_overwrites": []}],
            "members": [member(self.bot_id, "recorder", True), *(member(*person) for person in self.people)],
            "voice_states": [self._state(person, self.channel_id, "theirs") for person, _ in self.people],
        }

    def _state(self, user_id, channel_id, session_id):
        return {"user_id": str(user_id), "channel_id": None if channel_id is None else str(channel_id),
                "session_id": session_id, "deaf": False, "mute": False, "self_deaf": self.self_deaf,
                "self_mute": False, "self_video": False, "suppress": False}

    async def _voice_state(self, wish):
        self.joins.append(wish)
        if self.mute:
            return
        channel = wish["channel_id"] and int(wish["channel_id"])
        self.self_deaf = wish["self_deaf"]
        if channel is not None and self.in_channel not in (None, channel):
            await self.move(channel)
            return
        fresh = channel is not None and self.in_channel is None
        self.in_channel = channel
        if fresh and self.joined:  # values belong to one join
            self.credentials.update((await self._ask("change-server"))["credentials"])
        self.joined = self.joined or fresh
        await self._tell(state=True, server=fresh)

    async def _tell(self, state, server):
        events = []
        if state:
            session = self.credentials["session_id"]
            events.append(("VOICE_STATE_UPDATE", {**self._state(self.bot_id, self.in_channel, session),
                                                  "guild_id": str(self.guild_id)}))
        if server:
            events.append(("VOICE_SERVER_UPDATE", {"token": self.credentials["token"], "endpoint": self.endpoint,
                                                   "guild_id": str(self.guild_id)}))
        for event in reversed(events) if self.swap else events:
            await self.dispatch(event[0], event[1])

    async def _ask(self, do, **more):
        answer = await asyncio.get_running_loop().run_in_executor(
            None, lambda: self.loopback.command(do, **more))
        assert answer["ok"], answer
        return answer

    # What happens to the bot.

    async def move(self, channel):
        self.in_channel = channel
        self.credentials.update((await self._ask("move", channel_id=str(channel)))["credentials"])
        await self._tell(state=True, server=True)

    async def change_server(self):
        self.credentials.update((await self._ask("change-server"))["credentials"])
        await self._tell(state=False, server=True)

    async def server_gone(self):
        await self.dispatch("VOICE_SERVER_UPDATE", {"token": self.credentials["token"], "endpoint": None,
                                                    "guild_id": str(self.guild_id)})

    async def kick(self):
        self.in_channel = None
        await self._ask("close", code=4014, reason="kicked")
        await self._tell(state=True, server=False)

    async def command(self, name, person=0, **options):
        """Somebody in the voice channel uses a slash command; the bot's answer."""
        user_id, user_name = self.people[person]
        number = next(self._ids)
        await self.dispatch("INTERACTION_CREATE", {
            "id": str(number), "application_id": "77", "type": 2, "token": "t", "version": 1, "locale": "en-US",
            "guild_id": str(self.guild_id), "channel_id": str(TEXT_CHANNEL), "app_permissions": "0",
            "channel": {"id": str(TEXT_CHANNEL), "type": 0, "name": "text", "permissions": "0"}, "entitlements": [],
            "member": member(user_id, user_name),
            "data": {"id": str(number + 1), "name": name, "type": 1,
                     "options": [{"name": key, "type": 3, "value": value} for key, value in options.items()]}})
        return await asyncio.wait_for(self.answers.get(), 15)

    # REST.

    async def _rest(self, request):
        path = request.match_info["path"].split("/")
        if path == ["users", "@me"]:
            return reply(user(self.bot_id, "recorder", True))
        if path[0] == "oauth2" or path == ["applications", "@me"]:
            return reply({"id": "77", "name": "recorder", "description": "", "rpc_origins": [],
                                      "bot_public": True, "bot_require_code_grant": False, "icon": None,
                                      "verify_key": "", "summary": "", "flags": 0,
                                      "owner": user(1, "owner"), "team": None})
        if path[0] == "applications" and request.method == "PUT":
            return reply([
                {"default_member_permissions": None, "version": "1", "application_id": "77", **command, "id": str(i)}
                for i, command in enumerate(await request.json(), 1)])
        content, files = await self._message(request)
        if path[0] == "interactions":
            if content["type"] == 4:
                await self.answers.put(content["data"]["content"])
            return web.Response(status=204)
        if path[0] == "webhooks":
            await self.answers.put(content["content"])
        elif path[0] == "channels":
            self.posted.append((content["content"], files))
        else:
            return reply({"message": "unknown", "code": 0}, status=404)
        return reply({
            "id": str(next(self._ids)), "channel_id": str(TEXT_CHANNEL), "author": user(self.bot_id, "recorder", True),
            "content": content["content"], "timestamp": "2024-01-01T00:00:00+00:00", "edited_timestamp": None,
            "tts": False, "mention_everyone": False, "mentions": [], "mention_roles": [], "attachments": [],
            "embeds": [], "pinned": False, "type": 0})

    @staticmethod
    async def _message(request):
        if request.content_type != "multipart/form-data":
            return await request.json(), {}
        content, files = {}, {}
        async for part in await request.multipart():
            if part.name == "payload_json":
                content = await part.json()
            else:
                files[part.filename] = bytes(await part.read())
        return content, files
