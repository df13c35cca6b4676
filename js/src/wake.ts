import type { Cancel } from './timers.js'

/**
 * Calls wake when the page may have been away: the network is back, the page is visible again or
 * thawed. dead is true if it comes out of the back/forward cache, where sockets do not live.
 * Outside of browsers it does nothing.
 */
export function onWake(wake: (dead: boolean) => void): Cancel {
  const page = globalThis.document, stop = new AbortController()
  const f = ({ type, persisted }: { type: string; persisted?: boolean }) => {
    if (persisted ?? (type !== 'visibilitychange' || page.visibilityState === 'visible')) wake(!!persisted)
  }
  for (const type of ['online', 'pageshow']) globalThis.addEventListener?.(type, f, stop)
  for (const type of ['visibilitychange', 'resume']) page?.addEventListener(type, f, stop)
  return () => stop.abort()
}
