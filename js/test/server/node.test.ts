import { createHmac } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Client, webSocket, type Options, type State } from '../../src/index.js'
import { Rocket, rules } from '../rocket.js'

/** For tests that leave it as it is. */
let one: Promise<Rocket> | undefined
const shared = () => one ??= Rocket.start()
afterAll(async () => (await one)?.stop())

async function start(flags?: string[], config?: object): Promise<Rocket> {
  const rocket = await Rocket.start(flags, config)
  onTestFinished(() => rocket.stop())
  return rocket
}

function connect(rocket: Rocket, options: Options = {}): Client {
  const client = new Client(rocket.url, { transports: [webSocket(WebSocket)], minDelay: 100, maxDelay: 1000, ...options })
  onTestFinished(() => client.close())
  return client
}

const writer: Options = { access: 'read-write' }
const until = (f: () => void) => vi.waitFor(f, { timeout: 20_000, interval: 10 })
const is = (client: Client, state: State['state']) => until(() => expect(client.state.state).toBe(state))

/** Follows a channel of numbered events, and tells what is missing without a word and what came twice. */
function follow(client: Client, channel: string) {
  const seen = { last: 0, events: 0, holes: 0, repeats: 0, gaps: [] as string[], subscribed: 0 }
  let told = true
  client.subscribe<number>(channel, {
    onGap(g) { told = true; seen.gaps.push(g.reason) },
    onState(s) { if (s.state === 'subscribed') seen.subscribed++ },
    onEvent({ data }) {
      seen.events++
      if (data <= seen.last) seen.repeats++
      else if (data > seen.last + 1 && !told) seen.holes++
      seen.last = data
      told = false
    },
  })
  return seen
}

test('publish, subscribe, history', async () => {
  const rocket = await start()
  const publisher = connect(rocket, writer), reader = connect(rocket)
  const heard: unknown[] = []
  expect(await publisher.publish('news', 'e')).toEqual({ heard: false })
  await expect(reader.publish('news', 'e')).rejects.toMatchObject({ code: 'access_denied' })
  reader.subscribe('news', { onEvent: e => { heard.push(e.data, e.text) } })
  await until(async () => expect(await publisher.publish('news', 'e', { n: 1 })).toEqual({ heard: true }))
  await until(() => expect(heard).toEqual([{ n: 1 }, '{"n":1}']))
  expect(await publisher.publish('h:1', 'e', 1, { key: 'a' })).toEqual({ heard: true, offset: 1, duplicate: false })
  expect(await publisher.publish('h:1', 'e', 1, { key: 'a' })).toEqual({ heard: true, offset: 1, duplicate: true })
  const history = await reader.history('h:1')
  expect(history).toMatchObject({ events: [{ data: 1, offset: 1 }], position: { offset: 1 }, first: 1, more: false })
  await expect(reader.history('news')).rejects.toMatchObject({ code: 'not_available' })
})

test('what was missed while away comes before what is live, and a restart is told', async () => {
  const rocket = await start(['-reuse-port'])
  const publisher = connect(rocket, writer), reader = connect(rocket, { minDelay: 300 })
  const kept = follow(reader, 'h:1'), plain = follow(reader, 'p')
  await until(() => expect([kept.subscribed, plain.subscribed]).toEqual([1, 1]))
  let n = 0
  const publish = async () => {
    n++
    await Promise.all(['h:1', 'p'].map(c => publisher.publish(c, 'e', n)))
  }
  for (let i = 0; i < 20; i++) await publish()
  await until(() => expect(kept.last).toBe(20))
  await rocket.admin('disconnect', { hub: '/', channel: 'p', code: 4300 })
  for (let i = 0; i < 20; i++) await publish()
  await until(() => expect([kept.subscribed, plain.subscribed]).toEqual([2, 2]))
  await publish()
  await until(() => expect([kept.last, plain.last]).toEqual([n, n]))
  expect(kept).toMatchObject({ events: n, holes: 0, repeats: 0, gaps: [] })
  expect(plain).toMatchObject({ holes: 0, repeats: 0, gaps: ['reconnect'] })

  await rocket.kill()
  await rocket.start()
  await until(() => expect([kept.subscribed, plain.subscribed]).toEqual([3, 3]))
  await is(publisher, 'online')
  await publish()
  await until(() => expect([kept.last, plain.last]).toEqual([n, n]))
  expect(kept).toMatchObject({ holes: 0, repeats: 0, gaps: ['epoch'] })
  expect(plain).toMatchObject({ holes: 0, repeats: 0, gaps: ['reconnect', 'reconnect'] })

  const old = rocket.process
  await rocket.start()
  old.kill('SIGTERM')
  await until(() => expect([kept.subscribed, plain.subscribed]).toEqual([4, 4]))
  await until(() => expect(old.exitCode).toBe(0))
  await is(publisher, 'online')
  const before = n
  await until(async () => { // who came back to the old process while that left the port comes to the new one only now
    await publish()
    for (const one of [kept, plain]) expect(one.last).toBeGreaterThan(before)
  })
  expect(kept).toMatchObject({ holes: 0, repeats: 0 })
})

