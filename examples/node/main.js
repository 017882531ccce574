// Records invented chunks and delivers them. Prints one JSON object a line: what is acknowledged, then a summary.
import fs from "node:fs";
import { parseArgs } from "node:util";

import { Device } from "./device.js";
import { reasonOf } from "./errors.js";
import { timestamp, uuid7 } from "./ids.js";
import { Spool } from "./spool.js";

const { values } = parseArgs({
  options: {
    ingest: { type: "string", default: "127.0.0.1:50052" },
    identity: { type: "string", default: "127.0.0.1:50051" },
    "api-key-file": { type: "string" },
    spool: { type: "string", default: "quietus.spool" },
    chunks: { type: "string", default: "100" },
    "pause-milliseconds": { type: "string", default: "10" },
  },
});

// What models on the device would say of five seconds.
function chunk() {
  const end = Date.now();
  const window = {
    chunk_id: uuid7(end),
    capture_start_time: timestamp(end - 5_000),
    capture_end_time: timestamp(end),
  };
  return [
    { ...window, vision: { emotion: "EMOTION_NEUTRAL", confidence: 0.8, distress_score: 0.2, model_version: "face-1" } },
    { ...window, audio: { emotion: "EMOTION_SAD", confidence: 0.6, stress_score: 0.35, model_version: "voice-1" } },
    {
      ...window,
      text: {
        risk_level: "RISK_LEVEL_LOW",
        distress_probability: 0.1,
        confidence: 0.7,
        transcript_state: "TRANSCRIPT_STATE_NOT_KEPT",
        model_version: "text-1",
      },
    },
  ];
}

async function record(spool, chunks, pauseMilliseconds) {
  while (spool.lastNumber < chunks) {
    spool.record(chunk());
    await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
  }
  if (!spool.endTime) spool.end();
}

const say = (line) => console.log(JSON.stringify(line));
const spool = new Spool(values.spool);
const device = new Device({
  ingestAddress: values.ingest,
  identityAddress: values.identity,
  apiKey: fs.readFileSync(values["api-key-file"], "utf8").trim(),
});
try {
  const recording = record(spool, Number(values.chunks), Number(values["pause-milliseconds"]));
  await device.deliver(spool, (through, outcomes) => say({ acknowledged: through, outcomes }));
  await recording;
  say({ session_id: spool.session.session_id, batches: spool.lastNumber, streams: device.streams });
} catch (error) {
  console.error(`${reasonOf(error) || error.code}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  device.close();
}
