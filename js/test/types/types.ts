// What the types promise. tsc reads this file, and nothing runs it.
import { Client, events, members, presence, RocketError, type Event, type Gap, type Member, type PresenceList, type Published, type State } from '../../src/index.js'
import { useChannel, usePresence } from '../../src/react.js'
import { stream } from '../../src/stream.js'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

const client = new Client(async () => 'wss://rt.example.com/', { token: async ({ refused, signal }) => `${refused}${signal.aborted}`, transports: [stream()] })

client.subscribe<{ n: number }>('c', {
  onEvent: e => { same<typeof e.data, { n: number }>(true) },
  load: async gap => { same<typeof gap, Gap & { signal: AbortSignal }>(true); return 1 },
})
client.subscribe('c', { onEvent: e => { same<typeof e.data, unknown>(true) } })
const room = presence<{ name: string }>(client, 'room:1', {
  onJoin: m => { same<typeof m, Member<{ name: string }>>(true) },
  onChange: list => { same<typeof list, PresenceList<{ name: string }>>(true) },
})
same<typeof room.list.members, readonly Member<{ name: string }>[]>(true)
// @ts-expect-error the list is the client's
room.list.members.push({ at: 1 })
// @ts-expect-error a member may have no info
usePresence<{ name: string }>(client, 'room:1').members.map(m => m.info.name)
useChannel<string>(client, null, { onEvent: e => { same<typeof e.data, string>(true) } })

export async function calls(): Promise<void> {
  const published = await client.publish('c', 'e', { any: 'value' }, { key: 'k' })
  same<typeof published, Published>(true)
  const { events: list } = await client.history<number>('c', { limit: 1 })
  same<typeof list, Event<number>[]>(true)
  const { members: some, more } = await members<string>(client, 'c', { after: 3, limit: 0 })
  same<typeof some, Member<string>[]>(true)
  same<typeof more, boolean>(true)
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
