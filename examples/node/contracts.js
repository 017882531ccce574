// The contracts, read from the .proto files of the repository.
import path from "node:path";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const PROTOS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../protos");
const FILES = ["quietus/ingest/v1/ingest.proto", "quietus/identity/v1/identity.proto"];

function load() {
  const root = new protobuf.Root();
  root.resolvePath = (origin, target) => {
    if (target.startsWith("google/protobuf/")) return protobuf.Root.prototype.resolvePath(origin, target);
    // Options that say what is valid; a client needs them no more than comments.
    if (target.startsWith("google/api/")) return null;
    return path.join(PROTOS, target);
  };
  root.loadSync(FILES, { keepCase: true });
  const options = { keepCase: true, longs: Number, enums: String, oneofs: true, defaults: false };
  return grpc.loadPackageDefinition(protoLoader.fromJSON(root.toJSON(), options)).quietus;
}

export const { ingest, identity } = load();
