import { expect, test, vi } from 'vitest'
import { Client, RocketError, type State } from '../../src/index.js'
import { backoff } from '../../src/timers.js'
import { deferred, dialogue, fakeTransport, recorder } from './dialogue.js'

test('the constructor opens nothing, and the first use connects', async () => {
  const { client, play } = dialogue()
  await play('+1s\nstate idle')
  client.subscribe('c', {})
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    state online
  `)
})

test('a client that is closed in the same turn opens nothing', async () => {
  const { client, play } = dialogue()
  client.connect()
  client.close()
  client.connect()
  client.connect()
  await play('dial')
})

test('after close only connect opens, and subscriptions go on', async () => {
  const { client, play, links } = dialogue()
  const r = recorder()
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
  `)
  client.close()
  client.subscribe('d', {}).unsubscribe()
  await expect(client.publish('c', 'e')).rejects.toMatchObject({ code: 'closed', maybeSent: false })
  expect(links[0]!.closed).toBe(true)
  await play('+1000s\nstate idle')
  client.connect()
  await play(`
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"E","offset":7}},"id":2}
    < {"ok":true,"id":2,"epoch":"E","offset":7,"recovered":true}
  `)
  expect(r.log).toEqual(['subscribed', 'subscribing', 'subscribed'])
})

