// `grantex forward` as a program for Node would be written: the options of a source and of its destinations as
// JSON in $OPTIONS. A destination without a class is one of its own, which appends lines to a file. Where it is goes
// to the file $CURSOR.
const { closeSync, fsyncSync, openSync, writeFileSync, writeSync } = require('node:fs');
const destinations = require('@grantex/destinations');

class Lines {
  name = 'lines';
  #file;

  constructor(path) {
    this.#file = openSync(path, 'a');
  }

  async send(events) {
    // One line at a time, so that a kill finds a batch half written.
    for (const event of events) {
      await new Promise(setImmediate);
      writeSync(this.#file, `${JSON.stringify(event)}\n`);
    }
  }

  async flush() {
    fsyncSync(this.#file);
  }

  async close() {
    closeSync(this.#file);
  }
}

const { source: options, destination, delivery } = JSON.parse(process.env.OPTIONS);
const source = new destinations.EventSource(options);
if (destination.class === undefined) source.addDestination(new Lines(destination.path), delivery);
else source.addDestination(new destinations[destination.class]({ ...destination.options, ...delivery }));
setInterval(() => writeFileSync(process.env.CURSOR, source.stats()[0]?.cursor ?? ''), 50).unref();
process.once('SIGTERM', () => source.stop());
source.start().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