test.each([
  [1000, 'online'], [1001, 'online'], [1011, 'online'], [1013, 'online'], [3000, 'online'], [4001, 'online'], [4200, 'online'], [4300, 'online'],
  [1008, 'online'], [4401, 'online'], [4000, 'failed'], [4099, 'failed'],
] as const)('closed by the operator with %i: %s', async (code, then) => {
  const client = connect(await shared())
  const seen = follow(client, 'c' + code), states: string[] = []
  client.onState(s => { states.push(s.state) })
  await until(() => expect(seen.subscribed).toBe(1))
  await (await shared()).admin('disconnect', { hub: '/', channel: 'c' + code, code })
  // It may be back before anybody looks.
  await until(() => expect(states.some(s => s === 'waiting' || s === 'failed')).toBe(true))
  await is(client, then)
  if (then === 'online') await until(() => expect(seen.subscribed).toBe(2))
})

test('a rate of commands: 64 channels come one after another, and nothing is closed', async () => {
  const rocket = await start(['-command-rate', '20'])
  const client = connect(rocket)
  const states: string[] = []
  client.onState(s => states.push(s.state))
  const channels = Array.from({ length: 64 }, (_, i) => follow(client, 'c' + i))
  await until(() => expect(channels.every(c => c.subscribed === 1)).toBe(true))
  expect(states).toEqual(['connecting', 'online'])
})

test('a slow reader is told what is left out', async () => {
  const rocket = await start(['-max-queued-bytes', '262144'], { Hubs: [{ Path: '/', SlowReaders: 'drop-oldest', Rules: rules }] })
  const sockets: WebSocket[] = []
  class Kept extends WebSocket { constructor(url: string) { super(url); sockets.push(this) } }
  const reader = connect(rocket, { transports: [webSocket(Kept)] }), publisher = connect(rocket, { ...writer, window: 64 })
  const seen = follow(reader, 'c')
  await until(() => expect(seen.subscribed).toBe(1))
  sockets[0]!.pause()
  const padding = 'x'.repeat(60_000)
  reader.subscribe('padding', {})
  let n = 0
  for (let i = 0; i < 200; i++) await Promise.all([publisher.publish('c', 'e', ++n), publisher.publish('padding', 'e', padding)])
  sockets[0]!.resume()
  await until(async () => {
    await publisher.publish('c', 'e', ++n)
    expect(seen.last).toBeGreaterThan(200)
  })
  expect(sockets.length).toBe(1)
  expect(seen.gaps).toContain('dropped')
  expect(seen.holes).toBe(0)
})

