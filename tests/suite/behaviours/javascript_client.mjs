// @aws-sdk/client-kinesis as a client that is told by lines of JSON what to call, and answers with what came. It speaks
// HTTP/2, which is this SDK's way with Kinesis: by prior knowledge where the endpoint is http://.
//
// Usage: node javascript_client.mjs FOLDER_WITH_NODE_MODULES
//
// The lines are those of boto3_client.py.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packages] = process.argv.slice(2);
const sdk = createRequire(`${packages}/`)("@aws-sdk/client-kinesis");

const clients = new Map();
const subscriptions = new Map();

function client(endpoint) {
  if (!clients.has(endpoint)) {
    clients.set(endpoint, new sdk.KinesisClient({
      endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test" },
      // One call is one request.
      maxAttempts: 1,
    }));
  }
  return clients.get(endpoint);
}

const TIMES = new Set(["Timestamp", "StreamCreationTimestamp"]);

function typed(value, key) {
  if (key === "Data") return Buffer.from(value, "base64");
  if (TIMES.has(key)) return new Date(value * 1000);
  if (Array.isArray(value)) return value.map((inner) => typed(inner));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, typed(inner, name)]));
  }
  return value;
}

function plain(value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Date) return value.getTime() / 1000;
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  }
  return value;
}

const ways = {
  async call({ endpoint, operation, input }) {
    const { $metadata, ...answer } = await client(endpoint).send(new sdk[`${operation}Command`](typed(input)));
    return { answer: plain(answer) };
  },
  async subscribe({ endpoint, handle, input }) {
    const abort = new AbortController();
    const answer = await client(endpoint).send(new sdk.SubscribeToShardCommand(typed(input)), { abortSignal: abort.signal });
    subscriptions.set(handle, { abort, events: answer.EventStream[Symbol.asyncIterator]() });
    return { answer: {} };
  },
  async next({ handle }) {
    const { done, value } = await subscriptions.get(handle).events.next();
    return done ? { end: true } : { answer: plain(value.SubscribeToShardEvent) };
  },
  async close({ handle }) {
    subscriptions.get(handle).abort.abort();
    subscriptions.delete(handle);
    return { answer: {} };
  },
};

async function serve(asked) {
  let came;
  try {
    came = await ways[asked.do](asked);
  } catch (error) {
    came = error instanceof sdk.KinesisServiceException
      ? { error: error.name, message: error.message }
      : { broken: `${error?.name}: ${error?.message}` };
  }
  process.stdout.write(`${JSON.stringify({ id: asked.id, ...came })}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  serve(JSON.parse(line));
}
process.exit(0);
