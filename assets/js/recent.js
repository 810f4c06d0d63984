// A set that remembers only its newest members.

export class Recent {
  #limit;
  #members = new Set();

  constructor(limit, members = []) {
    this.#limit = limit;
    for (const member of members) this.add(member);
  }

  has(member) {
    return this.#members.has(member);
  }

  /** Adds a member; the oldest one goes when there are too many. Sets keep the order of insertion. */
  add(member) {
    this.#members.add(member);
    if (this.#members.size > this.#limit) this.#members.delete(this.#members.values().next().value);
  }

  get size() {
    return this.#members.size;
  }

  toArray() {
    return [...this.#members];
  }
}
