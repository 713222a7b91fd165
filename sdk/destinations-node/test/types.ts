// What the compiler must take, and what it must not. Nothing here runs.
import {
  DatadogDestination,
  type Destination,
  type EventDestination,
  EventSource,
  type GrantexEvent,
  KafkaDestination,
  RejectError,
  type UntypedEvent,
} from '@grantex/destinations';

const source = new EventSource({
  apiKey: async () => 'gx_live_…',
  since: new Date(),
  types: ['grant.created'],
});
new EventSource({ url: undefined, apiKey: 'x', stateDir: undefined });

class Mine implements EventDestination {
  readonly name = 'mine';

  async send(events: GrantexEvent[]): Promise<void> {
    for (const event of events) {
      if (event.type === 'budget.threshold') event.data.percentage satisfies 50 | 80;
      // @ts-expect-error: not before the type is known
      event.data.percentage;
      event satisfies UntypedEvent;
    }
    throw new RejectError('no', { events: [0] });
  }
}

source.addDestination(new Mine());
source.addDestination(new Mine(), { batchSize: 10, types: ['grant.revoked'] });
source.addDestination({ name: 'plain', send() {} });
source.addDestination(
  new KafkaDestination({ brokers: ['a:1'], topic: 't', batchSize: 1, flushIntervalMs: 1 }),
);
source.addDestination(new DatadogDestination({ apiKey: 'x', site: undefined }));
[new Mine(), new DatadogDestination({ apiKey: 'x' })] satisfies Destination[];

// @ts-expect-error: nothing to send with
source.addDestination({ name: 'x' });
// @ts-expect-error: no name
source.addDestination({ send() {} });
// @ts-expect-error: a format is for destinations of the package
source.addDestination(new Mine(), { format: 'ocsf' });
// @ts-expect-error: not an option
new EventSource({ apiKey: 'x', stateFolder: 'y' });
// @ts-expect-error: a key is required
new DatadogDestination({ site: 'datadoghq.eu' });

const stats = source.stop();
stats.then(([first]) => first?.pending satisfies number | undefined);
