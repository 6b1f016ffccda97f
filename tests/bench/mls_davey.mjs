// The MLS work of a large call, ours beside davey: CPU time of the same bytes in both, without
// pipes, hex and JSON.
//   INTEROP_PACKAGES=build/tests/interop/npm node tests/bench/mls_davey.mjs build/tests/interop/dave-peer [--members N] [--rounds N]
import { parseArgs } from 'node:util';
import { Call } from '../interop/delivery.mjs';
import { Davey, Ours } from '../interop/peers.mjs';
import { Random } from '../interop/random.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { members: { type: 'string', default: '100' }, rounds: { type: 'string', default: '15' } },
});
const size = Number(values.members);
const random = new Random(1);
const times = {};

/** CPU time of what `action` makes `peer` do, in microseconds. */
async function measured(peer, what, action) {
  const before = process.cpuUsage();
  const result = await action();
  const cpu = process.cpuUsage(before);
  const spent = peer.kind === 'ours' ? (await peer.ask({ cmd: 'timing' })).cpu_ns / 1000 : cpu.user + cpu.system;
  ((times[what] ??= { ours: [], davey: [] })[peer.kind]).push(spent);
  return result;
}

async function round(n) {
  const channel = String(1000 + n);
  const call = new Call(channel, random);
  const peers = [];
  for (let i = 0; i < size; i++) {
    const id = String(158049329150427136n + BigInt(i));
    // Two of each do something; of the others only the key packages matter.
    const peer = i % 2 === 0 && i < 4 ? await Ours.start(id, channel, positionals[0]) : await Davey.start(id, channel);
    peers.push(peer);
    await call.prepare(peer);
  }
  const late = peers.at(-1);
  const [ours1, davey1, ours2, davey2] = peers;
  const turn = (a, b) => (n % 2 ? [a, b] : [b, a]);

  // The first commit is measured with everybody in it; the group that goes on lacks one.
  const all = peers.map((peer) => call.add(peer));
  for (const peer of turn(ours1, davey1)) {
    await measured(peer, `make the first commit (${size - 1} Adds)`, () => peer.proposals(0, call.list(all, peer), call.recognised));
    await call.prepare(peer);
  }
  const founder = turn(ours1, davey1)[0];
  const adds = peers.filter((peer) => peer !== late).map((peer) => call.add(peer));
  call.proposals = adds;
  const first = call.outcome({ peer: founder, ...(await founder.proposals(0, call.list(adds, founder), call.recognised)) });
  await founder.commit(first.commit);
  for (const peer of turn(ours2, davey2)) {
    await measured(peer, `process a Welcome (${size - 1} members)`, () => peer.welcome(first.welcome, call.recognised));
  }
  call.settle(first);

  const more = [call.add(late)];
  call.proposals = more;
  const next = call.outcome({ peer: founder, ...(await founder.proposals(0, call.list(more, founder), call.recognised)) });
  for (const peer of turn(ours2, davey2)) {
    await measured(peer, 'check an Add and commit it', () => peer.proposals(0, call.list(more, peer), call.recognised));
  }
  for (const peer of turn(ours2, davey2)) {
    await measured(peer, 'process an Add commit', () => peer.commit(next.commit));
  }
  for (const peer of peers) peer.stop();
}

const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
for (let n = 0; n < Number(values.rounds); n++) await round(n);
console.log(`groups of ${size}, ${values.rounds} rounds, CPU time in ms (median)`);
for (const [what, { ours, davey }] of Object.entries(times)) {
  const [a, b] = [median(ours) / 1000, median(davey) / 1000];
  console.log(`${what}: ours ${a.toFixed(2)}, davey ${b.toFixed(2)}, davey / ours ${(b / a).toFixed(2)}`);
}
