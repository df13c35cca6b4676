export type Cancel = () => void

/** The longest delay that setTimeout knows. It takes a longer one for 1 ms. */
const longest = 2 ** 31 - 1

export function after(ms: number, f: () => void): Cancel {
  const timer = setTimeout(f, Math.min(ms, longest))
  return () => clearTimeout(timer)
}

/**
 * A timer for what has not come. A page that has slept finds its timers overdue and the data
 * of that time unread, in any order, so what has arrived gets a moment to be heard first.
 */
export function deadline(ms: number, f: () => void): Cancel {
  const due = performance.now() + ms
  let cancel = after(ms, () => { cancel = after(performance.now() - due > 1000 ? 1000 : 50, f) })
  return () => cancel()
}

/** Full jitter: anything from 0 to min·2ⁿ, but not above max. Clients that were cut off together come back spread. */
export const backoff = (n: number, o: { minDelay: number; maxDelay: number; random: () => number }): number =>
  o.random() * Math.min(o.maxDelay, o.minDelay * 2 ** n)
