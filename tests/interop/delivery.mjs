// The gateway's part of an encrypted call: proposes, collects the commits of everybody, lets one
// win, and hands it round. It keeps the roster by leaf, as everybody else computes it.
import { ExternalSender, add, opaque, remove } from './wire.mjs';

const APPEND = 0;
const REVOKE = 1;

export class Call {
  constructor(channel, random, sender = new ExternalSender()) {
    this.channel = channel;
    this.random = random;
    this.sender = sender;
    this.epoch = 0;
    this.leaves = [];
    this.packages = new Map();  // pending peer -> its key package
    this.proposals = [];
    this.commits = [];  // {peer, commit, welcome, refs, round}
    this.round = 0;
  }

  get members() {
    return this.leaves.filter(Boolean);
  }
  /** Members that have not lost their state; the others wait to be removed and added again. */
  get active() {
    return this.members.filter((peer) => !this.packages.has(peer));
  }
  get founded() {
    return this.epoch > 0;
  }
  get recognised() {
    return [...this.members, ...this.packages.keys()].map((peer) => peer.user);
  }
  leafOf(peer) {
    return this.leaves.indexOf(peer);
  }

  /** Opcodes 25 and 26 in either order for a fresh member. One that had 25 before resets with 26,
   *  and may or may not get 25 again. */
  async prepare(peer) {
    const fresh = !this.sender.known.has(peer);
    this.sender.known.add(peer);
    const early = fresh && this.random.chance(0.5);
    const again = !fresh && this.random.chance(0.3);
    if (early) await peer.externalSender(this.sender.body);
    const keyPackage = await peer.keyPackage();
    if (again || (fresh && !early)) await peer.externalSender(this.sender.body);
    this.packages.set(peer, keyPackage);
  }

  add(peer) {
    return this.propose({ kind: 'add', peer, body: add(this.packages.get(peer)) });
  }
  remove(peer) {
    return this.propose({ kind: 'remove', peer, body: remove(this.leafOf(peer)) });
  }
  propose(item) {
    const { message, ref } = this.sender.propose(this.channel, this.epoch, item.body);
    return { ...item, message, ref, hex: ref.toString('hex') };
  }

  /** Who gets opcode 27: the group, or everybody pending before there is one. */
  audience() {
    return this.founded ? this.active : [...this.packages.keys()];
  }
  /** Those whose removal is proposed; they have nothing to commit. */
  leaving() {
    return new Set(this.proposals.filter((p) => p.kind === 'remove').map((p) => p.peer));
  }

  list(items, peer) {
    return opaque(...items.filter((p) => p.kind === 'remove' || p.peer !== peer).map((p) => p.message));
  }

  /** Opcode 27, operation 0. */
  async append(items) {
    this.proposals.push(...items);
    await this.collect(APPEND, (peer) => this.list(items, peer));
  }
  /** Opcode 27, operation 1. */
  async revoke(item) {
    const list = opaque(opaque(item.ref));
    this.proposals = this.proposals.filter((p) => p !== item);
    await this.collect(REVOKE, () => list);
  }
  async collect(operation, listFor) {
    this.round++;
    const leaving = this.leaving();
    const commits = await Promise.all(this.audience().map(async (peer) => {
      let made;
      try {
        made = await peer.proposals(operation, listFor(peer), this.recognised);
      } catch (error) {
        // davey queues them first and then finds that it cannot commit its own removal.
        if (peer.kind === 'davey' && leaving.has(peer)) return;
        throw error;
      }
      if (leaving.has(peer)) {
        if (made) throw new Error(`${peer.kind} ${peer.user} committed its own removal`);
        return;
      }
      if (made) return { peer, round: this.round, ...made };
      if (this.proposals.length > 0) throw new Error(`${peer.kind} ${peer.user} did not commit`);
    }));
    this.commits.push(...commits.filter(Boolean));
  }

  /** The commits that may win: with a Welcome if they add, on live proposals, and still held by their maker. */
  candidates() {
    const live = new Map(this.proposals.map((p) => [p.hex, p]));
    const leaving = this.leaving();
    return this.commits.filter((c) => {
      const items = c.refs.map((ref) => live.get(ref));
      // davey holds only its newest commit, ours the five newest.
      return !leaving.has(c.peer) && items.length > 0 && items.every(Boolean) &&
        c.round > this.round - (c.peer.kind === 'ours' ? 5 : 1) &&
        (c.welcome.length > 0) === items.some((p) => p.kind === 'add');
    });
  }

  /** What a winner does to the call: {commit, welcome, winner, staying, joining, leaving, left over}. */
  outcome(winner) {
    const done = winner.refs.map((ref) => this.proposals.find((p) => p.hex === ref));
    const adds = done.filter((p) => p.kind === 'add');
    const removed = new Set(done.filter((p) => p.kind === 'remove').map((p) => p.peer));
    const leaves = this.founded ? this.leaves.map((peer) => (removed.has(peer) ? null : peer)) : [winner.peer];
    const staying = leaves.filter((peer) => peer && (peer === winner.peer || !this.packages.has(peer)));
    for (const { peer } of adds) {
      const blank = leaves.indexOf(null);
      if (blank < 0) leaves.push(peer);
      else leaves[blank] = peer;
    }
    return {
      ...winner,
      leaves,
      staying,
      joining: adds.map((p) => p.peer),
      leaving: [...removed].filter((peer) => !adds.some((p) => p.peer === peer)),
      leftOver: this.proposals.filter((p) => !done.includes(p)),
    };
  }

  /** After 29 and 30 went out. */
  settle(outcome) {
    this.leaves = outcome.leaves;
    for (const peer of [...outcome.joining, outcome.peer]) this.packages.delete(peer);
    this.epoch++;
    this.proposals = [];
    this.commits = [];
    this.round = 0;
  }
}
