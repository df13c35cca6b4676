import type { Client } from './client.js'
import type { RocketError } from './errors.js'
import type { Member, Members, MembersOptions, Presence, PresenceHandlers, PresenceList, PresenceNotice } from './types.js'

/** Returns a page of those who are in a channel, without subscribing. */
export async function members<I = unknown>(client: Client, channel: string, { after, limit, signal }: MembersOptions = {}): Promise<Members<I>> {
  const { ok, id, ...page } = await client.run({ presence: { channel, after, limit } }, { again: true, signal })
  return { members: [], more: false, ...page } as unknown as Members<I>
}

/** The largest list that is read again where the server tells numbers alone. */
const large = 1000

/**
 * Keeps the list of those who are in a channel, until leave is called. It subscribes to the channel,
 * as `client.subscribe` does. After a reconnect only the differences are told.
 */
export function presence<I = unknown>(client: Client, channel: string, handlers: PresenceHandlers<I> = {}): Presence<I> {
  /** The entry with the greatest `at` of each member, whether it has joined or left. */
  let entries = new Map<string, { member: Member<I>; here: boolean }>()
  let told = new Map<string, Member<I>>()
  let list: PresenceList<I> = { members: [], clients: 0, users: 0, complete: false }
  /** The version of the list that the notices are for. */
  let version = 0
  /** Of the reading that counts: the one before is not wanted any more. */
  let abort = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  let left = false

  const call = (f: () => void) => {
    try { if (!left) f() } catch (error) { client.options.onError(error) }
  }

  const show = (change: Partial<PresenceList<I>>) => {
    list = { ...list, ...change }
    call(() => handlers.onChange?.(list))
  }

  const put = (members: Member<I>[] = [], here: boolean) => {
    for (const member of members) {
      const key = member.client === undefined ? 'user ' + member.user : 'client ' + member.client
      if (!(entries.get(key)?.member.at! >= member.at)) entries.set(key, { member, here })
    }
  }

  /** The list is whole: what differs from the one that has been told is told. */
  const tell = (numbers: { clients: number; users: number }) => {
    const before = told, { clients, users } = numbers
    entries = new Map([...entries].filter(([, e]) => e.here).sort(([, a], [, b]) => a.member.at - b.member.at))
    told = new Map([...entries].map(([key, e]) => [key, e.member]))
    show({ clients, users, members: [...told.values()], complete: true })
    for (const [key, member] of before) if (!told.has(key)) call(() => handlers.onLeave?.(member))
    for (const [key, member] of told) if (!before.has(key)) call(() => handlers.onJoin?.(member))
  }

  const leave = () => {
    left = true
    restart()
    list = { ...list, complete: false }
    subscription.unsubscribe()
  }

  /** Ends what is at work. What follows can be ended in the same way; after leave nothing follows. */
  const restart = () => {
    abort.abort()
    clearTimeout(timer)
    abort = new AbortController()
    if (left) abort.abort()
    return abort
  }

  /** Reads the whole list. What the notices say meanwhile is put to it. */
  const read = async (from: number) => {
    const { signal } = restart()
    version = from
    entries = new Map()
    try {
      for (let after = 0; ;) {
        const page = await members<I>(client, channel, { after, limit: 1000, signal })
        put(page.members, true)
        if (!page.more) return tell(page.version < version ? list : page)
        after = page.members.at(-1)!.at
      }
    } catch (error) {
      failed(error as RocketError, signal, () => read(version))
    }
  }

  /** Asks for notices, on each connection anew. */
  const begin = async () => {
    const { signal } = restart()
    try {
      const { version } = await client.run({ subscribe: { channel, presence: true } }, { again: true, signal })
      read(version ?? 0)
    } catch (error) {
      failed(error as RocketError, signal, begin)
    }
  }

  const later = (f: () => void) => { timer = setTimeout(f, 1000 * (1 + Math.random())) }

  const failed = (error: RocketError, { aborted }: AbortSignal, again: () => void) => {
    if (aborted) return
    if (error.code === 'access_denied' || error.code === 'not_available') {
      show({ complete: false, error })
      leave()
    } else if (subscription.state.state === 'subscribed') {
      later(again)
    }
  }

  const hear = ({ from, version: to, joined, left, clients, users }: PresenceNotice<I>) => {
    const before = version
    if (to <= before) return // it is in the list, or will be when that is read
    version = to
    if (!joined && !left) {
      show({ clients, users, complete: false })
      restart()
      if (Math.max(clients, users) <= large) later(() => read(version))
    } else if (from > before) {
      show({ complete: false })
      read(to)
    } else {
      put(joined, true)
      put(left, false)
      if (list.complete) tell({ clients, users })
      else list = { ...list, clients, users }
    }
  }

  const subscription = client.subscribe(channel, {
    onPresence: hear as (notice: PresenceNotice) => void,
    // Whether there is presence, and the right to it, is what the server answers now. A reload has ended that of many at once.
    onPresenceEnd() {
      restart()
      show({ complete: false })
      later(begin)
    },
    onState({ state, error }: { state: string; error?: RocketError }) {
      restart()
      if (state === 'subscribed') begin()
      else if (error) show({ complete: false, error })
      else if (list.complete) show({ complete: false })
    },
  })
  return { channel, get list() { return list }, leave }
}
