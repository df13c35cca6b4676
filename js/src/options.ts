import type { Options } from './types.js'

const defaults = {
  access: 'read-only' as 'read-only' | 'read-write',
  secret: '',
  minDelay: 500,
  maxDelay: 30_000,
  stableAfter: 10_000,
  connectTimeout: 10_000,
  commandTimeout: 10_000,
  pingInterval: 30_000,
  pongTimeout: 10_000,
  probeTimeout: 4_000,
  window: 8,
  maxPending: 1000,
  maxHeld: 1000,
  maxMessageSize: 65_536,
  random: Math.random,
  onError: (error: unknown): void => (globalThis.reportError ?? console.error)(error),
}

/** The options with their defaults. */
export type Settings = typeof defaults & Options

/** An option that is undefined counts as missing. */
export const settings = (options: Options): Settings =>
  ({ ...defaults, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) })
