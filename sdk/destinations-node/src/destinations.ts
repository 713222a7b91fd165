import type { DeliveryOptions } from './destination.js';

/** The options of every destination of this package. */
export interface CommonOptions extends DeliveryOptions {
  /**
   * Unique within a source; keys the checkpoint, so it must not change. The destination's type
   * unless given: only the second one of a type needs one.
   */
  name?: string | undefined;
  /**
   * The format of events: as the service sends them (the default), CloudEvents 1.0, or OCSF 1.5.
   */
  format?: 'native' | 'cloudevents' | 'ocsf' | undefined;
}

/** Options of HTTP connections. */
export interface HttpOptions {
  /** A proxy for every request; the environment's (`HTTPS_PROXY`, …) unless given. */
  proxy?: string | undefined;
  /** PEM file with certificate authorities to trust besides the system's. */
  caFile?: string | undefined;
  /** PEM file with this client's certificate chain. */
  clientCertFile?: string | undefined;
  /** PEM file with this client's private key. */
  clientKeyFile?: string | undefined;
  /** How long one request may take, in milliseconds; 30,000 unless given. */
  timeoutMs?: number | undefined;
}

/** A destination of this package. */
export abstract class BuiltinDestination {
  /** Unique within a source; keys the checkpoint. */
  readonly name: string;
  /** Private at run time too: a destination that is logged shows no secret. */
  // biome-ignore lint/correctness/noUnusedPrivateClassMembers: read in definitionOf
  readonly #definition: Definition;

  /** @internal */
  protected constructor(kind: string, options: { name?: string | undefined }) {
    // A program without types may leave the options out; `start()` then says which are missing.
    const { name, ...others } = { ...options };
    this.name = name ?? kind;
    this.#definition = { kind, options: others };
  }

  /** @internal */
  static definitionOf(destination: object): Definition | undefined {
    return #definition in destination ? destination.#definition : undefined;
  }
}

/** @internal */
export interface Definition {
  kind: string;
  options: object;
}

/** Options of a {@link DatadogDestination}. Batches: 1,000 events, 2 MiB, 2 s. */
export interface DatadogOptions extends CommonOptions, HttpOptions {
  /** The API key. */
  apiKey: string;
  /** `datadoghq.com` unless given; `datadoghq.eu`, `us3.datadoghq.com`, …. */
  site?: string | undefined;
  /** Another intake's base URL, such as a proxy's, instead of `site`, without `/api/v2/logs`. */
  url?: string | undefined;
  /** `service`; `grantex` unless given. */
  service?: string | undefined;
  /** `ddsource`; `grantex` unless given. */
  source?: string | undefined;
  /** `hostname`. */
  hostname?: string | undefined;
  /** `ddtags`, such as `['env:prod']`; `event_type:…` is added to each log. */
  tags?: string[] | undefined;
}

/**
 * Datadog's logs. At least once and in order, with `event_id` on each.
 *
 * @example
 * ```ts
 * source.addDestination(new DatadogDestination({ apiKey: process.env.DD_API_KEY!, site:
 * 'datadoghq.eu' }));
 * ```
 */
export class DatadogDestination extends BuiltinDestination {
  constructor(options: DatadogOptions) {
    super('datadog', options);
  }
}

/** Options of a {@link SplunkDestination}. Batches: 500 events, 1 MiB, 2 s. */
export interface SplunkOptions extends CommonOptions, HttpOptions {
  /** The collector, such as `https://splunk.example.com:8088`. */
  hecUrl: string;
  /** Its token. */
  hecToken: string;
  /** `index`; the token's default unless given. */
  index?: string | undefined;
  /** `source`; `grantex` unless given. */
  source?: string | undefined;
  /** `sourcetype`; `_json` unless given. */
  sourcetype?: string | undefined;
  /** `host`. */
  host?: string | undefined;
  /**
   * Wait for the acknowledgement of the indexers; the token must allow it. Without it, only the
   * collector is known to have the events.
   */
  ack?: boolean | undefined;
  /** How long to wait for that, in milliseconds; 300,000 unless given. */
  ackTimeoutMs?: number | undefined;
  /**
   * Accept a success without a body, as some collectors with Splunk's protocol send it.
   */
  acceptEmptyAnswer?: boolean | undefined;
}

