// The wire forms that a delivery service needs: it makes external proposals, takes commits and
// Welcomes apart, and knows nothing secret (RFC 9420 sections 2.1.2, 6, 7.2, 12).
import { createHash, generateKeyPairSync, sign } from 'node:crypto';

export const u8 = (n) => Buffer.from([n]);
export const u16 = (n) => Buffer.from([n >> 8, n & 255]);
export const u32 = (n) => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(n);
  return out;
};
export const u64 = (n) => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt(n));
  return out;
};

/** A vector: the length of its bytes, in as few bytes as hold it, and the bytes. */
export function opaque(...parts) {
  const body = Buffer.concat(parts);
  const n = body.length;
  if (n < 0x40) return Buffer.concat([u8(n), body]);
  if (n < 0x4000) return Buffer.concat([u16(n | 0x4000), body]);
  return Buffer.concat([u32((n | 0x80000000) >>> 0), body]);
}

/** Reads what `opaque` and friends wrote; throws when there is too little. */
export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  take(n) {
    if (this.at + n > this.bytes.length) throw new Error('truncated');
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }
  uint(n) {
    return this.take(n).readUIntBE(0, n);
  }
  opaque() {
    const width = 1 << (this.bytes[this.at] >> 6);
    if (!(width <= 4)) throw new Error('bad length');
    const header = Buffer.from(this.take(width));
    header[0] &= 0x3f;
    return this.take(header.readUIntBE(0, width));
  }
  get done() {
    return this.at === this.bytes.length;
  }
}

const PUBLIC_MESSAGE = 1;
const EXTERNAL = 2;
const PROPOSAL = 2;
const COMMIT = 3;

export const add = (keyPackage) => Buffer.concat([u16(1), keyPackage]);
export const remove = (leaf) => Buffer.concat([u16(3), u32(leaf)]);

/** The gateway's key: signs proposals as external sender 0 of every group. */
export class ExternalSender {
  /** Who has its opcode 25. */
  known = new Set();

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = publicKey.export({ format: 'jwk' });
    this.key = privateKey;
    const point = Buffer.concat([u8(4), Buffer.from(jwk.x, 'base64url'), Buffer.from(jwk.y, 'base64url')]);
    /** Body of opcode 25. */
    this.body = Buffer.concat([opaque(point), u16(1), opaque(Buffer.from('interop'))]);
  }

  /** A proposal as MLSMessage, and its reference. `sender` can be made wrong for tests. */
  propose(channel, epoch, proposal, { senderType = EXTERNAL, senderIndex = 0 } = {}) {
    const content = Buffer.concat([
      opaque(u64(channel)), u64(epoch), u8(senderType), u32(senderIndex), opaque(), u8(PROPOSAL), proposal,
    ]);
    const tbs = Buffer.concat([u16(1), u16(PUBLIC_MESSAGE), content]);
    const signed = Buffer.concat([opaque(Buffer.from('MLS 1.0 FramedContentTBS')), opaque(tbs)]);
    const signature = opaque(sign('sha256', signed, this.key));
    const authenticated = Buffer.concat([u16(PUBLIC_MESSAGE), content, signature]);
    const ref = createHash('sha256')
      .update(opaque(Buffer.from('MLS 1.0 Proposal Reference')))
      .update(opaque(authenticated))
      .digest();
    return { message: Buffer.concat([tbs, signature]), ref };
  }
}

/** Takes the MLSMessage of a commit off the front of an opcode 28: its bytes, the rest, its references. */
export function splitCommit(body) {
  const r = new Reader(body);
  if (r.uint(2) !== 1 || r.uint(2) !== PUBLIC_MESSAGE) throw new Error('not a PublicMessage');
  r.opaque();
  const epoch = Number(r.take(8).readBigUInt64BE());
  if (r.uint(1) !== 1) throw new Error('commit not from a member');
  const leaf = r.uint(4);
  r.opaque();
  if (r.uint(1) !== COMMIT) throw new Error('not a commit');
  const list = new Reader(r.opaque());
  const refs = [];
  while (!list.done) {
    if (list.uint(1) !== 2) throw new Error('inline proposal');
    refs.push(list.opaque().toString('hex'));
  }
  const path = r.uint(1) === 1;
  if (path) {
    r.opaque();
    r.opaque();
    r.take(2);
    for (let i = 0; i < 6; i++) r.opaque();  // identity, five lists of capabilities
    if (r.uint(1) !== 3) throw new Error('leaf of a commit with another source');
    for (let i = 0; i < 3; i++) r.opaque();  // parent hash, extensions, signature
    r.opaque();
  }
  for (let i = 0; i < 3; i++) r.opaque();  // signature, confirmation tag, membership tag
  return { commit: body.subarray(0, r.at), welcome: body.subarray(r.at), epoch, leaf, refs, path };
}

/** Where in a Welcome the bytes stand that the owner of `keyPackage` has to find unspoilt. */
export function welcomeRanges(welcome, keyPackage) {
  const mine = createHash('sha256')
    .update(opaque(Buffer.from('MLS 1.0 KeyPackage Reference')))
    .update(opaque(keyPackage))
    .digest();
  const r = new Reader(welcome);
  const ranges = [[0, 2]];
  r.take(2);
  const list = new Reader(r.opaque());
  const start = r.at - list.bytes.length;
  while (!list.done) {
    const from = list.at;
    const owner = list.opaque();
    list.opaque();
    list.opaque();
    if (owner.equals(mine)) ranges.push([start + from, start + list.at]);
  }
  ranges.push([r.at, welcome.length]);
  return ranges;
}
