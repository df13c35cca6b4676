import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { Client, type LinkEvents, type Subscription, type Transport } from '../../src/index.js'

/**
 * A server of a few lines: channel h keeps its last 5 events, channel p keeps none. What is sent waits
 * in the link until the test lets it through, in order. Events are numbered by channel.
 */
class Server {
  epoch = 0
  version: string | undefined
  links: Link[] = []
  top = new Map<string, number>()
  /** The offset of each channel's first event of this epoch, less one. */
  base = new Map<string, number>()

  readonly transport: Transport = (_, on) => {
    expect(this.links.filter(l => !l.closed).length, 'links at a time').toBe(0)
    const link = new Link(this, on)
    this.links.push(link)
    return { name: 'model', send: text => { link.up.push(text) }, close: () => { link.closed = true } }
  }

  get link(): Link | undefined { return this.links.findLast(l => !l.closed && !l.cut) }

  offset(channel: string): number { return (this.top.get(channel) ?? 0) - (this.base.get(channel) ?? 0) }

  event(channel: string, n: number): string {
    const offset = n - (this.base.get(channel) ?? 0)
    return JSON.stringify({ event: 'e', channel, data: n, ...channel === 'h' && { offset } })
  }

  publish(channel: string): void {
    const n = (this.top.get(channel) ?? 0) + 1
    this.top.set(channel, n)
    if (this.link?.channels.has(channel)) this.link.down.push(this.event(channel, n))
  }

  restart(): void {
    this.epoch++
    for (const [channel, top] of this.top) this.base.set(channel, top)
    this.link?.end(1006)
  }

  subscribe(link: Link, { channel, since }: { channel: string; since?: { epoch: string; offset: number } }): [object, string[]] {
    link.channels.add(channel)
    if (channel !== 'h') return [{ ok: true, channel, ...since && { recovered: false, reason: 'no_history' } }, []]
    const top = this.offset(channel), epoch = String(this.epoch)
    if (!since) return [{ ok: true, channel, epoch, offset: top }, []]
    const reason = since.epoch !== epoch ? 'epoch' : since.offset > top ? 'ahead' : top - since.offset > 5 ? 'expired' : undefined
    if (reason) return [{ ok: true, channel, epoch, offset: top, recovered: false, reason }, []]
    const missed = Array.from({ length: top - since.offset }, (_, i) => this.event(channel, (this.base.get(channel) ?? 0) + since.offset + 1 + i))
    return [{ ok: true, channel, epoch, offset: since.offset, top, recovered: true }, missed]
  }
}

class Link {
  up: string[] = []
  down: string[] = []
  channels = new Set<string>()
  opened = false
  closed = false
  cut = false
  unanswered = 0

  constructor(readonly server: Server, readonly on: LinkEvents) {}

  /** Lets one message of the client through. */
  obey(): void {
    if (!this.opened) {
      this.opened = true
      return this.on.open()
    }
    const text = this.up.shift()
    if (!text) return
    const { id, auth, subscribe, unsubscribe } = JSON.parse(text)
    let replies: string[] = [], reply: object = { ok: true }
    if (auth && this.server.version) reply = { ok: true, version: this.server.version }
    if (unsubscribe) this.channels.delete(unsubscribe.channel)
    if (subscribe?.channels) {
      const all = subscribe.channels.map((s: any) => this.server.subscribe(this, s))
      reply = { ok: true, results: all.map(([r]: any) => r) }
      replies = all.flatMap(([, missed]: any) => missed)
    } else if (subscribe) {
      [reply, replies] = this.server.subscribe(this, subscribe)
    }
    this.down.push(JSON.stringify({ ...reply, id }), ...replies)
  }

  hear(): void {
    const text = this.down.shift()
    if (text && !this.closed) this.on.message(text)
  }

  /** A slow reader: events that wait are left out, and the client is told. */
  drop(): void {
    const waiting = this.down.map(text => JSON.parse(text))
    const first = waiting.findIndex(m => m.event)
    if (first < 0) return
    const { channel, offset } = waiting[first]!
    this.down[first] = JSON.stringify({ lost: 1, channel, offset })
  }

  end(code: number): void {
    this.cut = true
    this.up = this.down = []
    if (!this.closed) this.on.down(code, '')
  }
}

/** What one handle has heard, and whether that is right. */
class Reader {
  last = -1
  told = true
  /** Without offsets an event may be in the loaded state and come all the same. */
  loaded = 0
  ended = false
  /** A load has failed, and has not been called again. */
  failed = false
  subscription: Subscription
  readonly loads: ((fail: boolean) => void)[] = []

