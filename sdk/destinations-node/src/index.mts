// The same module for `import`: there is one copy of every class.
export * from './index.js';
