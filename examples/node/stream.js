// One StreamPredictions call: sends what waits in the spool as far as the credit goes, removes what is acknowledged.
import { timestamp } from "./ids.js";

export class Stream {
  constructor(spool, onAcknowledged) {
    this.spool = spool;
    this.onAcknowledged = onAcknowledged;
    this.credit = { max_batches: 0, max_predictions: 0 };
    this.inFlight = []; // sent and not acknowledged, in order
    this.newest = 0;
    this.drained = false;
    this.progressed = false;
  }

  // Resolves when the server has ended the stream with OK, rejects with its error otherwise.
  run(client, metadata) {
    return new Promise((resolve, reject) => {
      this.call = client.StreamPredictions(metadata);
      this.call.on("data", (response) => this.#take(response));
      this.call.on("error", reject);
      this.call.on("end", resolve);
      this.spool.wake = () => this.#send();
      const { session_id, sender_id } = this.spool.session;
      this.call.write({ open: { session_id, sender_id, client_time: timestamp(Date.now()) } });
    }).finally(() => {
      this.spool.wake = () => {};
    });
  }

  #take(response) {
    if (response.opened) this.credit = response.opened.credit;
    if (response.credit) this.credit = response.credit;
    if (response.drain) this.drained = true;
    if (response.acknowledgement) this.#acknowledge(response.acknowledgement);
    this.#send();
  }

  #acknowledge({ through_batch_number: through, outcomes = [], credit }) {
    this.progressed = true;
    this.spool.acknowledge(through);
    this.inFlight = this.inFlight.filter((batch) => batch.batch_number > through);
    if (credit) this.credit = credit;
    this.onAcknowledged(through, outcomes);
  }

  #send() {
    if (this.drained) return;
    for (const batch of this.spool.batches) {
      if (batch.batch_number <= this.newest) continue;
      if (!this.#hasRoomFor(batch)) return;
      this.inFlight.push(batch);
      this.newest = batch.batch_number;
      this.call.write({ batch });
    }
    if (this.spool.endTime && !this.spool.batches.length) this.call.end();
  }

  #hasRoomFor(batch) {
    const { max_batches = 0, max_predictions = 0 } = this.credit;
    const predictions = this.inFlight.reduce((sum, one) => sum + one.predictions.length, 0);
    const fits = predictions + batch.predictions.length <= max_predictions;
    return this.inFlight.length < max_batches && fits;
  }
}