  constructor(client: Client, readonly channel: string, readonly server: Server, readonly loading: boolean, leaveAt: number) {
    this.subscription = client.subscribe<number>(channel, {
      onGap: () => {
        expect(this.ended, 'a gap after unsubscribe').toBe(false)
        this.told = true
      },
      onEvent: ({ data }) => {
        expect(this.ended, 'an event after unsubscribe').toBe(false)
        expect(this.loads.length, 'an event while load is at work').toBe(0)
        if (channel === 'p' && data <= this.loaded) return
        if (!this.told) expect(data, 'the event behind ' + this.last).toBe(this.last + 1)
        expect(data, 'an event behind ' + this.last).toBeGreaterThan(this.last)
        this.last = data
        this.told = false
        if (data % 16 === leaveAt) this.leave()
      },
      ...loading && { load: ({ signal }) => {
        expect(this.ended, 'a load after unsubscribe').toBe(false)
        expect(this.loads.length, 'loads at a time').toBe(0)
        this.failed = false
        return new Promise<number | void>((resolve, reject) => {
          const settle = (fail: boolean) => {
            this.loads.length = 0
            this.failed = fail
            if (fail) return reject(new Error('load'))
            // The state has all that has been published until now, as a number that needs no history.
            const top = server.top.get(channel) ?? 0
            this.last = this.loaded = top
            this.told = false
            resolve(channel === 'h' ? server.offset(channel) : undefined)
          }
          this.loads.push(settle)
          signal.addEventListener('abort', () => { this.loads.length = 0 })
        })
      } },
    })
  }

  leave(): void {
    this.subscription.unsubscribe()
    this.ended = true
  }
}

type Step = 'publish' | 'up' | 'down' | 'cut' | 'restart' | 'drop' | 'subscribe' | 'leave' | 'load' | 'fail' | 'time' | 'close' | 'connect' | 'slow'
const weights: Record<Step, number> = { publish: 12, up: 12, down: 20, cut: 3, restart: 1, drop: 2, subscribe: 3, leave: 1, load: 3, fail: 1, time: 8, close: 1, connect: 2, slow: 1 }
const step = fc.record({
  what: fc.oneof(...Object.entries(weights).map(([what, weight]) => ({ weight, arbitrary: fc.constant(what as Step) }))),
  n: fc.nat(15),
})

/** The same sequences each time, or as many new ones as the variable says. */
const runs = process.env['RUNS']

test('whatever happens, what a handle has not heard it has been told of', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }), fc.boolean(), async (steps, modern) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const server = new Server(), readers: Reader[] = []
    if (modern) server.version = 'model'
    const client = new Client('ws://model/', { transports: [server.transport], maxHeld: 4, window: 2, random: () => 0.5, onError: error => { if (!/^Error: load/.test(String(error))) errors.push(error) } })
    const errors: unknown[] = []
    const turn = async () => {
      await new Promise(setImmediate)
      if (errors.length) throw errors[0]
    }

    async function run(what: Step, n: number): Promise<void> {
      const channel = n % 2 ? 'h' : 'p', reader = readers[n % (readers.length || 1)]
      switch (what) {
        case 'publish': server.publish(channel); break
        case 'up': server.link?.obey(); break
        case 'down': server.link?.hear(); break
        case 'cut': server.link?.end(n % 3 ? 1006 : 1001); break
        case 'restart': server.restart(); break
        case 'drop': server.link?.drop(); break
        case 'subscribe': readers.push(new Reader(client, channel, server, n % 4 > 1, n)); break
        case 'leave': reader?.leave(); break
        case 'load': case 'fail': for (const r of readers) for (const settle of [...r.loads]) settle(what === 'fail'); break
        case 'time': vi.advanceTimersByTime(n * 400); break
        case 'slow': for (let i = 0; i < 411; i++) vi.advanceTimersByTime(100); break
        case 'close': client.close(); break
        case 'connect': client.connect(); break
      }
      await turn()
      const link = server.link
      if (link) {
        const waiting = [...link.up, ...link.down].filter(text => /"id":[1-9]/.test(text))
        expect(waiting.length, 'unanswered commands').toBeLessThanOrEqual(2)
      }
    }

    for (const { what, n } of steps) await run(what, n)
    // When all is quiet everybody has everything, or knows that it is missing.
    client.connect()
    const waiting = () => !server.link || server.link.up.length + server.link.down.length + readers.filter(r => !r.ended && r.subscription.state.state !== 'subscribed' || r.loads.length || !r.ended && r.failed).length
    for (let i = 0; i < 400 && waiting(); i++) {
      if (!server.link || i % 20 === 19) await run('time', 15)
      for (const what of ['up', 'down', 'down', 'load'] as const) await run(what, 0)
    }
    for (const c of ['h', 'p']) server.publish(c)
    for (let k = 0; k < 2; k++) await run('down', 0)
    for (const r of readers) {
      if (r.ended) continue
      expect(client.state.state).toBe('online')
      expect(r.subscription.state.state).toBe('subscribed')
      expect(r.last, 'the last event of ' + r.channel).toBe(server.top.get(r.channel))
    }
    client.close()
    await turn()
    expect(vi.getTimerCount(), 'timers after close').toBe(0)
  }), runs ? { numRuns: Number(runs) } : { numRuns: 300, seed: 1 })
  vi.useRealTimers()
}, 3600_000)
