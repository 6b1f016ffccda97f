// Two kinds of members of a call with one interface: ours, a dave-peer process each, and davey.
// A refusal is a rejected promise.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { load } from './packages.mjs';
import { splitCommit } from './wire.mjs';

export const davey = load('@snazzah/davey');
const AUDIO = 0;

class Peer {
  constructor(user, channel) {
    this.user = user;
    this.channel = channel;
    this.keys = davey.generateP256Keypair();
  }
}

export class Ours extends Peer {
  kind = 'ours';
  waiting = [];

  static async start(user, channel, program) {
    const peer = new Ours(user, channel);
    peer.process = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    peer.process.on('exit', (code, signal) => {
      for (const { reject } of peer.waiting) reject(`dave-peer ended: ${signal ?? code}`);
    });
    createInterface({ input: peer.process.stdout }).on('line', (line) => {
      const { resolve, reject } = peer.waiting.shift();
      const answer = JSON.parse(line);
      if (answer.error === undefined) resolve(answer);
      else reject(answer.error);
    });
    await peer.init();
    return peer;
  }
  ask(request) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject: (why) => reject(new Error(`${request.cmd}: ${why}`)) });
      this.process.stdin.write(`${JSON.stringify(request)}\n`);
    });
  }
  init() {
    return this.ask({
      cmd: 'init',
      protocol_version: 1,
      user_id: this.user,
      channel_id: this.channel,
      signature_private: this.keys.private.toString('hex'),
      signature_public: this.keys.public.toString('hex'),
    });
  }
  /** Forgets media keys as well; a new external sender then. */
  async restart(channel) {
    this.channel = channel;
    await this.init();
  }
  externalSender(body) {
    return this.ask({ cmd: 'external_sender', body: body.toString('hex') });
  }
  async keyPackage() {
    return Buffer.from((await this.ask({ cmd: 'key_package' })).key_package, 'hex');
  }
  async proposals(operation, list, recognised) {
    const body = Buffer.concat([Buffer.from([operation]), list]).toString('hex');
    const { commit_welcome } = await this.ask({ cmd: 'proposals', body, recognised });
    return commit_welcome === null ? null : splitCommit(Buffer.from(commit_welcome, 'hex'));
  }
  commit(body) {
    return this.ask({ cmd: 'commit', body: body.toString('hex') });
  }
  welcome(body, recognised) {
    return this.ask({ cmd: 'welcome', body: body.toString('hex'), recognised });
  }
  async seal(frame) {
    return Buffer.from((await this.ask({ cmd: 'encrypt', frame: frame.toString('hex') })).frame, 'hex');
  }
  async open(user, frame) {
    const answer = await this.ask({ cmd: 'decrypt', user_id: user, frame: frame.toString('hex') });
    return Buffer.from(answer.frame, 'hex');
  }
  async info() {
    const { epoch, members, voice_privacy_code } = await this.ask({ cmd: 'info' });
    return { epoch, members, code: voice_privacy_code };
  }
  async verification(user) {
    return (await this.ask({ cmd: 'verification_code', user_id: user })).code;
  }
  stop() {
    this.process.stdin.end();
  }
}

export class Davey extends Peer {
  kind = 'davey';

  static async start(user, channel) {
    const peer = new Davey(user, channel);
    await peer.restart(channel);
    return peer;
  }
  async restart(channel) {
    this.channel = channel;
    this.session = new davey.DAVESession(1, this.user, channel, this.keys);
    this.fresh = true;
  }
  async externalSender(body) {
    this.session.setExternalSender(body);
  }
  async keyPackage() {
    if (!this.fresh) this.session.reinit(1, this.user, this.channel, this.keys);
    this.fresh = false;
    return this.session.getSerializedKeyPackage();
  }
  async proposals(operation, list, recognised) {
    const { commit, welcome } = this.session.processProposals(operation, list, recognised);
    return commit ? splitCommit(Buffer.concat([commit, welcome ?? Buffer.alloc(0)])) : null;
  }
  async commit(body) {
    this.session.processCommit(body);
  }
  async welcome(body) {
    this.session.processWelcome(body);
  }
  async seal(frame) {
    return this.session.encryptOpus(frame);
  }
  async open(user, frame) {
    return this.session.decrypt(user, AUDIO, frame);
  }
  async info() {
    return {
      epoch: Number(this.session.epoch),
      members: this.session.getUserIds(),
      code: this.session.voicePrivacyCode,
      authenticator: this.session.getEpochAuthenticator(),
    };
  }
  verification(user) {
    return this.session.getVerificationCode(user);
  }
  stop() {}
}
