// davey (OpenMLS, Rust) and our members in one group: joins, leaves, rejoins, recoveries, lost
// races; every epoch everybody agrees and hears everybody.
//   davey.mjs DAVE-PEER [--seed N] [--epochs N] [--users N]
import { parseArgs } from 'node:util';
import { Call } from './delivery.mjs';
import { Refusals, badCommits, badFrames, badProposals, badWelcomes } from './hostile.mjs';
import { Davey, Ours, davey } from './peers.mjs';
import { Random } from './random.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    epochs: { type: 'string', default: '200' },
    users: { type: 'string', default: '26' },
  },
});
const seed = Number(values.seed);
const target = Number(values.epochs);
const random = new Random(seed);
const SILENCE = Buffer.from('f8fffe', 'hex');
// Both sides keep the keys of the previous epoch for 10 s.
const OVERLAP_MS = 8000;

const count = {
  epochs: 0, largest: 0, founded: { ours: 0, davey: 0 }, won: { ours: 0, davey: 0 }, lostRaces: { ours: 0, davey: 0 },
  joins: 0, leaves: 0, rejoins: 0, recoveries: 0, revoked: 0, paths: 0, withoutWelcome: 0, late: 0, codes: 0,
};
const frames = { 'davey to ours': 0, 'ours to davey': 0, 'ours to ours': 0, 'davey to davey': 0 };
const refusedGood = [];
const refusals = new Refusals();
const everJoined = new Set();
const oldCommits = [];
const oldWelcomes = [];

function check(condition, what) {
  if (!condition) throw new Error(what);
}

async function opened(from, to, sealed, plain, what) {
  try {
    const got = await to.open(from.user, sealed);
    if (!got.equals(plain)) throw new Error('opened to other bytes');
    frames[`${from.kind} to ${to.kind}`]++;
  } catch (error) {
    refusedGood.push(`epoch ${count.epochs}: ${what} of ${from.kind} ${from.user} at ${to.kind} ${to.user}: ${error.message}`);
  }
}

/** Everybody agrees on epoch, members and code. */
async function agreement(call) {
  const infos = await Promise.all(call.active.map((peer) => peer.info()));
  const expected = call.members.map((peer) => peer.user).sort().join();
  for (const [i, info] of infos.entries()) {
    const who = `${call.active[i].kind} ${call.active[i].user}`;
    check(info.epoch === call.epoch, `${who} is in epoch ${info.epoch}, not ${call.epoch}`);
    check([...info.members].sort().join() === expected, `${who} sees other members`);
    check(info.code === infos[0].code && /^\d{30}$/.test(info.code), `${who} has another privacy code`);
    if (info.authenticator) {
      check(davey.generateDisplayableCode(info.authenticator, 30, 5) === info.code, `${who}: code and authenticator differ`);
    }
  }
}

/** davey refuses what is older than the first frame it opened of a sender in an epoch. */
function firstFirst(order, sent) {
  const firsts = new Set(sent.map((list) => list.find((f) => f.plain !== SILENCE).sealed));
  return [...order.filter((f) => firsts.has(f.sealed)), ...order.filter((f) => !firsts.has(f.sealed))];
}

async function media(call) {
  const members = call.active;
  const sent = await Promise.all(members.map(async (peer) => {
    const plain = Array.from({ length: random.between(2, 4) }, () => random.bytes(random.between(1, 300)));
    plain.splice(random.between(0, plain.length), 0, SILENCE);
    const sealed = [];
    for (const frame of plain) sealed.push(await peer.seal(frame));
    return plain.map((frame, i) => ({ plain: frame, sealed: sealed[i] }));
  }));
  const jobs = members.map((to) => {
    const order = random.shuffled(members.flatMap((from, i) => (from === to ? [] : sent[i].map((frame) => ({ from, ...frame })))));
    return { to, order: to.kind === 'davey' ? firstFirst(order, sent) : order, chance: random.fork() };
  });
  const victims = new Set(random.shuffled(members.filter((peer) => peer.kind === 'ours')).slice(0, 2));
  await Promise.all(jobs.map(async ({ to, order, chance }) => {
    if (victims.has(to) && members.length > 2) {
      const { from, sealed } = order.find((f) => f.plain !== SILENCE);
      const other = members.find((peer) => peer !== from && peer !== to);
      await badFrames(refusals, chance, to, from.user, other.user, sealed);
    }
    await Promise.all(order.map((f) => opened(f.from, to, f.sealed, f.plain, 'frame')));
    if (victims.has(to) && order.length > 0) {
      const { from, sealed } = order.find((f) => f.plain !== SILENCE);
      await refusals.expect('frame replayed', to.open(from.user, sealed));
    }
  }));
}