test('tokens: rights, a user, a revocation, and a login that is refused', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'rocket-js-'))
  const secret = '0123456789abcdef0123456789abcdef'
  writeFileSync(join(directory, 'k1.secret'), secret)
  const rocket = await start([], { Hubs: [{ Path: '/', Tokens: { Audience: 'rocket', Keys: [{ Kid: 'k1', SecretFile: join(directory, 'k1.secret') }] } }] })
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const sign = (claims: object) => {
    const text = part({ alg: 'HS256', kid: 'k1' }) + '.' + part(claims)
    return text + '.' + createHmac('sha256', secret).update(text).digest('base64url')
  }
  const now = () => Math.floor(Date.now() / 1000)
  const calls: boolean[] = []
  let more: object = {}
  const client = connect(rocket, {
    token: ({ refused }) => {
      calls.push(refused)
      return sign({ aud: 'rocket', sub: '42', exp: now() + 600, jti: 't' + calls.length, ...more, rocket: { channels: { 'chat:*': ['subscribe', 'publish'] }, subscribe: ['user:42'] } })
    },
  })
  const chat = follow(client, 'chat:1'), forced = follow(client, 'user:42')
  await until(() => expect([chat.subscribed, forced.subscribed]).toEqual([1, 1]))
  expect(client.state).toMatchObject({ user: '42', client: expect.any(String) })
  await client.publish('chat:1', 'e', 1)
  await until(() => expect(chat.last).toBe(1))
  const denied: unknown[] = []
  client.subscribe('other', { onState: s => { denied.push(s) } })
  await until(() => expect(denied).toMatchObject([{ state: 'ended', error: { code: 'access_denied' } }]))
  expect(calls).toEqual([false, false])
  await client.refresh()
  await rocket.admin('revoke', { jti: 't3' })
  await until(() => expect(calls).toEqual([false, false, false, true]))
  await is(client, 'online')
  await until(() => expect(chat.subscribed).toBe(2))
  more = { exp: now() - 100 }
  await rocket.admin('revoke', { jti: 't4' })
  await is(client, 'failed')
  expect(calls.length).toBeLessThanOrEqual(5)
})

test('a secret that is changed by a reload ends the client with a reason', async () => {
  const config = (ReadOnly: string) => ({ Hubs: [{ Path: '/', Secrets: { ReadOnly, ReadWrite: 'rw' } }] })
  const rocket = await start([], config('r'))
  const client = connect(rocket, { secret: 'r' })
  client.connect()
  await is(client, 'online')
  await rocket.reload(config('other'))
  await is(client, 'failed')
  expect(client.state).toMatchObject({ why: { code: 'invalid_credentials' } })
})

test('a message that is too large fails alone', async () => {
  const rocket = await start(['-max-message-size', '2048'])
  const client = connect(rocket, { ...writer, maxMessageSize: 2048 })
  await expect(client.publish('c', 'e', 'x'.repeat(4000))).rejects.toMatchObject({ code: 'too_large' })
  await is(client, 'online')
})

test('1,000 clients come back from kill -9 spread', async () => {
  const rocket = await start()
  const clients = Array.from({ length: 1000 }, () => connect(rocket, { minDelay: 500, maxDelay: 30_000 }))
  const due = new Map<Client, number>(), planned: number[] = []
  let restarted = false
  for (const c of clients) {
    c.onState(s => {
      if (s.state === 'waiting') due.set(c, performance.now() + s.delay)
      if (s.state === 'online' && restarted) planned.push(due.get(c)!)
    })
    c.connect()
  }
  await until(() => expect(clients.every(c => c.state.state === 'online')).toBe(true))
  await rocket.kill()
  // The server is away for longer than the first wait of most of them.
  await until(() => expect(clients.filter(c => !due.has(c) || 'attempt' in c.state && c.state.attempt < 2).length).toBeLessThan(20))
  restarted = true
  await rocket.start()
  await until(() => expect(planned.length).toBe(1000))
  // A busy machine is late for some attempts, so that it counts when they were to be made.
  const fullest = Math.max(...planned.map(t => planned.filter(u => u >= t && u < t + 100).length))
  console.log(`1,000 clients came back within ${Math.round(Math.max(...planned) - Math.min(...planned))} ms; the fullest 100 ms had ${fullest}`)
  expect(fullest).toBeLessThanOrEqual(150)
})
