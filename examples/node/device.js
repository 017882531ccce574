// Brings a session to the server, whatever comes between: start, predictions, end.
import grpc from "@grpc/grpc-js";

import { identity, ingest } from "./contracts.js";
import { reasonOf, retryMilliseconds } from "./errors.js";
import { Stream } from "./stream.js";

const CALL_MILLISECONDS = 10_000;
const FIRST_RETRY_MILLISECONDS = 200;
const LONGEST_RETRY_MILLISECONDS = 15_000;
const RENEW_BEFORE_MILLISECONDS = 60_000;

export class Device {
  constructor({ ingestAddress, identityAddress, apiKey }) {
    // This example stays on one machine; anywhere else use grpc.credentials.createSsl().
    const credentials = grpc.credentials.createInsecure();
    const options = { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 2_000 };
    this.ingest = new ingest.v1.IngestService(ingestAddress, credentials, options);
    this.tokens = new identity.v1.TokenService(identityAddress, credentials, options);
    this.apiKey = apiKey;
    this.token = undefined;
    this.streams = 0;
  }

  // Until the session has ended and everything in the spool is acknowledged. Throws what no retry can cure.
  async deliver(spool, onAcknowledged) {
    let limit = FIRST_RETRY_MILLISECONDS;
    let tokenForgotten = false;
    for (;;) {
      const stream = new Stream(spool, onAcknowledged);
      try {
        await this.#unary("StartSession", { session_id: spool.session.session_id, start_time: spool.session.start_time });
        this.streams += 1;
        await stream.run(this.ingest, await this.#metadata());
        if (spool.endTime && !spool.batches.length) {
          await this.#unary("EndSession", { session_id: spool.session.session_id, end_time: spool.endTime });
          return;
        }
        this.token = undefined; // a drain: the token may be the reason
      } catch (error) {
        if (error.code === grpc.status.UNAUTHENTICATED && !tokenForgotten) {
          tokenForgotten = true;
          this.token = undefined;
          continue;
        }
        const asked = retryMilliseconds(error);
        if (asked === undefined && !mayPass(error)) throw error;
        await sleep(asked ?? 0);
      }
      if (stream.progressed) {
        limit = FIRST_RETRY_MILLISECONDS;
        tokenForgotten = false;
      }
      // Exponential with full jitter, so that devices don't come back all at once.
      await sleep(Math.random() * limit);
      limit = Math.min(2 * limit, LONGEST_RETRY_MILLISECONDS);
    }
  }

  close() {
    this.ingest.close();
    this.tokens.close();
  }

  async #unary(method, request) {
    return promised(this.ingest, method, request, await this.#metadata());
  }

  async #metadata() {
    if (!this.token || Date.now() >= this.renewAt) {
      const { token } = await promised(this.tokens, "ExchangeApiKey", { api_key: this.apiKey }, new grpc.Metadata());
      this.token = token.access_token;
      this.renewAt = token.expire_time.seconds * 1000 - RENEW_BEFORE_MILLISECONDS;
    }
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${this.token}`);
    return metadata;
  }
}

// Nobody could be reached, or a call took too long. What a service refuses with a reason stays refused.
function mayPass(error) {
  if (error.code === grpc.status.UNAVAILABLE) return true;
  return !reasonOf(error) && [grpc.status.DEADLINE_EXCEEDED, grpc.status.INTERNAL].includes(error.code);
}

function promised(client, method, request, metadata) {
  const deadline = new Date(Date.now() + CALL_MILLISECONDS);
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
