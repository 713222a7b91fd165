import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BigQueryDestination,
  type BigQueryOptions,
  type CommonOptions,
  ConfigError,
  DatadogDestination,
  type DatadogOptions,
  type DeliveryOptions,
  type Destination,
  EventSource,
  type EventSourceOptions,
  FileDestination,
  type FileOptions,
  type HttpOptions,
  KafkaDestination,
  type KafkaOptions,
  S3Destination,
  type S3Options,
  SplunkDestination,
  type SplunkOptions,
  WebhookDestination,
  type WebhookOptions,
} from '@grantex/destinations';
import { Memory } from './support.js';

// Every option that the types have, and no other: the compiler sees to that.
type Names<Options, Others = CommonOptions & HttpOptions> = Record<
  Exclude<keyof Options, keyof Others>,
  0
>;
const DATADOG: Names<DatadogOptions> = {
  apiKey: 0,
  hostname: 0,
  service: 0,
  site: 0,
  source: 0,
  tags: 0,
  url: 0,
};
const SPLUNK: Names<SplunkOptions> = {
  acceptEmptyAnswer: 0,
  ack: 0,
  ackTimeoutMs: 0,
  hecToken: 0,
  hecUrl: 0,
  host: 0,
  index: 0,
  source: 0,
  sourcetype: 0,
};
const S3: Names<S3Options> = {
  accessKeyId: 0,
  bucket: 0,
  checksum: 0,
  compression: 0,
  endpoint: 0,
  kmsKeyId: 0,
  pathStyle: 0,
  prefix: 0,
  profile: 0,
  provider: 0,
  region: 0,
  secretAccessKey: 0,
  sessionToken: 0,
};
const BIGQUERY: Names<BigQueryOptions> = {
  createTable: 0,
  credentialsFile: 0,
  datasetId: 0,
  endpoint: 0,
  method: 0,
  projectId: 0,
  storageEndpoint: 0,
  tableId: 0,
};
const KAFKA: Names<KafkaOptions, CommonOptions> = {
  brokers: 0,
  caFile: 0,
  checkpointTopic: 0,
  clientCertFile: 0,
  clientId: 0,
  clientKeyFile: 0,
  cloudeventsMode: 0,
  compression: 0,
  key: 0,
  password: 0,
  proxy: 0,
  saslMechanism: 0,
  timeoutMs: 0,
  tls: 0,
  token: 0,
  topic: 0,
  transactionalId: 0,
  username: 0,
};
const WEBHOOK: Names<WebhookOptions> = { headers: 0, previousSecret: 0, secret: 0, url: 0 };
const FILE: Names<FileOptions, CommonOptions> = { path: 0 };
const DELIVERY: Names<DeliveryOptions, object> & { format: 0 } = {
  agentId: 0,
  batchBytes: 0,
  batchSize: 0,
  concurrency: 0,
  flushIntervalMs: 0,
  format: 0,
  grantId: 0,
  onLostPosition: 0,
  principalId: 0,
  retryBaseMs: 0,
  retryCapMs: 0,
  since: 0,
  types: 0,
};
const SOURCE: Names<EventSourceOptions, { onError: 0; onDeadLetter: 0; onLog: 0 }> = {
  agentId: 0,
  apiKey: 0,
  caFile: 0,
  grantId: 0,
  principalId: 0,
  since: 0,
  stateDir: 0,
  stopLimitMs: 0,
  types: 0,
  url: 0,
};
const HTTP: Names<HttpOptions, object> = {
  caFile: 0,
  clientCertFile: 0,
  clientKeyFile: 0,
  proxy: 0,
  timeoutMs: 0,
};

const UNKNOWN = { unheardOf: 1 };

async function mistake(
  destination?: Destination,
  delivery?: object,
  options: object = {},
): Promise<ConfigError> {
  const source = new EventSource({ apiKey: 'gx_test_x', url: 'http://127.0.0.1:9', ...options });
  if (destination) source.addDestination(destination, delivery);
  const error = await source.start().then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(error instanceof ConfigError);
  return error;
}

/** The options that the native half says there are. */
function known(error: ConfigError): string[] {
  assert.equal(error.option, 'unheardOf');
  // What comes after the destination's own options, every destination has.
  const [own] = error.message.split('; and, as for every ');
  const [, ...names] = own?.match(/`\w+`/g) ?? [];
  return names.map((name) => name.slice(1, -1)).sort();
}

test('the types have the options that the native half has', async () => {
  // biome-ignore lint/suspicious/noExplicitAny: options of all kinds
  const kinds: [new (options: any) => Destination, object][] = [
    [DatadogDestination, DATADOG],
    [SplunkDestination, SPLUNK],
    [S3Destination, S3],
    [BigQueryDestination, BIGQUERY],
    [KafkaDestination, KAFKA],
    [WebhookDestination, WEBHOOK],
    [FileDestination, FILE],
  ];
  for (const [Kind, names] of kinds) {
    assert.deepEqual(known(await mistake(new Kind(UNKNOWN))), Object.keys(names), Kind.name);
  }
  assert.deepEqual(known(await mistake(new Memory(), UNKNOWN)), Object.keys(DELIVERY));
  assert.deepEqual(known(await mistake(undefined, undefined, UNKNOWN)), Object.keys(SOURCE));
});

test('what is common to all, and what is common over HTTP, every destination takes', async () => {
  for (const option of Object.keys({ ...DELIVERY, ...HTTP })) {
    const options = { apiKey: 'x', [option]: { no: 'value' } };
    const error = await mistake(new DatadogDestination(options as DatadogOptions));
    assert.equal(error.option, option);
    assert.match(error.message, /invalid type: map|expected/, option);
  }
});
