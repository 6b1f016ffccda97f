# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files: one per speaker, raw while listening, WAV or MP3 afterwards."""
from __future__ import annotations

import abc
import asyncio
import logging
import os
import re
from typing import Any, Callable, Dict, List, Optional

from .convert import ConversionError, encode
from .frames import BYTES_PER_SAMPLE, AudioFrame
from .rtcp import RTCPPacket
from .sinks import AudioHandlingSink

_log = logging.getLogger(__name__)


def _create(folder: str, stem: str, extension: str) -> str:
    """Makes an empty file of that name and returns its path. Nothing is overwritten: a taken name gets -2."""
    number = 1
    while True:
        path = os.path.join(folder, f"{stem}{'' if number == 1 else f'-{number}'}.{extension}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            return path
        except FileExistsError:
            number += 1


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:40]


class AudioFile(abc.ABC):
    """The audio of one speaker in `path`: 48 kHz, 16 bit, stereo, without a header, silence where nobody spoke.

    Silence is a hole in the file and takes no room on the disk. `user` is who speaks, None while unknown; `path`
    is the converted file once there is one; `error` says why writing ended early, or None.
    """

    EXTENSION = "pcm"

    def __init__(self, path: str, ssrc: int) -> None:
        self.path = path
        self.ssrc = ssrc
        self.user: Any = None
        self.done = False
        self.converted = False
        self.error: Optional[OSError] = None
        self.origin = 0  # position of the file's first sample
        self.keep_pauses = True
        self.end = 0  # samples
        self.file = open(path, "r+b")

    def on_audio(self, frame: AudioFrame) -> None:
        """Writes a frame in its place."""
        if self.done:
            return
        if frame.user is not None:
            self.user = frame.user
        start = frame.position - self.origin - (0 if self.keep_pauses else frame.paused)
        audio = frame.audio
        if start < self.end:  # what is there already stays
            audio = audio[(self.end - start) * BYTES_PER_SAMPLE :]
            start = self.end
        if not audio:
            return
        self.end = start + len(audio) // BYTES_PER_SAMPLE
        if frame.kind == "silence" and not any(audio):
            return
        try:
            self.file.seek(start * BYTES_PER_SAMPLE)
            self.file.write(audio)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        _log.error("%s is no longer written: %s", self.path, error)
        self.error = error
        self.cleanup()

    def cleanup(self, end: Optional[int] = None) -> None:
        """Completes the file; `end` is its length in samples, longer than what was written."""
        if self.done:
            return
        self.done = True
        try:
            if self.error is None:
                self.end = max(self.end, end or 0)
                self.file.truncate(self.end * BYTES_PER_SAMPLE)
        except OSError as error:
            self.error = error
            _log.error("%s could not be completed: %s", self.path, error)
        finally:
            try:
                self.file.close()
            except OSError as error:
                self.error = self.error or error

    @abc.abstractmethod
    async def convert(self, new_name: Optional[str] = None, **options: Any) -> None:
        """Makes the final file beside the raw one, under `new_name` without extension. Raises ConversionError,
        and keeps the raw file, if that fails."""

    async def _encode(self, encoder: str, new_name: Optional[str], **properties: Any) -> None:
        if not self.done:
            raise ConversionError(f"{self.path} is still being written")
        if self.converted:
            return
        stem = os.path.splitext(os.path.basename(self.path))[0] if new_name is None else new_name
        folder = os.path.dirname(self.path)
        new_path = await asyncio.get_running_loop().run_in_executor(
            None, self._encode_blocking, encoder, folder, stem, properties)
        self._convert_cleanup(new_path)

    def _encode_blocking(self, encoder: str, folder: str, stem: str, properties: dict) -> str:
        new_path = _create(folder, stem, self.EXTENSION)
        part = new_path + ".part"
        try:
            encode(self.path, part, encoder, properties)
            os.chmod(part, 0o600)
            os.replace(part, new_path)
        except BaseException:
            for path in (part, new_path):
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    pass
            raise
        return new_path

    def _convert_cleanup(self, new_path: str) -> None:
        os.unlink(self.path)
        self.path = new_path
        self.converted = True


class WaveAudioFile(AudioFile):
    """A WAV file."""

    EXTENSION = "wav"

    async def convert(self, new_name: Optional[str] = None, **options: Any) -> None:
        await self._encode("wavenc", new_name)


class MP3AudioFile(AudioFile):
    """An MP3 file; `bitrate` of convert is in kbit/s."""

    EXTENSION = "mp3"

    async def convert(self, new_name: Optional[str] = None, *, bitrate: int = 128, **options: Any) -> None:
        await self._encode("lamemp3enc", new_name, target="bitrate", cbr=True, bitrate=bitrate)


