# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pipeline of one voice connection: discordvoicesrc, and a tee that listenings come and go at."""
from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, Callable, Dict, NamedTuple, Optional

from .gstreamer import Gst, has_signal, make

_log = logging.getLogger(__name__)


class Credentials(NamedTuple):
    """What a join gives; belongs to that join."""

    endpoint: str
    session_id: str
    token: str
    guild_id: int
    channel_id: int
    user_id: int

    def __repr__(self) -> str:  # a token is nobody's business
        return f"<Credentials endpoint={self.endpoint} guild={self.guild_id} channel={self.channel_id}>"


class Call:
    """Owns the pipeline. Its bus is read by the event loop through the bus's file descriptor, so no thread of
    ours waits for messages; what can block runs in the loop's executor.

    The `on_` callbacks run on the loop: on_connected(), on_failed(GLib.Error), on_branch_failed(element, error),
    on_message(structure), on_credentials_needed(reason).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, source_properties: Dict[str, Any]) -> None:
        self.loop = loop
        self.pipeline = Gst.Pipeline()
        self.source = make("discordvoicesrc", receiving=False)
        for name, value in source_properties.items():
            if isinstance(value, str):
                Gst.util_set_object_arg(self.source, name, value)
            else:
                self.source.set_property(name, value)
        self.tee = make("tee", allow_not_linked=True)
        self.pipeline.add(self.source)
        self.pipeline.add(self.tee)
        self.source.link(self.tee)
        # A connection that ends may be followed by another one; the end of a listening is asked for.
        self.source.get_static_pad("src").add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, self._drop_eos)
        self.hot = has_signal(self.source, "update-voice-server") and has_signal(self.source, "update-voice-state")
        self._needs = None
        if has_signal(self.source, "credentials-needed"):
            self._needs = self.source.connect("credentials-needed", self._credentials_needed)
        self.names_wanted = has_signal(self.source, "set-user")
        self.credentials: Optional[Credentials] = None
        self.closed = False
        self._lock = threading.Lock()
        self._bus: Gst.Bus = self.pipeline.get_bus()
        self._fd = self._bus.get_pollfd().fd
        loop.add_reader(self._fd, self._read_bus)
        self.on_connected: Callable[[], None] = lambda: None
        self.on_failed: Callable[[Any], None] = lambda error: None
        self.on_branch_failed: Callable[[Gst.Object, Any], None] = lambda element, error: None
        self.on_message: Callable[[Gst.Structure], None] = lambda structure: None
        self.on_credentials_needed: Callable[[str], None] = lambda reason: None

    @staticmethod
    def _drop_eos(pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        return Gst.PadProbeReturn.DROP if info.get_event().type == Gst.EventType.EOS else Gst.PadProbeReturn.OK

    def _credentials_needed(self, _source: Any, reason: str = "") -> None:
        self.loop.call_soon_threadsafe(self.on_credentials_needed, reason)

    def _read_bus(self) -> None:
        while not self.closed:
            message = self._bus.pop()
            if message is None:
                return
            if message.type == Gst.MessageType.ERROR:
                error, debug = message.parse_error()
                _log.debug("%s: %s (%s)", message.src.get_name(), error.message, debug)
                if message.src == self.source:
                    self.on_failed(error)
                else:
                    self.on_branch_failed(message.src, error)
            elif message.type == Gst.MessageType.WARNING:
                _log.warning("%s: %s", message.src.get_name(), message.parse_warning()[0].message)
            elif message.type == Gst.MessageType.PROGRESS and message.src == self.source:
                if message.parse_progress()[0] == Gst.ProgressType.COMPLETE:
                    self.on_connected()
            elif message.type == Gst.MessageType.ELEMENT:
                structure = message.get_structure()
                if structure.get_name() == "discord-session" and structure.get_value("state") == "connected":
                    self.on_connected()
                self.on_message(structure)

    async def start(self, credentials: Credentials) -> None:
        """Connects with these values, or leaves what there is and connects anew; on_connected or on_failed tells
        how it went."""
        await self.loop.run_in_executor(None, self._start, credentials)

    def _start(self, credentials: Credentials) -> None:
        with self._lock:
            if self.closed:
                return
            running = self.credentials is not None
            self.credentials = credentials
            if running and self.hot:
                self.source.set_property("channel-id", credentials.channel_id)
                self.source.emit("update-voice-state", credentials.session_id)
                self.source.emit("update-voice-server", credentials.endpoint, credentials.token)
                return
            if running:
                self.source.set_state(Gst.State.READY)
            for name, value in credentials._asdict().items():
                self.source.set_property(name.replace("_", "-"), value)
            if running:
                self.source.sync_state_with_parent()
            else:
                self.pipeline.set_state(Gst.State.PLAYING)

    async def hang_up(self) -> None:
        """Leaves the voice server; listenings stay, for the next start()."""
        await self.loop.run_in_executor(None, self._hang_up)

    def _hang_up(self) -> None:
        with self._lock:
            if self.closed or self.credentials is None:
                return
            if self.hot:
                self.source.emit("update-voice-server", None, "")
            else:
                self.source.set_state(Gst.State.READY)

    async def close(self) -> None:
        """Ends all. Listenings must have ended."""
        if self.closed:
            return
        self.closed = True
        self.loop.remove_reader(self._fd)
        await self.loop.run_in_executor(None, self._close)

    def _close(self) -> None:
        with self._lock:
            if self._needs is not None:
                self.source.disconnect(self._needs)
                self._needs = None
            self.pipeline.set_state(Gst.State.NULL)

    def close_now(self) -> None:
        """For the end of the process, when no loop runs any more. Blocks."""
        self.closed = True
        self._close()

    def set_receiving(self, receiving: bool) -> None:
        self.source.set_property("receiving", receiving)

    def set_user(self, user_id: int, name: str, bot: bool) -> None:
        if self.names_wanted:
            self.source.emit("set-user", user_id, name, bot)

    def stats(self) -> Dict[str, Any]:
        structure = self.source.get_property("stats")
        return {structure.nth_field_name(i): structure.get_value(structure.nth_field_name(i))
                for i in range(structure.n_fields())}
