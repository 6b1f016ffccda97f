/** Random choices that a printed seed repeats (mulberry32). */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  /** An integer from `low` to `high`, both possible. */
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  /** A generator of its own for something that runs beside other things. */
  fork() {
    return new Random(this.between(0, 2 ** 32 - 1));
  }
  chance(p) {
    return this.next() < p;
  }
  pick(list) {
    return list[this.between(0, list.length - 1)];
  }
  shuffled(list) {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.between(0, i);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
  bytes(n) {
    return Buffer.from(Array.from({ length: n }, () => this.between(0, 255)));
  }
}
