// The client that most bots use, @discordjs/voice, in a call of discord-loopback: it hears every
// speaker, and what it plays is heard by our pipeline as another client of the call.
//   discordjs.mjs LOOPBACK PLUGIN-FOLDER [--seed N] [--seconds N] [--plain] [--verbose]
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '12' },
    plain: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const [loopback, plugins] = positionals;
const MODES = ['aead_aes256_gcm_rtpsize', 'aead_xchacha20_poly1305_rtpsize'];
const PATIENCE_MS = 30000;
const children = new Set();

function check(condition, what) {
  if (!condition) throw new Error(what);
}
const quiet = values.verbose ? 'inherit' : 'ignore';

/** A program that speaks lines of JSON. */
class Program {
  lines = [];
  constructor(name, args, env = {}) {
    this.name = name;
    this.process = spawn(name, args, { stdio: ['pipe', 'pipe', quiet], env: { ...process.env, ...env } });
    children.add(this.process);
    this.ended = new Promise((resolve) => this.process.on('close', (code, signal) => {
      children.delete(this.process);
      this.over = true;
      this.wake?.();
      resolve(signal ?? code);
    }));
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      if (values.verbose) console.error(`${name}: ${line}`);
      this.lines.push(JSON.parse(line));
      this.wake?.();
    });
  }
  send(line) {
    this.process.stdin.write(`${line}\n`);
  }
  /** The next line with this key, taken out of the others. */
  async line(key) {
    const limit = Date.now() + PATIENCE_MS;
    for (;;) {
      const at = this.lines.findIndex((line) => key in line);
      if (at >= 0) return this.lines.splice(at, 1)[0];
      check(!this.over, `${this.name} ended without "${key}"`);
      check(Date.now() < limit, `no "${key}" from ${this.name} in ${PATIENCE_MS / 1000} s`);
      const timer = new Promise((resolve) => setTimeout(resolve, 200).unref());
      await Promise.race([timer, new Promise((resolve) => (this.wake = resolve))]);
    }
  }
  finish() {
    this.process.stdin.end();
  }
}

function startServer(mode, more = []) {
  return new Program(loopback, [
    '--tls', '--commands', '--speakers', '3', '--seed', values.seed, '--mode', mode, '--dave', values.plain ? '0' : '1', ...more,
  ]);
}

/** A bot of the call; `options` as discordjs_client.mjs takes them. */
function startBot(ready, credentials, options) {
  const script = fileURLToPath(new URL('discordjs_client.mjs', import.meta.url));
  const { session_id, token, user_id, guild_id, channel_id } = credentials;
  return new Program(process.execPath, [script, JSON.stringify({
    endpoint: ready.tls_endpoint, session_id, token, user_id, guild_id, channel_id, e2ee: !values.plain, debug: values.verbose, ...options,
  })], { NODE_EXTRA_CA_CERTS: ready.ca_file });
}

async function end(server) {
  server.process.kill('SIGINT');
  const summary = await server.line('ended');
  await server.ended;
  return summary;
}

function complaints(bot, summary) {
  return [
    ...bot.lines.filter((line) => line.error || line.lost || line.failed).map((line) => JSON.stringify(line)),
    ...summary.complaints,
    ...(summary.udp.client_bad + summary.udp.bad_discovery > 0 ? [JSON.stringify(summary.udp)] : []),
  ];
}

/** `founding`: the bot founds the group and its commits count, instead of joining by a Welcome. */
async function receiver(mode, founding) {
  const server = startServer(mode, [
    '--rtcp', '1000', '--video-noise', ...(founding ? ['--found-with-client', '--commits', 'clients'] : ['--commits', 'speakers']),
  ]);
  const ready = await server.line('ready');
  const bot = startBot(ready, ready, { listen: ready.speakers.map((s) => s.user_id) });
  await bot.line('ready');
  await sleep(Number(values.seconds) * 1000);
  // What was under way when the question came is in neither count.
  server.send(JSON.stringify({ do: 'pause', ms: 60000 }));
  await sleep(500);
  bot.finish();
  const { heard, code } = await bot.line('heard');
  await bot.ended;
  const summary = await end(server);
  const problems = complaints(bot, summary);
  let packets = 0;
  for (const speaker of summary.calls[0].speakers) {
    const got = heard[speaker.user_id];
    const due = values.plain ? speaker.delivered : speaker.openable;
    packets += got.opened;
    const loudness = Math.sqrt(got.energy / Math.max(1, got.samples * 2));
    if (got.opened === 0 || got.opened !== due) problems.push(`${speaker.name}: opened ${got.opened} of ${due} packets`);
    if (got.undecodable > 0 || loudness < 100) {
      problems.push(`${speaker.name}: ${got.undecodable} packets undecodable, loudness ${loudness.toFixed(0)}`);
    }
  }
  if (!values.plain) {
    const { codes, client_commits: commits } = summary.calls[0].dave;
    if (!codes.some((epoch) => epoch.privacy_code === code)) problems.push(`privacy code ${code} is none of the call's`);
    if (commits > 0 !== founding) problems.push(`${commits} commits of the bot counted`);
  }
  check(problems.length === 0, `${mode}, receiver: ${problems.join('; ')}`);
  return packets;
}