/**
 * Splunk's HTTP Event Collector. At least once and in order, with `event_id` as an indexed field.
 *
 * @example
 * ```ts
 * new SplunkDestination({ hecUrl: 'https://splunk.example.com:8088', hecToken:
 * process.env.SPLUNK_HEC_TOKEN!, ack: true });
 * ```
 */
export class SplunkDestination extends BuiltinDestination {
  constructor(options: SplunkOptions) {
    super('splunk', options);
  }
}

/** Options of an {@link S3Destination}. Batches: 10,000 events, 16 MiB, 60 s. */
export interface S3Options extends CommonOptions, HttpOptions {
  /** The bucket, or Azure's container. */
  bucket: string;
  /** The prefix of every key; give each destination its own. */
  prefix?: string | undefined;
  /** The region; `AWS_REGION` unless given. */
  region?: string | undefined;
  /** The endpoint of another server than Amazon's, such as `http://127.0.0.1:9000`. */
  endpoint?: string | undefined;
  /**
   * `endpoint/bucket/key` instead of `bucket.endpoint/key`; on where there is an `endpoint`, unless
   * given.
   */
  pathStyle?: boolean | undefined;
  /** `gzip` unless given. */
  compression?: 'none' | 'gzip' | 'zstd' | undefined;
  /** Credentials; otherwise the environment, a profile, a web identity or the instance's role. */
  accessKeyId?: string | undefined;
  /** Credentials. */
  secretAccessKey?: string | undefined;
  /** Credentials. */
  sessionToken?: string | undefined;
  /** The section of `~/.aws/credentials`; `AWS_PROFILE` unless given. */
  profile?: string | undefined;
  /** The KMS key that objects are encrypted with. */
  kmsKeyId?: string | undefined;
  /**
   * The checksum of uploads, by which the server checks that they are complete; `sha256` unless
   * given.
   */
  checksum?: 'sha256' | 'none' | undefined;
  /**
   * The API of the server; `s3` unless given. For the others, credentials and account come from the
   * environment.
   */
  provider?: 's3' | 'gcs' | 'azure' | undefined;
}

/**
 * An object of NDJSON for each batch, in Amazon S3 or a server with its API, Google Cloud Storage
 * or Azure Blob Storage. Exactly once, if the source has a `stateDir`: an object's key is derived
 * from its events, and an existing object is not written again.
 *
 * @example
 * ```ts
 * new S3Destination({ bucket: 'audit', prefix: 'grantex', region: 'eu-central-1', flushIntervalMs:
 * 60_000 });
 * ```
 */
export class S3Destination extends BuiltinDestination {
  constructor(options: S3Options) {
    super('s3', options);
  }
}

/** Options of a {@link BigQueryDestination}. Batches: 500 events, 2 MiB, 2 s. */
export interface BigQueryOptions extends CommonOptions, HttpOptions {
  /** The project. */
  projectId: string;
  /** The dataset, which must exist. */
  datasetId: string;
  /** The table: `event_id STRING, event_type STRING, created_at TIMESTAMP, data JSON`. */
  tableId: string;
  /**
   * `storage_write` (the Storage Write API, exactly once) unless given; or `insert_all`, at least
   * once.
   */
  method?: 'storage_write' | 'insert_all' | undefined;
  /** Create the table if it does not exist: partitioned by day, clustered by type. */
  createTable?: boolean | undefined;
  /** A service account's key file; the application default credentials unless given. */
  credentialsFile?: string | undefined;
  /** Another REST endpoint than Google's. Over plain `http://` no credentials are sent. */
  endpoint?: string | undefined;
  /** Another gRPC endpoint than Google's, for `storage_write`. */
  storageEndpoint?: string | undefined;
}

/**
 * A row for each event in a BigQuery table.
 *
 * @example
 * ```ts
 * new BigQueryDestination({ projectId: 'acme', datasetId: 'audit', tableId: 'grantex', createTable:
 * true });
 * ```
 */
