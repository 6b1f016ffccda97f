// Bad input for our members: each must be refused and leave no trace.
import { ExternalSender, add, opaque, remove, u16, welcomeRanges } from './wire.mjs';

/** Counts refusals; an acceptance is an error that names itself. */
export class Refusals {
  count = 0;
  async expect(what, promise) {
    let accepted = true;
    await promise.catch((error) => {
      accepted = false;
      if (/dave-peer ended/.test(error.message)) throw error;
    });
    if (accepted) throw new Error(`accepted: ${what}`);
    this.count++;
  }
}

function flipped(random, bytes, [from, to]) {
  const out = Buffer.from(bytes);
  const at = random.between(from, to - 1);
  out[at] ^= 1 << random.between(0, 7);
  return { out, what: `bit flipped in byte ${at} of ${bytes.length}` };
}
function spoilt(random, bytes, ranges) {
  switch (random.between(0, 3)) {
    case 0:
      return { out: bytes.subarray(0, random.between(0, bytes.length - 1)), what: 'cut off' };
    case 1:
      return { out: Buffer.concat([bytes, random.bytes(random.between(1, 40))]), what: 'trailing bytes' };
    default:
      return flipped(random, bytes, random.pick(ranges));
  }
}

async function unchanged(peer, before) {
  const after = JSON.stringify(await peer.info());
  if (after !== before) throw new Error(`a refusal changed ${peer.user}: ${before} to ${after}`);
}

/** Opcode 29 spoilt, and messages that were good in their time. */
export async function badCommits(refusals, random, peer, commit, old) {
  const before = JSON.stringify(await peer.info());
  for (let i = 0; i < 4; i++) {
    const { out, what } = spoilt(random, commit, [[0, commit.length]]);
    await refusals.expect(`commit, ${what}`, peer.commit(out));
  }
  for (const bytes of old) await refusals.expect('commit of another epoch or group', peer.commit(bytes));
  await unchanged(peer, before);
}

/** Opcode 30 spoilt, for the owner of `keyPackage`. */
export async function badWelcomes(refusals, random, peer, welcome, keyPackage, old, recognised) {
  const ranges = welcomeRanges(welcome, keyPackage);
  if (ranges.length !== 3) throw new Error(`no entry for ${peer.user} in the Welcome`);
  for (let i = 0; i < 4; i++) {
    const { out, what } = spoilt(random, welcome, ranges);
    await refusals.expect(`Welcome, ${what}`, peer.welcome(out, recognised));
  }
  for (const bytes of old) await refusals.expect("somebody else's Welcome", peer.welcome(bytes, recognised));
  await refusals.expect('info of one who waits for a Welcome', peer.info());
}

/** Opcode 27 that no gateway may send; the good one still gives the same commit afterwards. */
export async function badProposals(refusals, random, peer, call, stranger) {
  const { channel, epoch, sender, recognised } = call;
  const strange = add(stranger.keyPackage);
  const blank = remove(call.leaves.length + 5);
  const good = add(stranger.keyPackage);
  const known = [...recognised, stranger.user];
  const one = (by, ...args) => opaque(by.propose(...args).message);
  const cut = one(sender, channel, epoch, good);
  const bad = [
    ['signed by another key', one(new ExternalSender(), channel, epoch, good), known],
    ['Add of an unrecognised user', one(sender, channel, epoch, strange), recognised],
    ['of the next epoch', one(sender, channel, epoch + 1, good), known],
    ['of another channel', one(sender, BigInt(channel) + 1n, epoch, good), known],
    ['of external sender 1', one(sender, channel, epoch, good, { senderIndex: 1 }), known],
    ['of a member', one(sender, channel, epoch, good, { senderType: 1 }), known],
    ['Remove of nobody', one(sender, channel, epoch, blank), known],
    ['of type ReInit', one(sender, channel, epoch, Buffer.concat([u16(5), random.bytes(20)])), known],
    ['cut off', cut.subarray(0, random.between(0, cut.length - 1)), known],
    ['a Welcome', opaque(Buffer.from('00010003', 'hex'), random.bytes(30)), known],
  ];
  for (const [what, list, users] of bad) {
    await refusals.expect(`proposal ${what}`, peer.proposals(0, list, users));
  }
  await refusals.expect('revoke of an unknown reference', peer.proposals(1, opaque(opaque(random.bytes(32))), known));
  await refusals.expect('operation 2', peer.proposals(2, opaque(), known));
  const mine = call.commits.filter((c) => c.peer === peer).at(-1);
  const again = await peer.proposals(0, call.list(call.proposals, peer), recognised);
  if (!mine.commit.equals(again.commit) || !mine.welcome.equals(again.welcome)) {
    throw new Error(`refused proposals changed the commit of ${peer.user}`);
  }
}

/** A frame of `user` spoilt before the good one is opened. */
export async function badFrames(refusals, random, peer, user, other, sealed) {
  const { out, what } = flipped(random, sealed, [0, sealed.length]);
  await refusals.expect(`frame, ${what}`, peer.open(user, out));
  await refusals.expect('frame cut off', peer.open(user, sealed.subarray(0, random.between(0, sealed.length - 1))));
  await refusals.expect('plain frame', peer.open(user, random.bytes(30)));
  await refusals.expect("another sender's frame", peer.open(other, sealed));
}