/** Longest stretch, loudness and frequency of what a WAV file (16 bit, stereo) has above silence. */
function analyse(path) {
  const file = readFileSync(path);
  const data = file.subarray(file.indexOf('data') + 8);
  let loud = 0;
  let crossings = 0;
  let before = 0;
  for (let i = 0; i + 3 < data.length; i += 4) {
    const sample = data.readInt16LE(i);
    if (Math.abs(sample) > 50) loud++;
    if (before < 0 && sample >= 0) crossings++;
    if (sample !== 0) before = sample;
  }
  return { seconds: loud / 48000, crossings };
}

async function sender(mode) {
  const seconds = 3;
  const folder = mkdtempSync(join(tmpdir(), 'discordjs-'));
  try {
    const server = startServer(mode);
    const ready = await server.line('ready');
    server.send('{"do":"new-client"}');
    const { credentials } = await server.line('credentials');
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, ready.token, { mode: 0o600 });
    const pipeline = spawn('gst-launch-1.0', [
      '-e', 'discordvoicesrc', `endpoint=${ready.endpoint}`, `session-id=${ready.session_id}`, `token-file=${tokenFile}`,
      `user-id=${ready.user_id}`, `guild-id=${ready.guild_id}`, `channel-id=${ready.channel_id}`,
      '!', 'discorddecrypt', '!', 'discordreorder', '!', 'discordrecordsink', `location=${join(folder, 'out')}`, 'flat=true',
    ], { stdio: ['ignore', quiet, 'inherit'], env: { ...process.env, GST_PLUGIN_PATH: plugins } });
    children.add(pipeline);
    const over = new Promise((resolve) => pipeline.on('close', (code) => {
      children.delete(pipeline);
      resolve(code);
    }));
    const bot = startBot(ready, credentials, { tone: seconds });
    await bot.line('ready');
    await sleep(2000);
    bot.send('play');
    const { played } = await bot.line('played');
    await sleep(1000);
    pipeline.kill('SIGINT');
    check((await over) === 0, `${mode}: the pipeline failed`);
    bot.finish();
    await bot.line('heard');
    await bot.ended;
    const summary = await end(server);
    const problems = complaints(bot, summary);
    const mine = readdirSync(join(folder, 'out')).filter((name) => name.startsWith(credentials.user_id));
    if (mine.length !== 1) problems.push(`files of the bot: ${readdirSync(join(folder, 'out'))}`);
    else {
      const { seconds: loud, crossings } = analyse(join(folder, 'out', mine[0]));
      if (Math.abs(loud - seconds) > 0.1 || Math.abs(crossings / seconds - 440) > 3) {
        problems.push(`${loud.toFixed(2)} s with ${crossings} periods instead of ${seconds} s of 440 Hz`);
      }
    }
    check(problems.length === 0, `${mode}, sender: ${problems.join('; ')}`);
    return played;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

try {
  console.log(`seed ${values.seed}, ${values.plain ? 'without' : 'with'} end-to-end encryption`);
  for (const [i, mode] of MODES.entries()) {
    const packets = await receiver(mode, i > 0 && !values.plain);
    const played = await sender(mode);
    console.log(`${mode}: @discordjs/voice heard ${packets} of ${packets} packets of 3 speakers; its ${played} packets were recorded by us`);
  }
} catch (error) {
  console.error(`failed with seed ${values.seed}: ${error.stack}`);
  process.exitCode = 1;
} finally {
  for (const child of children) child.kill();
}