async function verification(call) {
  const [a, b] = random.shuffled(call.active);
  if (!b) return;
  const [one, two] = await Promise.all([a.verification(b.user), b.verification(a.user)]);
  check(one === two && /^\d{45}$/.test(one), `verification codes of ${a.user} and ${b.user} differ`);
  count.codes++;
}

/** Lets a commit win and takes everybody through it. `kind`: who should win, if possible. */
async function decide(call, kind) {
  count.withoutWelcome += call.commits.filter((c) => c.round === call.round && c.peer.kind === 'davey' &&
    c.welcome.length === 0 && c.refs.some((ref) => call.proposals.find((p) => p.hex === ref)?.kind === 'add')).length;
  const candidates = call.candidates();
  check(candidates.length > 0, 'nobody made a commit that can win');
  const wanted = candidates.filter((c) => c.peer.kind === kind);
  const winner = random.pick(wanted.length > 0 ? wanted : candidates);
  const founding = !call.founded;
  const outcome = call.outcome(winner);
  const { commit, welcome, staying, joining, leaving } = outcome;
  const recognised = call.recognised;

  const ours = (peers) => peers.filter((peer) => peer.kind === 'ours');
  if (!founding && ours(staying).length > 0) {
    await badCommits(refusals, random, random.pick(ours(staying)), commit, oldCommits.slice(-2));
    // The maker of a commit knows it by its bytes; nothing near it may pass.
    if (winner.peer.kind === 'ours') await badCommits(refusals, random, winner.peer, commit, []);
  }
  const joiners = ours(joining);
  if (joiners.length > 0) {
    const victim = random.pick(joiners);
    await badWelcomes(refusals, random, victim, welcome, call.packages.get(victim), oldWelcomes.slice(-2), recognised);
    // A commit is no news for one who waits for a Welcome, whether or not it founded a group too.
    await refusals.expect('commit while pending', victim.commit(commit));
  }

  // Frames on their way while the epoch changes; a leaver's last words are not lost either.
  const late = [];
  const started = Date.now();
  if (!founding) {
    for (const from of staying) {
      const plain = random.bytes(random.between(1, 200));
      late.push({ from, plain, sealed: await from.seal(plain) });
    }
  }
  await Promise.all([
    ...staying.map((peer) => peer.commit(commit)),
    ...joining.map((peer) => peer.welcome(welcome, recognised)),
  ]);
  for (const peer of ours(leaving).filter((p) => !call.packages.has(p))) {
    if (random.chance(0.5)) {
      await peer.commit(commit);
      await refusals.expect('info of one who was removed', peer.info());
    }
  }
  const losers = call.commits.filter((c) => c.commit !== commit).map((c) => c.commit);
  call.settle(outcome);

  for (const { from, plain, sealed } of late) {
    if (Date.now() - started > OVERLAP_MS) break;
    await Promise.all(staying.filter((peer) => peer !== from).map((to) => opened(from, to, sealed, plain, 'late frame')));
    count.late++;
  }
  if (ours(call.active).length > 0) {
    const victim = random.pick(ours(call.active));
    await refusals.expect('the commit again', victim.commit(commit));
    if (losers.length > 0) await refusals.expect("a loser's commit", victim.commit(random.pick(losers)));
    if (welcome.length > 0) await refusals.expect('a Welcome while in a group', victim.welcome(welcome, recognised));
  }
  oldCommits.push(commit);
  if (welcome.length > 0) oldWelcomes.push(welcome);

  count.epochs++;
  count.paths += winner.path ? 1 : 0;
  count.largest = Math.max(count.largest, call.members.length);
  count.won[winner.peer.kind]++;
  if (founding) {
    count.founded[winner.peer.kind]++;
    for (const peer of joining) count.lostRaces[peer.kind]++;
  }
  for (const peer of joining) {
    count.joins++;
    if (everJoined.has(peer)) count.rejoins++;
    everJoined.add(peer);
  }
  everJoined.add(winner.peer);
  count.leaves += leaving.length;
  await agreement(call);
  await media(call);
  if (count.epochs % 8 === 0) await verification(call);
  return outcome;
}

