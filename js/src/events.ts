import type { Client } from './client.js'
import type { Event, Gap } from './types.js'

/**
 * The events of a channel, and the gaps between them: a gap has a `reason`. It subscribes when it is
 * first asked for one, until the loop ends or signal is aborted. If more than buffer of them
 * are not read, 1,000 by default, they are dropped, and a gap says so.
 */
export async function* events<D = unknown>(
  client: Client, channel: string, { buffer = 1000, signal }: { buffer?: number; signal?: AbortSignal } = {},
): AsyncGenerator<Event<D> | Gap, void, undefined> {
  if (signal?.aborted) return
  let queue: (Event<D> | Gap)[] = [], wake = () => {}
  const put = (item: Event<D> | Gap) => {
    if (queue.push(item) > buffer) queue = [{ channel, reason: 'held', missed: queue.length }]
    wake()
  }
  const subscription = client.subscribe<D>(channel, { onEvent: put, onGap: put, onState: () => wake() })
  const end = () => subscription.unsubscribe()
  signal?.addEventListener('abort', end)
  try {
    for (;;) {
      while (queue.length) yield queue.shift()!
      const { state } = subscription
      if (state.state === 'ended') {
        if (state.error) throw state.error
        return
      }
      await new Promise<void>(resolve => { wake = resolve })
    }
  } finally {
    end()
    signal?.removeEventListener('abort', end)
  }
}