class AudioFileSink(AudioHandlingSink):
    """One file per speaker in `output_dir`, which must exist.

    file_type: WaveAudioFile, MP3AudioFile, or whatever makes an AudioFile of (path, ssrc).
    align: "session": all files begin when listening began and have the same length, so that they can be laid
        under each other. "speaker": each begins with its first sound.
    pauses: "silence": a pause of listening is silence of its length. "cut": it is left out.

    `output_files` has the files by the SSRC their speaker had first (by user id where that SSRC has belonged to
    somebody else before). A speaker who comes back goes on in the same file.
    """

    ACCEPTS_OPUS = False

    def __init__(self, file_type: Callable[[str, int], AudioFile], output_dir: str = ".", *,
                 align: str = "session", pauses: str = "silence") -> None:
        if not os.path.isdir(output_dir):
            raise ValueError(f"{output_dir} is no folder")
        if align not in ("session", "speaker"):
            raise ValueError("align is session or speaker")
        if pauses not in ("silence", "cut"):
            raise ValueError("pauses is silence or cut")
        self.file_type = file_type
        self.output_dir = output_dir
        self.align = align
        self.pauses = pauses
        self.output_files: Dict[int, AudioFile] = {}
        self.done = False
        self.converted = False
        self._current: Dict[int, AudioFile] = {}  # SSRC of now
        self._failed: set = set()

    def on_valid_audio(self, frame: AudioFrame) -> None:
        if self.done:
            return
        file = self._file_for(frame)
        if file is not None:
            file.on_audio(frame)

    def on_rtcp(self, packet: RTCPPacket) -> None:
        pass

    def _file_for(self, frame: AudioFrame) -> Optional[AudioFile]:
        user_id = getattr(frame.user, "id", None)
        file = self._current.get(frame.ssrc)
        if file is not None and (user_id is None or file.user is None or file.user.id == user_id):
            return file
        if user_id is not None:
            for other in self.output_files.values():
                # Who comes back has a new SSRC; who talks through two at a time has two files.
                if other.user is not None and other.user.id == user_id and not other.done:
                    offset = other.origin + (0 if other.keep_pauses else frame.paused)
                    if other.end + offset <= frame.position:
                        self._current[frame.ssrc] = other
                        return other
        return self._new_file(frame, user_id)

    def _new_file(self, frame: AudioFrame, user_id: Optional[int]) -> Optional[AudioFile]:
        if frame.ssrc in self._failed:
            return None
        try:
            path = _create(self.output_dir, f"audio-{frame.ssrc}", "pcm")
            file = self.file_type(path, frame.ssrc)
        except OSError as error:
            self._failed.add(frame.ssrc)
            _log.error("no file for SSRC %d: %s", frame.ssrc, error)
            return None
        file.keep_pauses = self.pauses == "silence"
        if self.align == "speaker":
            file.origin = frame.position - (0 if file.keep_pauses else frame.paused)
        self._current[frame.ssrc] = file
        key = frame.ssrc
        while key in self.output_files:
            key = user_id if key == frame.ssrc and user_id is not None else -len(self.output_files) - 1
        self.output_files[key] = file
        return file

    def cleanup(self) -> None:
        if self.done:
            return
        self.done = True
        files = list(self.output_files.values())
        length = None
        if self.align == "session":
            length = max((file.end for file in files), default=0)
        for file in files:
            file.cleanup(length)

    def _name(self, file: AudioFile) -> str:
        if file.user is None:
            return f"audio-{file.ssrc}"
        name = _safe(getattr(file.user, "display_name", "") or "")
        return f"audio-{file.user.id}-{name}" if name else f"audio-{file.user.id}"

    async def convert_files(self, *args: Any, **kwargs: Any) -> None:
        """Converts every file, at most two at a time, without blocking the event loop. The arguments go to
        AudioFile.convert. What cannot be converted keeps its raw file, does not stop the others, and is raised at
        the end as one ConversionError with the attribute `errors`."""
        if not self.done:
            raise ConversionError("listening has not ended: stop it and wait for wait_for_listen_ready()")
        turn = asyncio.Semaphore(2)

        async def one(file: AudioFile) -> None:
            async with turn:
                await file.convert(self._name(file), *args, **kwargs)

        files = list(self.output_files.values())
        results = await asyncio.gather(*(one(file) for file in files), return_exceptions=True)
        errors: List[BaseException] = [result for result in results if isinstance(result, BaseException)]
        if errors:
            error = ConversionError("; ".join(str(e) for e in errors))
            error.errors = errors
            raise error
        self.converted = True