test('a load that close has cut off is made up for', async () => {
  const { client, play } = dialogue()
  const r = recorder({ load: () => new Promise(() => {}) })
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
    < {"event":"e","channel":"c","data":8,"offset":8}
  `)
  client.close()
  client.connect()
  await play(`
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"E","offset":8}},"id":2}
    < {"ok":true,"id":2,"epoch":"E","offset":8,"recovered":true}
  `)
  expect(r.log).toEqual(['subscribed', 'load first', 'subscribing', 'subscribed', 'load first'])
})

test('waits grow, are random from 0, and begin anew after 10 s online', async () => {
  let share = 1
  const { client, play } = dialogue({ random: () => share })
  const delays: number[] = []
  client.onState(s => { if (s.state === 'waiting') delays.push(s.delay) })
  const expected = [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
  client.connect()
  await play(expected.map(delay => `dial\n! 1006\n+${delay - 1}ms\n+1ms\n`).join('') + 'dial')
  expect(delays).toEqual(expected)
  share = 0
  await play('! 1006\nlogin')
  expect(delays.at(-1)).toBe(0)
  share = 1
  await play('+9s\n! 1006\n+30s\nlogin\n+10s\n! 1006')
  expect(delays.slice(-2)).toEqual([30000, 500])
})

test('waits are spread evenly', () => {
  const draws = 100_000, tenths = new Array<number>(10).fill(0)
  for (let i = 0; i < draws; i++) tenths[Math.floor(backoff(3, { minDelay: 100, maxDelay: 10_000, random: Math.random }) / 80)]!++
  for (const n of tenths) expect(Math.abs(n - draws / 10)).toBeLessThan(600) // 6 standard deviations
})

test.each([
  [1000, 250], [1005, 250], [1006, 250], [1014, 250], [1015, 250], [3000, 250], [4300, 250], [4408, 250], [4999, 250],
  [1009, 1250], [1011, 1250], [1013, 1250], [4100, 1250], [4429, 1250],
])('close code %i: again after %i ms, and later each time', async (code, delay) => {
  const { client, play } = dialogue()
  client.connect()
  await play(`login\n! ${code}\n+${delay - 1}ms\n+1ms\nlogin\n! ${code}\n+${delay + 249}ms\n+1ms\ndial`)
})

test.each([1001, 1012, 4001, 4200])('close code %i: again soon, because the server spreads its clients', async code => {
  const { client, play } = dialogue()
  client.connect()
  await play(`login\n! ${code}\n+250ms\nlogin\n! ${code}\n+250ms\ndial`)
})

test.each([1002, 1003, 1007, 1010, 4000, 4099, 403, 426, 505])('close code %i: given up, until connect', async code => {
  const { client, play } = dialogue()
  client.connect()
  await play(`login\n! ${code} mend this\n+1000s\nstate failed`)
  expect((client.state as { why: RocketError }).why).toMatchObject({
    code: 'disconnected', closeCode: code, message: `closed with ${code}: mend this`,
  })
  await expect(client.publish('c', 'e')).rejects.toMatchObject({ code: 'closed' })
  client.connect()
  await play('login\nstate online')
})

test.each([1008, 4401, 401])('close code %i: a new token, once in a minute', async code => {
  const tokens: boolean[] = []
  const { client, play } = dialogue({ pingInterval: Infinity, token: ({ refused }) => { tokens.push(refused); return 't' } })
  const login = 'dial\nopen\n> {"auth":{"token":"t"},"id":0}\n< {"ok":true,"id":0}'
  client.connect()
  await play(`${login}\n! ${code}\n+250ms\n${login}\n+60s`)
  expect(tokens).toEqual([false, true])
  await play(`! ${code}\n+250ms\n${login}\n! ${code}\nstate failed`)
  expect(tokens).toEqual([false, true, true])
})

test('a token that is refused is replaced once, a secret never', async () => {
  const tokens: boolean[] = []
  const { client, play } = dialogue({ token: ({ refused }) => { tokens.push(refused); return 't' } })
  client.connect()
  await play(`
    dial
    open
    > {"auth":{"token":"t"},"id":0}
    < {"err":"token_expired","id":0}
    +250ms
    dial
    open
    > {"auth":{"token":"t"},"id":0}
    < {"err":"invalid_credentials","reason":"no","id":0}
    state failed
  `)
  expect(tokens).toEqual([false, true])
  expect((client.state as { why: RocketError }).why).toMatchObject({ code: 'invalid_credentials', message: 'no' })

  const fixed = dialogue({ secret: 's', access: 'read-write' })
  fixed.client.connect()
  await fixed.play(`
    dial
    open
    > {"auth":{"access":"read-write","secret":"s"},"id":0}
    < {"err":"invalid_credentials","id":0}
    state failed
  `)
})

test('a token that cannot be verified yet is tried again', async () => {
  const { client, play } = dialogue({ token: 't' })
  client.connect()
  await play(`
    dial
    open
    > {"auth":{"token":"t"},"id":0}
    < {"err":"unavailable","id":0}
    +250ms
    dial
  `)
})

test('the token callback: one call at a time, that is aborted with its connection', async () => {
  const calls: { token: ReturnType<typeof deferred<string>>; signal: AbortSignal }[] = []
  const { client, play, links } = dialogue({
    token: ({ signal }) => {
      const token = deferred<string>()
      calls.push({ token, signal })
      return token.promise
    },
  })
  client.connect()
  await play('state connecting')
  client.close()
  client.connect()
  await play('')
  expect(calls.map(c => c.signal.aborted)).toEqual([true, false])
  calls[0]!.token.resolve('old')
  await play('')
  expect(links.length).toBe(0)
  calls[1]!.token.resolve('new')
  await play('dial\nopen\n> {"auth":{"token":"new"},"id":0}')
})

test('a token callback that throws, or does not return, is called again later; access_denied is final', async () => {
  let answer: () => string | Promise<string> = () => { throw new Error('no backend') }
  let calls = 0
  const { client, play, errors } = dialogue({ token: () => { calls++; return answer() } })
  client.connect()
  await play('state waiting')
  expect(client.state).toMatchObject({ why: { code: 'token', message: 'Error: no backend' } })
  expect(String(errors)).toBe('Error: no backend')
  answer = () => new Promise(() => {})
  await play('+250ms\n+10.1s\nstate waiting')
  expect(calls).toBe(2)
  answer = () => { throw new RocketError('access_denied', 'signed out') }
  await play('+1s\nstate failed')
  expect(client.state).toMatchObject({ why: { code: 'access_denied' } })
})

test('the server asks for a new token, and gets it on the same connection', async () => {
  let n = 0, broken = false
  const { client, play, errors } = dialogue({
    token: () => {
      n++
      if (broken) throw new Error('no backend')
      return 't' + n
    },
  })
  client.connect()
  await play(`
    dial
    open
    > {"auth":{"token":"t1"},"id":0}
    < {"ok":true,"client":"abc","user":"42","expires":3600,"id":0}
    < {"expires":90}
    > {"auth":{"token":"t2"},"id":1}
    < {"ok":true,"client":"abc","user":"42","expires":3600,"id":1}
  `)
  expect(client.state).toEqual({ state: 'online', transport: 'fake', client: 'abc', user: '42' })
  broken = true
  await play('< {"expires":90}\n+1250ms\n+1500ms')
  expect(n).toBe(5)
  expect(errors.length).toBe(1)
  broken = false
  await play('+2s\n> {"auth":{"token":"t6"},"id":2}\n< {"ok":true,"id":2}\nstate online')
})

test('refresh logs in anew; a user that has changed gets a new connection', async () => {
  let n = 0
  const { client, play } = dialogue({ token: () => 't' + ++n })
  await client.refresh()
  client.connect()
  await play('dial\nopen\n> {"auth":{"token":"t1"},"id":0}\n< {"ok":true,"id":0}')
  const both = Promise.all([client.refresh(), client.refresh()])
  await play('> {"auth":{"token":"t2"},"id":1}\n< {"ok":true,"id":1}')
  await both
  const other = client.refresh().catch(error => error.code)
  await play('> {"auth":{"token":"t3"},"id":2}\n< {"err":"access_denied","id":2}\n+250ms\ndial\nopen\n> {"auth":{"token":"t4"},"id":0}')
  expect(await other).toBe('access_denied')
})

test('a connection that is not logged in within 10 s is given up', async () => {
  const { client, play } = dialogue()
  client.connect()
  await play('dial\n+10s\n+50ms\nstate waiting\n+250ms\ndial\nopen\n> {"auth":{"access":"read-only","secret":""},"id":0}\n+10s\n+50ms\nstate waiting')
})

test('silence is broken by a ping, and no answer ends the connection', async () => {
  const { client, play } = dialogue()
  client.connect()
  await play(`
    login
    +20s
    < {"event":"e","channel":"c"}
    +29s
    +1s
    > {"ping":true}
    +9s
    < {"err":"invalid_data","reason":"an older server"}
    +1050ms
    +28.9s
    +60ms
    > {"ping":true}
    +10s
    +50ms
    state waiting
  `)
  expect(client.state).toMatchObject({ why: { code: 'timeout' } })
})

test('a pong timer that is late gives a second to what has arrived', async () => {
  const { client, play } = dialogue()
  client.connect()
  await play('login\n+30s\n> {"ping":true}')
  // Asleep: the clock goes on, timers do not.
  const now = performance.now
  vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 60_000)
  await play('+10s\n+999ms\nstate online\n< {"ok":true}\n+2ms\nstate online')
  vi.restoreAllMocks()
})

test('nothing of a link that is gone is heard', async () => {
  const { client, play, links } = dialogue()
  const r = recorder()
  client.subscribe('c', r.handlers)
  await play('login\n> {"subscribe":{"channel":"c"},"id":1}\n< {"ok":true,"id":1}\n! 1006\n+250ms\ndial')
  const old = links[0]!
  old.on.message('{"event":"e","channel":"c","data":1}')
  old.on.message('{"err":"invalid_credentials","id":0}')
  old.on.down(4000, '')
  await play('state connecting')
  old.on.open()
  expect(r.log).toEqual(['subscribed', 'subscribing'])
})

test('what is no message of the protocol is ignored', async () => {
  const { client, play } = dialogue()
  client.connect()
  await play('login\n< hello\n< null\n< 5\n< []\n< {}\n< {"pong":true}\n< {"event":"e"}\nstate online')
})

test('each state is a new object, and its listeners can go', async () => {
  const { client, play } = dialogue()
  const states: State[] = []
  const stop = client.onState(s => { states.push(s) })
  client.connect()
  await play('login\n! 1006 x')
  stop()
  await play('+250ms\ndial')
  expect(states.map(s => s.state)).toEqual(['connecting', 'online', 'waiting'])
  expect(new Set(states).size).toBe(3)
  expect(states[2]).toMatchObject({ attempt: 1, delay: 250, why: { code: 'disconnected', closeCode: 1006, message: 'closed with 1006: x' } })
})

test('a handler may close and connect at any time', async () => {
  const { client, play } = dialogue()
  const off = client.onState(s => { if (s.state === 'connecting') client.close() })
  client.connect()
  await play('+10s\nstate idle')
  off()
  const s = client.subscribe('c', { onState(s) { if (s.state === 'subscribing') client.close() } })
  client.connect()
  await play('login\n> {"subscribe":{"channel":"c"},"id":1}\n< {"ok":true,"id":1}\n! 1006\n+100s\nstate idle')
  s.unsubscribe()
  const again = client.onState(s => { if (s.state === 'failed') client.connect() })
  client.connect()
  await play('dial\n! 4000\ndial')
  again()
})

test('the url may be a function', async () => {
  let n = 0
  const { links, transport } = fakeTransport()
  const client = new Client(async () => { if (n++) throw new Error('no url'); return 'ws://a/' }, { transports: [transport], onError() {} })
  client.connect()
  await vi.waitFor(() => expect(links[0]?.url).toBe('ws://a/'))
  links[0]!.on.down(1006, '')
  await vi.waitFor(() => expect(client.state).toMatchObject({ state: 'waiting', why: { code: 'token' } }), { timeout: 5000 })
  client.close()
})

test('a transport that cannot be', async () => {
  vi.stubGlobal('WebSocket', undefined)
  const client = new Client('ws://rocket.test/')
  client.connect()
  await vi.waitFor(() => expect(client.state).toMatchObject({ state: 'failed', why: { code: 'unsupported' } }))
  vi.unstubAllGlobals()
})

test('the fallback: at once where the first transport never opens, and the first one again the next time', async () => {
  const first = fakeTransport('first'), second = fakeTransport('second')
  const { client, flush, play } = dialogue({ transports: [first.transport, second.transport] })
  client.connect()
  await flush()
  first.links[0]!.on.down(1006, '')
  await flush()
  const link = second.links[0]!
  link.on.open()
  link.on.message('{"ok":true,"id":0}')
  expect(client.state).toEqual({ state: 'online', transport: 'second' })
  link.on.down(1006, '')
  await play('+500ms')
  expect([first.links.length, second.links.length]).toEqual([2, 1])
  first.links[1]!.on.open()
  first.links[1]!.on.message('{"ok":true,"id":0}')
  expect(client.state).toEqual({ state: 'online', transport: 'first' })
})

test('the fallback: not where the first transport has opened, but the third time that it ends before the login', async () => {
  const first = fakeTransport('first'), second = fakeTransport('second')
  const { client, play } = dialogue({ transports: [first.transport, second.transport] })
  client.connect()
  for (const expected of [0, 0, 1]) {
    await play('+10s')
    first.links.at(-1)!.on.open()
    first.links.at(-1)!.on.down(1006, '')
    await play('')
    expect(second.links.length).toBe(expected)
  }
  second.links[0]!.on.down(503, '', 7000)
  expect(client.state).toMatchObject({ state: 'waiting', delay: 7000 + 1000 })
})

test('the page: online, visible and resume cut the wait short and probe, out of the back/forward cache the connection is dead', async () => {
  const window = new EventTarget(), document = Object.assign(new EventTarget(), { visibilityState: 'visible' })
  vi.stubGlobal('addEventListener', window.addEventListener.bind(window))
  vi.stubGlobal('document', document)
  const fire = (name: string, more: object = {}) => {
    for (const target of [window, document]) target.dispatchEvent(Object.assign(new Event(name), more))
  }
  const { client, play } = dialogue({ minDelay: 1000 })
  fire('online')
  client.connect()
  await play('dial\n! 1006\n+500ms\ndial\n! 1006\n+1s\ndial\n! 1006\nstate waiting')
  expect(client.state).toMatchObject({ delay: 2000 })
  fire('online')
  expect(client.state).toMatchObject({ delay: 500, attempt: 3 })
  await play('+500ms\nlogin')
  for (const name of ['online', 'visibilitychange', 'resume']) {
    fire(name)
    await play('> {"ping":true}\n+1s\n< {"ok":true}\n+3050ms\nstate online')
  }
  document.visibilityState = 'hidden'
  fire('visibilitychange')
  fire('pageshow', { persisted: false })
  await play('+5s\nstate online')
  fire('pageshow', { persisted: true })
  await play('+500ms\nlogin')
  document.visibilityState = 'visible'
  fire('visibilitychange')
  await play('> {"ping":true}\n+4050ms\nstate waiting')
  client.close()
  fire('online')
  fire('pageshow', { persisted: true })
  await play('+10s\nstate idle')
  vi.unstubAllGlobals()
})

test('after close there is no timer', async () => {
  const { client, play } = dialogue()
  client.subscribe('c', { load: () => Promise.reject(new Error('no')) })
  client.publish('c', 'e').catch(() => {})
  await play('login\n> {"subscribe":{"channel":"c"},"id":2}\n> {"publish":{"event":"e","channel":"c"},"id":1}\n< {"ok":true,"id":2}\n< {"err":"rate_limited","id":1}')
  expect(vi.getTimerCount()).toBeGreaterThan(0)
  client.close()
  await play('')
  expect(vi.getTimerCount()).toBe(0)
})
