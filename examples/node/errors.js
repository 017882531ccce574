// What a service says went wrong: the stable reason, and how long it asks to wait.
import protobuf from "protobufjs";

const { root } = protobuf.parse(
  `syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }`,
  { keepCase: true },
);
const Status = root.lookupType("google.rpc.Status");

function detail(error, name) {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!bytes) return undefined;
  const packed = Status.decode(bytes).details.find((any) => any.type_url.endsWith(`/google.rpc.${name}`));
  return packed && root.lookupType(`google.rpc.${name}`).decode(packed.value);
}

// Empty when no service answered.
export function reasonOf(error) {
  return detail(error, "ErrorInfo")?.reason ?? "";
}

// undefined when nothing was asked.
export function retryMilliseconds(error) {
  const delay = detail(error, "RetryInfo")?.retry_delay;
  return delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
}
