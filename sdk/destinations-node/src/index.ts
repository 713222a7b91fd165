export type { BatchInfo, DeliveryOptions, EventDestination } from './destination.js';
export {
  BigQueryDestination,
  type BigQueryOptions,
  BuiltinDestination,
  type CommonOptions,
  DatadogDestination,
  type DatadogOptions,
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
} from './destinations.js';
export {
  ConfigError,
  DeliveryError,
  KeyRefusedError,
  LostPositionError,
  RejectError,
  RetryError,
  SourceError,
  type SourceErrorCode,
  StateError,
} from './errors.js';
export type {
  BudgetExhaustedEvent,
  BudgetThresholdEvent,
  EventEnvelope,
  EventPayloads,
  EventType,
  GrantCreatedEvent,
  GrantexEvent,
  GrantRevokedEvent,
  TokenIssuedEvent,
  UntypedEvent,
} from './event.js';
export type {
  DeadLetter,
  DestinationStats,
  EventSourceOptions,
  KeptDeadLetter,
  LogRecord,
  Redelivery,
} from './options.js';
export { type Destination, EventSource } from './source.js';