/** One call from its founding on; `users` are in no group before, and in none afterwards. */
async function conduct(call, users, { founders, kind, epochs, stranger }) {
  const outside = random.shuffled(users);
  const enter = async (peer) => {
    outside.splice(outside.indexOf(peer), 1);
    await call.prepare(peer);
    return call.add(peer);
  };
  // One of each kind at least, so that either may lose the race.
  const first = ['ours', 'davey'].map((k) => outside.find((peer) => peer.kind === k));
  while (first.length < founders) first.push(outside.find((peer) => !first.includes(peer)));
  const adds = [];
  for (const peer of first) adds.push(await enter(peer));
  await call.append(random.shuffled(adds));
  await decide(call, kind);
  // Lost its state (opcode 31), comes back with a new key package, all in one commit.
  const recover = async (peer) => {
    const removal = call.remove(peer);
    await call.prepare(peer);
    count.recoveries++;
    return [removal, call.add(peer)];
  };

  let leftOver = [];
  let crowded = false;
  for (let n = 1; n < epochs; n++) {
    // Proposals that no commit took up are made again for the new epoch.
    const items = [];
    for (const peer of new Set(leftOver.map((p) => p.peer))) {
      items.push(leftOver.filter((p) => p.peer === peer).map((p) => (p.kind === 'add' ? call.add(peer) : call.remove(peer))));
    }
    const size = call.members.length;
    const busy = new Set(leftOver.map((p) => p.peer));
    const idle = () => random.shuffled(call.active.filter((peer) => !busy.has(peer)));
    // Towards the end everybody but one goes at once, and new ones join the lonely.
    const emptying = n === epochs - 2;
    crowded ||= size >= 20;
    const growing = random.chance(!crowded || size < 12 ? 0.9 : 0.4);
    const joins = Math.min(outside.length - 2, size > 22 || emptying ? 0 : random.between(growing ? 1 : 0, growing ? 4 : 1));
    const leaves = emptying ? size - 1 - [...busy].filter((p) => call.members.includes(p)).length
      : Math.min(Math.max(0, size - 3), random.between(0, growing ? 1 : 3));
    for (let i = 0; i < joins; i++) items.push([await enter(random.pick(outside))]);
    const going = idle().slice(0, Math.max(0, leaves));
    for (const peer of going) {
      busy.add(peer);
      items.push([call.remove(peer)]);
    }
    if (!emptying && size > 3 && random.chance(0.2)) {
      const [peer] = idle();
      busy.add(peer);
      items.push(await recover(peer));
    }
    if (items.length === 0) items.push(outside.length > 0 ? [await enter(random.pick(outside))] : await recover(idle()[0]));

    const batches = [[]];
    for (const unit of random.shuffled(items)) {
      if (batches.at(-1).length > 0 && !emptying && random.chance(0.3)) batches.push([]);
      batches.at(-1).push(...unit);
    }
    for (const batch of batches) {
      await call.append(batch);
      const hearing = call.audience().filter((peer) => peer.kind === 'ours' && !call.leaving().has(peer));
      if (hearing.length > 0 && random.chance(0.3)) {
        await badProposals(refusals, random, random.pick(hearing), call, stranger);
      }
      if (random.chance(0.15)) break;
    }
    // Those that have not been sent yet wait for the next epoch.
    const unsent = batches.flat().filter((p) => !call.proposals.includes(p));

    const revocable = call.proposals.filter((p) => p.kind === 'add' && !call.members.includes(p.peer));
    if (revocable.length > 0 && call.proposals.length > 1 && random.chance(0.15)) {
      const item = random.pick(revocable);
      await call.revoke(item);
      call.packages.delete(item.peer);
      outside.push(item.peer);
      count.revoked++;
    }
    // davey's Welcome is missing unless the last opcode 27 had an Add (docs/interop.md).
    if (call.candidates().length === 0) {
      const [lost] = random.shuffled(call.active.filter((peer) => !call.leaving().has(peer)));
      await call.append(outside.length > 0 ? [await enter(random.pick(outside))] : await recover(lost));
    }

    const outcome = await decide(call);
    outside.push(...outcome.leaving.filter((peer) => !call.packages.has(peer)));
    leftOver = [...outcome.leftOver, ...unsent];
    // The second half of a recovery whose first half is through.
    leftOver = leftOver.filter((p) => p.kind === 'add' || call.members.includes(p.peer));
  }
}