export class BigQueryDestination extends BuiltinDestination {
  constructor(options: BigQueryOptions) {
    super('bigquery', options);
  }
}

/** Options of a {@link KafkaDestination}. Batches: 500 events, 1 MiB, 0.2 s. */
export interface KafkaOptions extends CommonOptions {
  /** `host:port` of one or more brokers. */
  brokers: string | string[];
  /** The topic, which must exist. */
  topic: string;
  /** `client.id`; `grantex` unless given. */
  clientId?: string | undefined;
  /** The records' key: records with the same key stay in order. `grant_id` unless given. */
  key?: 'grant_id' | 'event_id' | 'event_type' | undefined;
  /**
   * Exactly once: records and checkpoint in one transaction of this id. No other forwarder may use
   * it.
   */
  transactionalId?: string | undefined;
  /**
   * The compacted topic for checkpoints of transactions; `grantex-forward-checkpoints` unless
   * given.
   */
  checkpointTopic?: string | undefined;
  /** `none` unless given. */
  compression?: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd' | undefined;
  /** How CloudEvents are bound; `structured` unless given. */
  cloudeventsMode?: 'structured' | 'binary' | undefined;
  /** Speak TLS. */
  tls?: boolean | undefined;
  /** PEM file with the certificate authorities to trust, instead of the system's. */
  caFile?: string | undefined;
  /** PEM file with this client's certificate chain. */
  clientCertFile?: string | undefined;
  /** PEM file with this client's private key. */
  clientKeyFile?: string | undefined;
  /** The SASL mechanism. */
  saslMechanism?: 'plain' | 'scram-sha-256' | 'scram-sha-512' | 'oauthbearer' | undefined;
  /** For SASL. */
  username?: string | undefined;
  /** For SASL. */
  password?: string | undefined;
  /** For `oauthbearer`. */
  token?: string | undefined;
  /** A SOCKS5 proxy, `host:port`. */
  proxy?: string | undefined;
  /** The longest time until a record is acknowledged, in milliseconds; 30,000 unless given. */
  timeoutMs?: number | undefined;
}

/**
 * A record for each event in a Kafka topic, by an idempotent producer.
 *
 * @example
 * ```ts
 * new KafkaDestination({ brokers: ['kafka-1:9092', 'kafka-2:9092'], topic: 'grantex', clientId:
 * 'audit' });
 * ```
 */
export class KafkaDestination extends BuiltinDestination {
  constructor(options: KafkaOptions) {
    const brokers = options?.brokers;
    super('kafka', { ...options, ...(Array.isArray(brokers) && { brokers: brokers.join(',') }) });
  }
}

/** Options of a {@link WebhookDestination}. Batches: one event. */
export interface WebhookOptions extends CommonOptions, HttpOptions {
  /** The endpoint. */
  url: string;
  /** `whsec_` and 24 to 64 bytes in base64; unsigned without it. */
  secret?: string | undefined;
  /** The previous secret, which also signs, during a rotation. */
  previousSecret?: string | undefined;
  /** Headers to add. */
  headers?: Record<string, string> | undefined;
}

/**
 * Requests signed by the Standard Webhooks rules, with the event's id as `webhook-id`.
 *
 * @example
 * ```ts
 * new WebhookDestination({ url: 'https://example.com/hook', secret: process.env.WEBHOOK_SECRET! });
 * ```
 */
export class WebhookDestination extends BuiltinDestination {
  constructor(options: WebhookOptions) {
    super('webhook', options);
  }
}

/** Options of a {@link FileDestination}. Batches: 1,000 events, 4 MiB, 0.2 s. */
export interface FileOptions extends CommonOptions {
  /** The file, created if it does not exist; `-` for standard output. */
  path: string;
}

/**
 * A line of JSON for each event at the end of a file. Exactly once, if the source has a `stateDir`.
 *
 * @example
 * ```ts
 * new FileDestination({ path: '/var/log/grantex/events.ndjson' });
 * ```
 */
export class FileDestination extends BuiltinDestination {
  constructor(options: FileOptions) {
    super('file', options);
  }
}
