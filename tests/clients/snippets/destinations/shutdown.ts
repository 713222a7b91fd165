process.on('SIGTERM', async () => {
  await source.stop();
  process.exit(0);
});
