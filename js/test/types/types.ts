// What the types promise. tsc reads this file, and nothing runs it.
import { Client, events, RocketError, type Event, type Gap, type Published, type State } from '../../src/index.js'
import { useChannel } from '../../src/react.js'
import { stream } from '../../src/stream.js'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

const client = new Client(async () => 'wss://rt.example.com/', { token: async ({ refused, signal }) => `${refused}${signal.aborted}`, transports: [stream()] })

client.subscribe<{ n: number }>('c', {
  onEvent: e => { same<typeof e.data, { n: number }>(true) },
  load: async gap => { same<typeof gap, Gap & { signal: AbortSignal }>(true); return 1 },
})
client.subscribe('c', { onEvent: e => { same<typeof e.data, unknown>(true) } })
useChannel<string>(client, null, { onEvent: e => { same<typeof e.data, string>(true) } })

export async function calls(): Promise<void> {
  const published = await client.publish('c', 'e', { any: 'value' }, { key: 'k' })
  same<typeof published, Published>(true)
  const { events: list } = await client.history<number>('c', { limit: 1 })
  same<typeof list, Event<number>[]>(true)
  for await (const e of events<number>(client, 'c')) {
    if ('reason' in e) same<typeof e, Gap>(true)
    else same<typeof e.data, number>(true)
  }
}

export function narrowed(state: State): unknown {
  switch (state.state) {
    case 'waiting': return state.delay + state.attempt
    case 'failed': return state.why instanceof RocketError && state.why.closeCode
    case 'online': return state.transport
    // @ts-expect-error there is no delay while it connects
    case 'connecting': return state.delay
    default: return undefined
  }
}

// @ts-expect-error the secret is for one of two accesses
new Client('ws://localhost/', { access: 'admin' })
// @ts-expect-error a position has an epoch
client.history('c', { since: { offset: 1 } })
// @ts-expect-error load returns a promise
client.subscribe('c', { load: () => 1 })
