#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bot that records voice channels: /start, /pause, /resume and /stop. The files are posted where it was started.

    recording_bot.py TOKEN-FILE [OUTPUT-FOLDER]
"""
import asyncio
import pathlib
import sys
from typing import Literal, Optional

import discord
from discord import app_commands

import gst_discord as listening

FORMATS = {"mp3": listening.MP3AudioFile, "wav": listening.WaveAudioFile}


class RecordingBot(discord.Client):
    def __init__(self, output_folder: str) -> None:
        super().__init__(intents=discord.Intents(guilds=True, voice_states=True))
        self.output_folder = output_folder
        self.process_pool = listening.AudioProcessPool(2)
        self.tree = app_commands.CommandTree(self)
        for command in (start, pause, resume, stop):
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        await self.tree.sync()


async def on_listen_finish(sink: listening.AudioFileSink, exc: Optional[Exception] = None, *, channel) -> None:
    await sink.convert_files()
    for file in sink.output_files.values():
        speaker = f"<@{file.user.id}>" if file.user is not None else "somebody"
        await channel.send(f"What {speaker} said", file=discord.File(file.path))
    if exc is not None:
        await channel.send(f"The recording ended early: {exc}")


async def voice_client_for(interaction: discord.Interaction) -> Optional[listening.VoiceClient]:
    """The voice client in the caller's channel; joins or moves there."""
    voice_client = interaction.guild.voice_client
    voice = interaction.user.voice
    if voice is None or voice.channel is None:
        return voice_client
    if voice_client is None:
        return await voice.channel.connect(cls=listening.VoiceClient)
    if voice_client.channel != voice.channel:
        await voice_client.move_to(voice.channel)
    return voice_client


async def show_deafened(voice_client: listening.VoiceClient, deafened: bool) -> None:
    """Everybody sees whether the bot listens."""
    state = voice_client.guild.me.voice
    await voice_client.guild.change_voice_state(channel=voice_client.channel, self_deaf=deafened,
                                                self_mute=state.self_mute if state is not None else False)


@app_commands.command(description="Record the voice channel you are in.")
@app_commands.guild_only()
async def start(interaction: discord.Interaction, file_format: Literal["mp3", "wav"]) -> None:
    await interaction.response.defer(thinking=True)
    try:
        voice_client = await voice_client_for(interaction)
    except (discord.ClientException, asyncio.TimeoutError) as error:
        await interaction.followup.send(f"I could not join: {error}")
        return
    if voice_client is None:
        await interaction.followup.send("You are not in a voice channel.")
    elif voice_client.is_listen_receiving():
        await interaction.followup.send("I am recording already.")
    elif voice_client.is_listen_cleaning():
        await interaction.followup.send("The recording before is still being finished.")
    else:
        bot: RecordingBot = interaction.client
        voice_client.listen(listening.AudioFileSink(FORMATS[file_format], bot.output_folder), bot.process_pool,
                            after=on_listen_finish, channel=interaction.channel)
        await interaction.followup.send("Recording.")


@app_commands.command(description="Pause the recording.")
@app_commands.guild_only()
async def pause(interaction: discord.Interaction) -> None:
    voice_client = interaction.guild.voice_client
    if voice_client is None or not voice_client.is_listen_receiving():
        await interaction.response.send_message("I am not recording.")
    elif voice_client.is_listening_paused():
        await interaction.response.send_message("It is paused already.")
    else:
        voice_client.pause_listening()
        await show_deafened(voice_client, True)
        await interaction.response.send_message("Paused.")


@app_commands.command(description="Go on recording.")
@app_commands.guild_only()
async def resume(interaction: discord.Interaction) -> None:
    voice_client = interaction.guild.voice_client
    if voice_client is None or not voice_client.is_listening_paused():
        await interaction.response.send_message("Nothing is paused.")
    else:
        voice_client.resume_listening()
        await show_deafened(voice_client, False)
        await interaction.response.send_message("Recording again.")


@app_commands.command(description="Stop recording and post the files.")
@app_commands.guild_only()
async def stop(interaction: discord.Interaction) -> None:
    voice_client = interaction.guild.voice_client
    if voice_client is None or not voice_client.is_listen_receiving():
        await interaction.response.send_message("I am not recording.")
        return
    await interaction.response.send_message("Stopped.")
    voice_client.stop_listening()
    await voice_client.wait_for_listen_ready()
    await voice_client.disconnect()


def main() -> None:
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) == 3 else "recordings")
    folder.mkdir(parents=True, exist_ok=True)
    bot = RecordingBot(str(folder))
    try:
        bot.run(pathlib.Path(sys.argv[1]).read_text().strip())
    finally:
        bot.process_pool.cleanup_processes()


if __name__ == "__main__":
    main()
