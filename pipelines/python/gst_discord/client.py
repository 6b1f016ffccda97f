# SPDX-License-Identifier: LGPL-2.1-or-later
"""The voice client."""
from __future__ import annotations

import asyncio
import atexit
import inspect
import logging
import warnings
import weakref
from typing import Any, Callable, Dict, Iterable, Optional, Set

import discord

from .call import Call, Credentials
from .gstreamer import Gst
from .listening import Listening
from .pool import AudioProcessPool
from .sinks import AudioHandlingSink, AudioSink

_log = logging.getLogger(__name__)

# Seconds: how long new credentials are waited for when the voice server has put us out, which is how a move
# begins as often as it ends; how long leaving is waited for before joining again.
_MOVE_PATIENCE = 10.0
_LEAVE_PATIENCE = 2.0
_REJOINS = 5

_clients: "weakref.WeakSet[VoiceClient]" = weakref.WeakSet()


class VoiceError(discord.ClientException):
    """The voice connection could not be made, or has ended, for the reason in its text."""


def _hopeless(error: Any) -> bool:
    """Whether trying again can change nothing: bad settings, or end-to-end encryption that is refused."""
    return (error.matches(Gst.ResourceError.quark(), Gst.ResourceError.SETTINGS)
            or error.matches(Gst.StreamError.quark(), Gst.StreamError.DECRYPT))


def _heard(users: Optional[Iterable[Any]], ignore_users: Iterable[Any], ignore_bots: Optional[bool]) -> Dict[str, Any]:
    """Who is heard, as properties of discordworkerdec."""
    def ids(people: Iterable[Any]) -> list:
        found = [getattr(one, "id", one) for one in people]
        for one in found:
            if not isinstance(one, int) or isinstance(one, bool) or not 0 < one < 2 ** 64:
                raise TypeError(f"{one!r} is neither a user nor the id of one")
        return found

    properties: Dict[str, Any] = {}
    only, never = None if users is None else ids(users), ids(ignore_users)
    if only is not None and not only:
        raise ValueError("users is empty, so nobody would be heard; None hears everybody")
    if only or never:
        properties["users"] = ",".join([str(one) for one in only or ()] + [f"-{one}" for one in never])
    if ignore_bots is not None:
        properties["ignore-bots"] = bool(ignore_bots)
    return properties


