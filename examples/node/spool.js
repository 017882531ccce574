// What was recorded and isn't acknowledged yet, in a file: one JSON object a line, each on disk before it counts.
// A batch gets its number and its bounds here, before it is first sent, and keeps them whatever happens.
import fs from "node:fs";
import { randomUUID } from "node:crypto";

import { timestamp, uuid7 } from "./ids.js";

export class Spool {
  constructor(file) {
    this.batches = []; // not acknowledged, in the order of their numbers
    this.lastNumber = 0;
    this.endTime = undefined;
    this.wake = () => {};
    const before = fs.existsSync(file) ? wholeLines(file) : [];
    this.file = fs.openSync(file, "a");
    before.forEach((line) => this.#apply(line));
    if (!this.session) {
      const now = Date.now();
      // The sender's id belongs to this spool: whoever goes on with it goes on with its numbers.
      this.#write({ session: { session_id: uuid7(now), sender_id: randomUUID(), start_time: timestamp(now) } });
    }
  }

  record(predictions) {
    this.#write({ batch: { batch_number: this.lastNumber + 1, predictions } });
    this.wake();
  }

  acknowledge(through) {
    this.#write({ acknowledged: through });
  }

  end() {
    this.#write({ end_time: timestamp(Date.now()) });
    this.wake();
  }

  #write(line) {
    fs.writeSync(this.file, `${JSON.stringify(line)}\n`);
    fs.fsyncSync(this.file);
    this.#apply(line);
  }

  #apply({ session, batch, acknowledged, end_time }) {
    if (session) this.session = session;
    if (batch) {
      this.batches.push(batch);
      this.lastNumber = batch.batch_number;
    }
    if (acknowledged) this.batches = this.batches.filter((one) => one.batch_number > acknowledged);
    if (end_time) this.endTime = end_time;
  }
}

// Without a last line that was cut off while it was written: nobody was told that it counts.
function wholeLines(file) {
  const text = fs.readFileSync(file, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) fs.truncateSync(file, Buffer.byteLength(whole));
  return whole.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}
