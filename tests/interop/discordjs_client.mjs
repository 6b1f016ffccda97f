// A bot with @discordjs/voice as a process of its own, because Node reads NODE_EXTRA_CA_CERTS only
// when it starts. Takes one object of JSON as argument, tells in lines of JSON what happens, and
// leaves when its standard input ends.
//   {"endpoint", "session_id", "token", "user_id", "guild_id", "channel_id", "e2ee", "listen": [user ids], "tone": seconds, "debug"}
import { Readable } from 'node:stream';
import { load } from './packages.mjs';

const options = JSON.parse(process.argv[2]);
const voice = load('@discordjs/voice');
const OpusScript = load('opusscript');
const RATE = 48000;
const FRAME = 960;

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const { guild_id, channel_id, user_id, session_id, token } = options;

// The part of a library that talks to the main gateway: hands over the values of the voice server.
const adapterCreator = (methods) => ({
  sendPayload() {
    queueMicrotask(() => {
      methods.onVoiceStateUpdate({ guild_id, channel_id, user_id, session_id, self_deaf: false, self_mute: false });
      methods.onVoiceServerUpdate({ guild_id, token, endpoint: options.endpoint.replace('wss://', '') });
    });
    return true;
  },
  destroy() {},
});

const connection = voice.joinVoiceChannel({
  guildId: guild_id,
  channelId: channel_id,
  selfDeaf: false,
  daveEncryption: options.e2ee,
  debug: true,
  adapterCreator,
});
connection.on('error', (error) => say({ error: String(error) }));
connection.on('stateChange', (before, after) => {
  if (before.status !== after.status) say({ status: after.status });
});
connection.on('transitioned', (id) => say({ transitioned: id, code: connection.voicePrivacyCode }));
connection.on('debug', (line) => {
  if (options.debug) console.error(line);
  const failed = /Failed to decrypt|errored from transition/.exec(line);
  if (failed) say({ failed: line.trim() });
});

await voice.entersState(connection, voice.VoiceConnectionStatus.Ready, 20000);
connection.on(voice.VoiceConnectionStatus.Disconnected, () => say({ lost: true }));

/** Collects every packet of a user. */
function listen(user) {
  const packets = [];
  const stream = connection.receiver.subscribe(user);
  stream.on('error', (error) => say({ error: `receiving ${user}: ${error}` }));
  stream.on('data', (packet) => packets.push(packet));
  return packets;
}

/** What a listener would hear of them. One decoder at a time: several of opusscript's spoil each other's memory. */
function decoded(packets) {
  const decoder = new OpusScript(RATE, 2, OpusScript.Application.AUDIO);
  // Until it is in the group @discordjs/voice hands on what it cannot open as it is.
  const sealed = (p) => options.e2ee && p.length > 11 && p.readUInt16BE(p.length - 2) === 0xfafa;
  const opened = packets.filter((p) => p.length > 0 && !sealed(p));
  const out = { packets: packets.length, opened: opened.length, undecodable: 0, samples: 0, energy: 0 };
  for (const packet of opened) {
    try {
      const pcm = decoder.decode(packet);
      out.samples += pcm.length / 4;
      for (let i = 0; i < pcm.length; i += 2) out.energy += pcm.readInt16LE(i) ** 2;
    } catch {
      out.undecodable++;
    }
  }
  decoder.delete();
  return out;
}
const packets = Object.fromEntries((options.listen ?? []).map((user) => [user, listen(user)]));

/** `seconds` of 440 Hz as Opus packets. */
function tone(seconds) {
  const encoder = new OpusScript(RATE, 2, OpusScript.Application.AUDIO);
  return Array.from({ length: seconds * 50 }, (_, frame) => {
    const pcm = Buffer.alloc(FRAME * 4);
    for (let i = 0; i < FRAME; i++) {
      const sample = Math.round(8000 * Math.sin((2 * Math.PI * 440 * (frame * FRAME + i)) / RATE));
      pcm.writeInt16LE(sample, i * 4);
      pcm.writeInt16LE(sample, i * 4 + 2);
    }
    return Buffer.from(encoder.encode(pcm, FRAME));
  });
}

// Servers send nothing to a client that has not said that it speaks.
connection.state.networking.setSpeaking(true);
say({ ready: true });

const play = () => {
  const player = voice.createAudioPlayer();
  player.on('error', (error) => say({ error: String(error) }));
  player.on(voice.AudioPlayerStatus.Idle, () => say({ played: options.tone * 50 }));
  connection.subscribe(player);
  player.play(voice.createAudioResource(Readable.from(tone(options.tone)), { inputType: voice.StreamType.Opus }));
};
process.stdin.on('data', (command) => {
  if (String(command).trim() === 'play') play();
});
process.stdin.on('end', async () => {
  const verification = {};
  for (const user of options.e2ee ? options.listen ?? [] : []) {
    verification[user] = await connection.getVerificationCode(user).catch((error) => String(error));
  }
  const heard = Object.fromEntries(Object.entries(packets).map(([user, list]) => [user, decoded(list)]));
  say({ heard, code: connection.voicePrivacyCode ?? null, verification });
  connection.destroy();
  setTimeout(() => process.exit(0), 200);
});