class VoiceClient(discord.VoiceProtocol):
    """Receives a voice channel: `await channel.connect(cls=VoiceClient)`, then `listen`.

    Everything but `disconnect`, `move_to` and the wait functions returns at once; call it from the event loop.
    A move, a region change or a lost connection does not end listening: the same sink goes on, and the gap is
    silence. Subclasses may set properties of the elements (docs/elements):

        class Recorder(gst_discord.VoiceClient):
            source_properties = {"e2ee": "required"}
            worker_properties = {"hold-time": 5000}
    """

    source_properties: Dict[str, Any] = {}
    worker_properties: Dict[str, Any] = {}

    def __init__(self, client: discord.Client, channel: Any) -> None:
        super().__init__(client, channel)
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.session_id: Optional[str] = None
        self.token: Optional[str] = None
        self.endpoint: Optional[str] = None
        self._timeout = 60.0
        self._reconnect = True
        self._self_mute = False
        self._self_deaf = False
        self._joining = False  # we have asked for values and wait for both
        self._leaving_to_rejoin: Optional[asyncio.Event] = None
        self._state_came = asyncio.Event()
        self._server_came = asyncio.Event()
        self._server_updates = 0
        self._connected = asyncio.Event()
        self._attempt: Optional[asyncio.Future] = None  # of the connection that is being made
        self._recovery: Optional[asyncio.Task] = None
        self._ended = False
        self._closing: Optional[asyncio.Future] = None
        self._call: Optional[Call] = None
        self._current: Optional[Listening] = None
        self._paused = False
        self._after: Dict[Listening, tuple] = {}
        self._cleaning: Set[Listening] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: Set[asyncio.Task] = set()
        self._users: Dict[int, int] = {}  # SSRC to user id
        self.last_listen_stats: Dict[str, int] = {}
        _clients.add(self)

    # What discord.VoiceClient has as well.

    @property
    def guild(self) -> discord.Guild:
        return self.channel.guild

    @property
    def user(self) -> Any:
        return self.client.user

    @property
    def latency(self) -> float:
        """Seconds between the last heartbeat to the voice gateway and its answer; infinite before that."""
        rtt = self._call.stats().get("heartbeat-rtt") if self._call is not None else None
        return rtt / 1e9 if rtt is not None else float("inf")

    @property
    def voice_stats(self) -> Dict[str, Any]:
        """The statistics of discordvoicesrc."""
        return self._call.stats() if self._call is not None else {}

    def is_connected(self) -> bool:
        return self._connected.is_set() and not self._ended

    async def move_to(self, channel: Any, *, timeout: Optional[float] = 30.0) -> None:
        """Moves to another channel of the guild and waits until audio can come; None leaves. Listening goes on."""
        if channel is None:
            await self.disconnect(force=True)
            return
        if self.channel is not None and channel.id == self.channel.id and self.is_connected():
            return
        self._connected.clear()
        self.channel = channel
        await self.guild.change_voice_state(channel=channel, self_mute=self._self_mute, self_deaf=self._self_deaf)
        await asyncio.wait_for(self._connected.wait(), timeout)

    # The protocol of discord.py.

    async def connect(self, *, timeout: float, reconnect: bool, self_deaf: bool = False,
                      self_mute: bool = False) -> None:
        self._timeout = timeout
        self._reconnect = reconnect
        self._self_deaf = self_deaf
        self._self_mute = self_mute
        try:
            call = self._call = Call(self.loop, dict(self.source_properties))
            call.on_connected = self._on_connected
            call.on_failed = self._on_failed
            call.on_branch_failed = self._on_branch_failed
            call.on_message = self._on_message
            call.on_credentials_needed = self._on_credentials_needed
            await asyncio.wait_for(self._join(), timeout)
        except BaseException as error:
            await self._shut_down(None, leave=True)
            if isinstance(error, asyncio.TimeoutError):
                missing = [name for name, came in (("voice state", self._state_came),
                                                   ("voice server", self._server_came)) if not came.is_set()]
                raise asyncio.TimeoutError(
                    f"Discord sent no {' and no '.join(missing)}: may the bot view and join the channel, and is it full?"
                    if missing else "the voice server did not answer in time") from error
            raise

    async def on_voice_state_update(self, data: dict, /) -> None:
        channel_id = data["channel_id"]
        if channel_id is None:
            if self._leaving_to_rejoin is not None:
                self._leaving_to_rejoin.set()
            elif not self._joining:
                await self._shut_down(None, leave=False)
            return
        self.session_id = data["session_id"]
        self._self_mute = data.get("self_mute", self._self_mute)
        self._self_deaf = data.get("self_deaf", self._self_deaf)
        moved = int(channel_id) != self.channel.id
        if moved:
            self.channel = self.guild.get_channel(int(channel_id)) or discord.Object(int(channel_id))
        self._state_came.set()
        call = self._call
        if (not self._joining and self.endpoint is not None and call is not None and call.credentials is not None
                and self._server_came.is_set() and call.credentials.channel_id != int(channel_id)
                and call.credentials.token != self.token):
            # The other half of a move came first, and was used for the old channel.
            await self._start()

    async def on_voice_server_update(self, data: dict, /) -> None:
        self._server_updates += 1
        endpoint, token = data.get("endpoint"), data.get("token")
        if endpoint is None or token is None:
            # The voice server has failed and another one is looked for, which may take a minute.
            self.endpoint = None
            self._server_came.clear()
            self._connected.clear()
            if self._call is not None:
                await self._call.hang_up()
            return
        self.endpoint, self.token = endpoint, token
        self._server_came.set()
        if not self._joining and not self._ended and self._state_came.is_set():
            await self._start()

    async def disconnect(self, *, force: bool = False) -> None:
        """Leaves. Listening ends as with stop_listening: the sink gets what has arrived and is cleaned up."""
        await self._shut_down(None, leave=True)

    # Connecting.

    def _credentials(self) -> Credentials:
        return Credentials(self.endpoint, self.session_id, self.token, self.guild.id, self.channel.id, self.user.id)

    async def _start(self) -> None:
        self._connected.clear()
        _log.info("connecting to %s", self.endpoint)
        await self._call.start(self._credentials())

    async def _join(self) -> None:
        self._state_came.clear()
        self._server_came.clear()
        self._joining = True
        try:
            await self.guild.change_voice_state(channel=self.channel, self_mute=self._self_mute,
                                                self_deaf=self._self_deaf)
            await self._state_came.wait()
            await self._server_came.wait()
            self._attempt = self.loop.create_future()
            await self._start()
        finally:
            self._joining = False
        try:
            await self._attempt
        finally:
            self._attempt = None

    def _on_connected(self) -> None:
        self._connected.set()
        for member in getattr(self.channel, "members", ()):
            self._call.set_user(member.id, member.display_name, member.bot)
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(None)

    def _on_failed(self, error: Any) -> None:
        self._connected.clear()
        if self._attempt is not None:
            if not self._attempt.done():
                self._attempt.set_exception(VoiceError(error.message))
            return
        if self._ended or self._recovery is not None:
            return
        self._recovery = self._task(self._recover(error))

    def _on_credentials_needed(self, reason: str) -> None:
        if self._attempt is not None:
            # These are new: whoever waits for the attempt hears that they were refused.
            if not self._attempt.done():
                self._attempt.set_exception(VoiceError(reason or "The voice server refused the connection."))
            return
        if not self._ended and self._recovery is None and not self._joining:
            self._recovery = self._task(self._rejoin())
            self._recovery.add_done_callback(lambda _: setattr(self, "_recovery", None))

    def _task(self, coroutine: Any) -> asyncio.Task:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _recover(self, error: Any) -> None:
        try:
            if error.matches(Gst.ResourceError.quark(), Gst.ResourceError.READ):
                # Put out: a move brings new values by itself, a kick a voice state without a channel.
                _log.info("%s", error.message)
                try:
                    await asyncio.wait_for(self._connected.wait(), _MOVE_PATIENCE)
                    return
                except asyncio.TimeoutError:
                    pass
            if _hopeless(error) or not self._reconnect:
                await self._shut_down(VoiceError(error.message), leave=True)
                return
            _log.warning("%s Joining again.", error.message)
            last: BaseException = VoiceError(error.message)
            for attempt in range(_REJOINS):
                try:
                    await asyncio.wait_for(self._rejoin(), self._timeout)
                    return
                except (VoiceError, asyncio.TimeoutError) as again:
                    last = again if isinstance(again, VoiceError) else last
                    await asyncio.sleep(min(2 ** attempt, 16))
                if self._ended:
                    return
            await self._shut_down(last, leave=True)
        finally:
            self._recovery = None

    async def _rejoin(self) -> None:
        # Asking for the channel we are in may give no new values, so out of it first.
        self._leaving_to_rejoin = asyncio.Event()
        try:
            await self.guild.change_voice_state(channel=None)
            try:
                await asyncio.wait_for(self._leaving_to_rejoin.wait(), _LEAVE_PATIENCE)
            except asyncio.TimeoutError:
                pass
        finally:
            self._leaving_to_rejoin = None
        await self._join()

    async def _shut_down(self, error: Optional[BaseException], *, leave: bool) -> None:
        if self._closing is not None:
            await asyncio.shield(self._closing)
            return
        self._ended = True
        self._closing = self.loop.create_future()
        try:
            if error is not None:
                _log.error("%s", error)
            if self._recovery is not None and self._recovery is not asyncio.current_task():
                self._recovery.cancel()
            if leave:
                try:
                    await self.guild.change_voice_state(channel=None)
                except Exception as problem:  # the main gateway may be gone already
                    _log.debug("could not say goodbye: %s", problem)
            self._stop(error)
            await self._idle.wait()
            if self._call is not None:
                await self._call.close()
        finally:
            self._connected.clear()
            self.cleanup()
            self._closing.set_result(None)

    # Listening.

    def listen(self, sink: AudioSink, processing_pool: Optional[AudioProcessPool] = None, *, decode: bool = True,
               supress_warning: bool = False, after: Optional[Callable[..., Any]] = None,
               users: Optional[Iterable[Any]] = None, ignore_users: Iterable[Any] = (),
               ignore_bots: Optional[bool] = None, **kwargs: Any) -> None:
        """Gives what is said to a sink until stop_listening.

        processing_pool: whose workers decrypt and decode; None = own ones. decode=False gives Opus packets.
        after: called with the sink and the keyword arguments when all is done and the sink cleaned up, as a
            coroutine function or a plain one. A parameter called `exc` or `error` gets what ended listening, or None.
        users: members, users, objects or ids; nobody else is heard. None hears everybody.
        ignore_users: the same of those who are not heard; counts more than `users`.
        ignore_bots: bots are not heard, but for those in `users`; None = worker_properties, or True.

        Nothing that is said by somebody who is not heard is decrypted end to end or decoded.

        Raises ClientException when not connected or listening already, TypeError for what is no sink, pool or user,
        ValueError for a sink that cannot use Opus packets and for an empty `users`. Warns, unless supress_warning, when the sink before is
        still being cleaned up.
        """
        if not self.is_connected():
            raise discord.ClientException("Not connected to voice.")
        if self._current is not None:
            raise discord.ClientException("Already listening.")
        if not isinstance(sink, AudioSink):
            raise TypeError(f"sink must be an AudioSink, not {type(sink).__name__}")
        if processing_pool is not None and not isinstance(processing_pool, AudioProcessPool):
            raise TypeError(f"processing_pool must be an AudioProcessPool, not {type(processing_pool).__name__}")
        if not decode and not sink.ACCEPTS_OPUS:
            raise ValueError(f"{type(sink).__name__} needs decoded audio")
        heard = _heard(users, ignore_users, ignore_bots)
        if any(listening.sink is sink for listening in self._cleaning):
            raise discord.ClientException("This sink is still being cleaned up.")
        if self._cleaning and not supress_warning:
            warnings.warn("the sink before is still being cleaned up; wait_for_listen_ready() waits for it",
                          stacklevel=2)
        properties: Dict[str, Any] = {}
        if isinstance(sink, AudioHandlingSink):
            properties["latency"] = round(min(max(sink.PACKET_WAIT_TIME, 0), 5) * 1000)
        if processing_pool is not None:
            properties.update(processing_pool.properties())
        properties.update(self.worker_properties)
        properties.update(heard)
        listening = Listening(self._call.pipeline, self._call.tee, sink, properties, decode=decode,
                              resolve=self._resolve, finished=self._finished)
        if processing_pool is not None:
            processing_pool._add(listening)
        self._current = listening
        self._paused = False
        self._after[listening] = (after, kwargs)
        self._idle.clear()
        listening.start()
        self._call.set_receiving(True)

    def stop_listening(self) -> None:
        """Ends listening; nothing happens if nobody listens."""
        self._stop(None)

    def pause_listening(self) -> None:
        """What is said from now on is discarded; the connection and its encryption live on."""
        if self._current is not None and not self._paused:
            self._paused = True
            self._call.set_receiving(False)
            self._current.pause()

    def resume_listening(self) -> None:
        if self._current is not None and self._paused:
            self._paused = False
            self._current.resume()
            self._call.set_receiving(True)

    def is_listening(self) -> bool:
        """Listening, and not paused."""
        return self._current is not None and not self._paused

    def is_listening_paused(self) -> bool:
        return self._current is not None and self._paused

    def is_listen_receiving(self) -> bool:
        """Listening, paused or not."""
        return self._current is not None

    def is_listen_cleaning(self) -> bool:
        """Stopped, and the sink has not been cleaned up yet."""
        return self._current is None and bool(self._cleaning)

    async def wait_for_listen_ready(self) -> None:
        """Waits until nobody listens and every sink has been cleaned up. `after` begins then."""
        await self._idle.wait()

    @property
    def listen_stats(self) -> Dict[str, int]:
        """Counters of the listening, or of the last one: frames, frames_dropped (the sink was too slow), rtcp,
        malformed_rtcp, sink_errors."""
        return dict(self._current.stats) if self._current is not None else dict(self.last_listen_stats)

    def get_member_from_ssrc(self, ssrc: int) -> Any:
        """Member, Object for somebody who is not in the cache, or None."""
        return self._resolve(ssrc, 0)

    def update_ssrc(self, data: dict) -> None:
        """Tells whose an SSRC is (keys `ssrc` and `user_id`), until a packet says otherwise."""
        self._remember(int(data["ssrc"]), int(data["user_id"]))

    def _remember(self, ssrc: int, user_id: int) -> None:
        self._users.pop(ssrc, None)
        if len(self._users) >= 4096:
            del self._users[next(iter(self._users))]
        self._users[ssrc] = user_id

    def _resolve(self, ssrc: int, user_id: int) -> Any:
        # Also called from the thread of a listening: everything here is one step under the interpreter lock.
        if user_id == 0:
            user_id = self._users.get(ssrc, 0)
            if user_id == 0:
                return None
        elif self._users.get(ssrc) != user_id:
            self.loop.call_soon_threadsafe(self._remember, ssrc, user_id)
        return self.guild.get_member(user_id) or discord.Object(user_id)

    def _stop(self, error: Optional[BaseException]) -> None:
        listening = self._current
        if listening is None:
            return
        self._current = None
        self._cleaning.add(listening)
        self._call.set_receiving(False)
        self.last_listen_stats = listening.stats
        listening.stop(error)

    def _finished(self, listening: Listening, error: Optional[BaseException]) -> None:
        try:
            self.loop.call_soon_threadsafe(self._clean, listening, error)
        except RuntimeError:
            _log.debug("the event loop has ended before %r was told", listening.sink)

    def _clean(self, listening: Listening, error: Optional[BaseException]) -> None:
        if listening is self._current:  # it ended by itself
            self._stop(None)
        self._cleaning.discard(listening)
        if self._current is None and not self._cleaning:
            self._idle.set()
        after, kwargs = self._after.pop(listening, (None, {}))
        if after is not None:
            self._task(self._run_after(after, listening.sink, error, kwargs))

    async def _run_after(self, after: Callable[..., Any], sink: AudioSink, error: Optional[BaseException],
                         kwargs: Dict[str, Any]) -> None:
        try:
            parameters = inspect.signature(after).parameters
            told = {name: error for name in ("exc", "error") if name in parameters and name not in kwargs}
            result = after(sink, **told, **kwargs)
            if inspect.isawaitable(result):
                await result
        except Exception:
            _log.exception("what was to be done after listening failed")

    def _on_branch_failed(self, element: Gst.Object, error: Any) -> None:
        for listening in [self._current, *self._cleaning]:
            if listening is not None and listening.owns(element):
                if listening is self._current:
                    self._stop(VoiceError(error.message))
                else:
                    listening.stop(VoiceError(error.message))
                return
        _log.error("%s: %s", element.get_name(), error.message)

    def _on_message(self, structure: Gst.Structure) -> None:
        if structure.get_name() == "discord-speaking":
            user_id = structure.get_value("user-id")
            if user_id:
                self._remember(structure.get_value("ssrc"), user_id)
        elif structure.get_name() == "discord-user-joined":
            # Whoever came after us may be a bot as well.
            member = self.guild.get_member(structure.get_value("user-id"))
            if member is not None:
                self._call.set_user(member.id, member.display_name, member.bot)

    # The end of the process.

    def _abort(self) -> None:
        listenings = [listening for listening in (self._current, *self._cleaning) if listening is not None]
        for listening in listenings:
            listening.abort()
        for listening in listenings:
            listening.join(2)
        if self._call is not None and not self._call.closed:
            self._call.close_now()


@atexit.register
def _end() -> None:
    # A program that ends without disconnecting still gets its files.
    for client in list(_clients):
        client._abort()