async function main() {
  console.log(`seed ${seed}: ${target} epochs, ${values.users} users, davey ${davey.VERSION}`);
  const channel = 927310423890473011n;
  const users = [];
  for (let i = 0; i < Number(values.users); i++) {
    const id = String(158049329150427136n + BigInt(i) * 7919n);
    users.push(i % 2 ? await Davey.start(id, String(channel)) : await Ours.start(id, String(channel), positionals[0]));
  }
  // Somebody whose key package is good and who is never let in.
  const stranger = await Davey.start('99', String(channel));
  stranger.keyPackage = await stranger.keyPackage();

  const plans = [
    { founders: 2, kind: 'davey' },
    { founders: 2, kind: 'ours', keepsSender: true },
    { founders: 6, kind: 'ours' },
    { founders: 6, kind: 'davey', keepsSender: true },
  ];
  let sender;
  let current = channel;
  const share = Math.max(8, Math.ceil(target / plans.length));
  try {
    for (const [i, plan] of plans.entries()) {
      if (!plan.keepsSender) {
        sender = undefined;
        current += BigInt(i);
        for (const peer of users) await peer.restart(String(current));
      }
      const call = new Call(String(current), random, sender);
      sender = call.sender;
      await conduct(call, users, { ...plan, epochs: share, stranger });
      console.log(`call ${i + 1}: founded by ${plan.kind}, ${call.epoch} epochs, ended with ${call.members.length} members`);
    }
  } finally {
    for (const peer of users) peer.stop();
  }
  for (const line of refusedGood.slice(0, 20)) console.log(`refused: ${line}`);
  console.log(`founded ${JSON.stringify(count.founded)}, races lost ${JSON.stringify(count.lostRaces)}, commits won ${JSON.stringify(count.won)}`);
  console.log(`${count.joins} joins (${count.rejoins} again), ${count.leaves} leaves, ${count.recoveries} recoveries, ${count.revoked} revoked, ` +
    `${count.paths} commits with path, ${count.withoutWelcome} commits of davey without their Welcome, ${count.codes} verification codes, ${count.late} late frames`);
  console.log(`${count.epochs} epochs, ${everJoined.size} users, up to ${count.largest} members; ` +
    Object.entries(frames).map(([way, n]) => `${n} frames ${way}`).join(', ') +
    `; ${refusedGood.length} good frames refused; ${refusals.count} bad inputs refused by ours; seed ${seed}`);
  check(refusedGood.length === 0, 'good frames were refused');
  check(count.epochs >= target && (target < 200 || count.largest >= Math.min(20, Number(values.users) - 4)), 'too few epochs or members');
}

main().catch((error) => {
  console.error(`failed in epoch ${count.epochs} with seed ${seed}: ${error.stack}`);
  process.exitCode = 1;
});
