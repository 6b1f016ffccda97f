// A discord.js bot that lets discord-record do the recording: it joins a channel with the library it
// knows and hands over the values of the join.
//
//   npm install discord.js
//   BOT_TOKEN_FILE=token node record.mjs GUILD_ID CHANNEL_ID
//
// Say "!mark something" in a text channel of the server to mark a moment; Ctrl-C ends the recording.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// Starts a recorder. `on(event)` gets what it tells; `send(command)` is how it is told things.
export function startRecorder(program, options, on) {
  const child = spawn(program, ['--control', ...options], { stdio: ['pipe', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', (line) => on(JSON.parse(line)));
  child.stdin.on('error', () => {}); // it has ended
  const ended = new Promise((resolve) => child.on('close', resolve));
  return {
    send: (command) => child.stdin.write(JSON.stringify(command) + '\n'),
    ended, // 0: complete, 3: something was lost, 1: it could not be made
  };
}

// Joins by the main gateway alone: no voice connection of the library is made, so that there is only
// one. Resolves with what discord-record wants to know.
export function joinValues(client, guildId, channelId) {
  return new Promise((resolve) => {
    const values = { user_id: client.user.id, guild_id: guildId, channel_id: channelId };
    client.ws.on('VOICE_STATE_UPDATE', (state) => {
      if (state.guild_id === guildId && state.user_id === client.user.id && state.channel_id) {
        values.session_id = state.session_id;
        if (values.endpoint) resolve(values);
      }
    });
    client.ws.on('VOICE_SERVER_UPDATE', (server) => {
      if (server.guild_id === guildId && server.endpoint) {
        values.endpoint = server.endpoint;
        values.token = server.token;
        if (values.session_id) resolve(values);
      }
    });
    client.guilds.cache.get(guildId).shard.send({
      op: 4,
      d: { guild_id: guildId, channel_id: channelId, self_mute: true, self_deaf: false },
    });
  });
}

async function main(guildId, channelId) {
  const { Client, Events, GatewayIntentBits } = await import('discord.js');
  const client = new Client({
    intents: [
      GatewayIntentBits.Guilds,
      GatewayIntentBits.GuildVoiceStates,
      GatewayIntentBits.GuildMessages,
      GatewayIntentBits.MessageContent,
    ],
  });
  client.once(Events.ClientReady, async () => {
    const guild = await client.guilds.fetch(guildId);
    const recorder = startRecorder(process.env.DISCORD_RECORD ?? 'discord-record', [], async (event) => {
      if (event.event === 'joined') {
        const member = await guild.members.fetch(event.user_id);
        recorder.send({ do: 'name', user_id: event.user_id, name: member.displayName });
      } else if (event.event !== 'stats' && event.event !== 'speaking') {
        console.log(event);
      }
    });
    recorder.send({ do: 'join', ...(await joinValues(client, guildId, channelId)) });
    client.on(Events.MessageCreate, (message) => {
      if (message.guildId === guildId && message.content.startsWith('!mark')) {
        recorder.send({ do: 'mark', label: message.content.slice(5).trim() });
      }
    });
    process.on('SIGINT', () => recorder.send({ do: 'stop' }));
    const status = await recorder.ended;
    await client.destroy();
    process.exit(status ?? 1);
  });
  await client.login(readFileSync(process.env.BOT_TOKEN_FILE ?? 'token', 'utf8').trim());
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [guildId, channelId] = process.argv.slice(2);
  if (!channelId) {
    console.error('usage: node record.mjs GUILD_ID CHANNEL_ID');
    process.exit(2);
  }
  await main(guildId, channelId);
}
