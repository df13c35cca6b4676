import { expect, test } from 'vitest'
import { events } from '../../src/index.js'
import { deferred, dialogue, recorder } from './dialogue.js'

test('subscribe, events, unsubscribe', async () => {
  const { client, play } = dialogue()
  const r = recorder()
  const s = client.subscribe('c', r.handlers)
  expect(s.state).toEqual({ state: 'subscribing' })
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
    < {"event":"e","channel":"c","data":1}
    < {"event":"e","channel":"other","data":2}
  `)
  s.unsubscribe()
  await play(`
    > {"unsubscribe":{"channel":"c"},"id":2}
    < {"event":"e","channel":"c","data":3}
    < {"ok":true,"id":2}
  `)
  expect(r.log).toEqual(['subscribed', 'event 1', 'ended'])
})

test('many handles are one subscription', async () => {
  const { client, play } = dialogue()
  const a = recorder(), b = recorder(), late = recorder()
  const first = client.subscribe('c', a.handlers)
  client.subscribe('c', b.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
  `)
  const last = client.subscribe('c', late.handlers)
  first.unsubscribe()
  await play(`< {"event":"e","channel":"c","data":1}`)
  expect([a.log, b.log, late.log]).toEqual([['subscribed', 'ended'], ['subscribed', 'event 1'], ['subscribed', 'event 1']])
  last.unsubscribe()
  await play('')
})

test('a handle that comes in the turn in which the last one leaves keeps the subscription', async () => {
  const { client, play } = dialogue()
  const r = recorder()
  client.subscribe('c', recorder().handlers).unsubscribe()
  const mounted = client.subscribe('c', recorder().handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
  `)
  mounted.unsubscribe()
  client.subscribe('c', r.handlers)
  await play(`< {"event":"e","channel":"c","data":1}`)
  expect(r.log).toEqual(['subscribed', 'event 1'])
})

test('what the old subscription still sends does not reach a new one', async () => {
  const { client, play } = dialogue()
  const r = recorder()
  const old = client.subscribe('c', {})
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
  `)
  old.unsubscribe()
  await play(`> {"unsubscribe":{"channel":"c"},"id":2}`)
  client.subscribe('c', r.handlers)
  await play(`
    > {"subscribe":{"channel":"c"},"id":3}
    < {"event":"e","channel":"c","data":1}
    < {"ok":true,"id":2}
    < {"event":"e","channel":"c","data":2}
    < {"ok":true,"id":3}
    < {"event":"e","channel":"c","data":3}
  `)
  expect(r.log).toEqual(['subscribed', 'event 3'])
})

test('without a history a reconnect is a gap', async () => {
  const { client, play } = dialogue()
  const r = recorder()
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
    < {"event":"e","channel":"c","data":1}
    ! 1006
    +500ms
    login
    > {"subscribe":{"channel":"c"},"id":2}
    < {"ok":true,"id":2}
    < {"event":"e","channel":"c","data":2}
  `)
  expect(r.log).toEqual(['subscribed', 'event 1', 'subscribing', 'subscribed', 'gap reconnect', 'event 2'])
})

test('with a history a reconnect goes on where it was', async () => {
  const { client, play } = dialogue()
  const r = recorder()
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
    < {"event":"e","channel":"c","data":8,"offset":8}
    ! 1006
    +500ms
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"E","offset":8}},"id":2}
    < {"ok":true,"id":2,"epoch":"E","offset":8,"top":9,"recovered":true}
    < {"event":"e","channel":"c","data":9,"offset":9}
  `)
  expect(r.log).toEqual(['subscribed', 'event 8', 'subscribing', 'subscribed', 'event 9'])
})

test.each(['epoch', 'expired', 'ahead'])('a history that does not go back far enough is a gap: %s', async reason => {
  const { client, play } = dialogue()
  const gaps: unknown[] = []
  client.subscribe('c', { onGap: g => { gaps.push(g) } })
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
    ! 1006
    +500ms
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"E","offset":7}},"id":2}
    < {"ok":true,"id":2,"epoch":"F","offset":3,"recovered":false,"reason":"${reason}","lost":5}
    < {"event":"e","channel":"c","data":4,"offset":4}
    ! 1006
    +500ms
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"F","offset":4}},"id":3}
  `)
  expect(gaps).toEqual([{ channel: 'c', reason, missed: 5, since: { epoch: 'E', offset: 7 } }])
})

test('the server has left events out', async () => {
  const { client, play } = dialogue()
  const r = recorder()
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
    < {"lost":3,"channel":"c","offset":10}
    < {"event":"e","channel":"c","data":11,"offset":11}
    < {"lost":0,"channel":"c","offset":12,"epoch":"F"}
    ! 1006
    +500ms
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"F","offset":12}},"id":2}
  `)
  expect(r.log).toEqual(['subscribed', 'gap dropped 3', 'event 11', 'gap epoch', 'subscribing'])
})

test('load: events wait, and those that the state has are skipped', async () => {
  const { client, play } = dialogue()
  let state = deferred<number | void>()
  const r = recorder({ load: () => state.promise })
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
    < {"event":"e","channel":"c","data":8,"offset":8}
    < {"event":"e","channel":"c","data":9,"offset":9}
  `)
  expect(r.take()).toEqual(['subscribed', 'load first'])
  state.resolve(8)
  await play(`< {"event":"e","channel":"c","data":10,"offset":10}`)
  expect(r.take()).toEqual(['event 9', 'event 10'])
  state = deferred()
  await play(`
    < {"lost":0,"channel":"c","offset":12}
    < {"event":"e","channel":"c","data":13,"offset":13}
  `)
  expect(r.take()).toEqual(['gap dropped', 'load dropped'])
  state.resolve()
  await play('')
  expect(r.take()).toEqual(['event 13'])
})

test('load goes on over a reconnect in which nothing is missed, and begins anew over any other', async () => {
  const { client, play } = dialogue()
  const states = [deferred(), deferred()]
  const signals: AbortSignal[] = []
  const r = recorder({ load: ({ signal }) => { signals.push(signal); return states[signals.length - 1]!.promise } })
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
    < {"event":"e","channel":"c","data":8,"offset":8}
    ! 1006
    +500ms
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"E","offset":8}},"id":2}
    < {"ok":true,"id":2,"epoch":"E","offset":8,"recovered":true}
  `)
  expect(signals.map(s => s.aborted)).toEqual([false])
  await play(`
    ! 1006
    +500ms
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"E","offset":8}},"id":3}
    < {"ok":true,"id":3,"epoch":"F","offset":2,"recovered":false,"reason":"epoch"}
    < {"event":"e","channel":"c","data":3,"offset":3}
  `)
  expect(signals.map(s => s.aborted)).toEqual([true, false])
  states[0]!.resolve()
  states[1]!.resolve()
  await play('')
  expect(r.log.filter(l => l.startsWith('event'))).toEqual(['event 3'])
})

test('a load that fails is called again, later each time, and the first error is told', async () => {
  const { client, play, errors } = dialogue()
  let loads = 0
  const r = recorder({ async load() { if (++loads < 4) throw new Error('load ' + loads) } })
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
    < {"event":"e","channel":"c","data":1}
    +249ms
  `)
  expect(loads).toBe(1)
  await play('+1ms')
  expect(loads).toBe(2)
  await play('+500ms')
  expect(loads).toBe(3)
  expect(r.log).not.toContain('event 1')
  await play('+1s')
  expect(r.log.at(-1)).toBe('event 1')
  expect(String(errors)).toBe('Error: load 1')
})

test('more events than maxHeld while load is at work are a gap, and it is loaded anew', async () => {
  const { client, play } = dialogue({ maxHeld: 2 })
  const state = deferred()
  const r = recorder({ load: () => state.promise })
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
    < {"event":"e","channel":"c","data":1}
    < {"event":"e","channel":"c","data":2}
    < {"event":"e","channel":"c","data":3}
    < {"event":"e","channel":"c","data":4}
  `)
  state.resolve()
  await play('')
  expect(r.log).toEqual(['subscribed', 'load first', 'gap held 3', 'load held', 'event 4'])
})

test('a handle that comes later loads for itself', async () => {
  const { client, play } = dialogue()
  client.subscribe('c', {})
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1,"epoch":"E","offset":7}
  `)
  const online = recorder({ load: async () => {} })
  client.subscribe('c', online.handlers)
  await play('! 1006')
  expect(online.log).toEqual(['subscribed', 'load first', 'subscribing'])
  const offline = recorder({ load: async () => {} })
  client.subscribe('c', offline.handlers)
  await play(`
    +500ms
    login
    > {"subscribe":{"channel":"c","since":{"epoch":"E","offset":7}},"id":2}
    < {"ok":true,"id":2,"epoch":"E","offset":7,"recovered":true}
  `)
  expect(offline.log).toEqual(['subscribed', 'load first'])
})

test('a handler that throws takes nothing from the others', async () => {
  const { client, play, errors } = dialogue()
  const r = recorder()
  const fail = () => { throw new Error('mine') }
  client.onState(fail)
  client.subscribe('c', { onEvent: fail, onState: fail, onGap: fail })
  client.subscribe('c', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
    < {"lost":1,"channel":"c"}
    < {"event":"e","channel":"c","data":1}
    < {"event":"e","channel":"c","data":2}
  `)
  expect(r.log).toEqual(['subscribed', 'gap dropped 1', 'event 1', 'event 2'])
  expect(errors.length).toBe(6)
})

test('nothing is called after unsubscribe, wherever that is called', async () => {
  const { client, play, errors } = dialogue()
  const never = () => { throw new Error('called') }
  const inEvent = client.subscribe('c', { onEvent() { inEvent.unsubscribe(); other.unsubscribe() } })
  const other = client.subscribe('c', { onEvent: never })
  const inState = client.subscribe('d', { onState() { inState.unsubscribe() }, load: never, onEvent: never })
  const inGap = client.subscribe('e', { onGap() { inGap.unsubscribe() }, async load(g) { if (g.reason !== 'first') never() }, onEvent: never })
  const inLoad = client.subscribe('f', { async load() { inLoad.unsubscribe() }, onEvent: never })
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    > {"subscribe":{"channel":"d"},"id":2}
    > {"subscribe":{"channel":"e"},"id":3}
    > {"subscribe":{"channel":"f"},"id":4}
    < {"ok":true,"id":1}
    < {"ok":true,"id":2}
    > {"unsubscribe":{"channel":"d"},"id":5}
    < {"ok":true,"id":3}
    < {"ok":true,"id":4}
    > {"unsubscribe":{"channel":"f"},"id":6}
    < {"lost":1,"channel":"e"}
    > {"unsubscribe":{"channel":"e"},"id":7}
    < {"event":"e","channel":"c","data":1}
    > {"unsubscribe":{"channel":"c"},"id":8}
    < {"event":"e","channel":"d","data":1}
    < {"event":"e","channel":"e","data":1}
    < {"event":"e","channel":"f","data":1}
  `)
  expect(errors).toEqual([])
})

test('a channel that is denied gets one new token', async () => {
  const tokens: boolean[] = []
  const { client, play } = dialogue({ token: ({ refused }) => { tokens.push(refused); return 't' + tokens.length } })
  const r = recorder()
  client.subscribe('c', r.handlers)
  await play(`
    dial
    open
    > {"auth":{"token":"t1"},"id":0}
    < {"ok":true,"id":0}
    > {"subscribe":{"channel":"c"},"id":1}
    < {"err":"access_denied","id":1}
    > {"auth":{"token":"t2"},"id":2}
    < {"ok":true,"id":2}
    > {"subscribe":{"channel":"c"},"id":3}
    < {"err":"access_denied","id":3}
  `)
  expect(r.log).toEqual(['ended access_denied'])
  expect(tokens.length).toBe(2)
})

test('a channel that is refused ends its handles, and so does the server', async () => {
  const { client, play } = dialogue()
  const a = recorder(), b = recorder()
  client.subscribe('a', a.handlers)
  client.subscribe('b', b.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"a"},"id":1}
    > {"subscribe":{"channel":"b"},"id":2}
    < {"err":"limit_exceeded","id":1}
    < {"ok":true,"id":2}
    < {"unsubscribed":"revoked","channel":"b"}
    ! 1006
    +500ms
    login
  `)
  expect([a.log, b.log]).toEqual([['ended limit_exceeded'], ['subscribed', 'ended revoked']])
})

test('names of channels are no keys of objects', async () => {
  const { client, play } = dialogue()
  const logs = ['__proto__', 'constructor', 'toString'].map(name => {
    const r = recorder()
    client.subscribe(name, r.handlers)
    return r.log
  })
  await play(`
    login
    > {"subscribe":{"channel":"__proto__"},"id":1}
    > {"subscribe":{"channel":"constructor"},"id":2}
    > {"subscribe":{"channel":"toString"},"id":3}
    < {"ok":true,"id":1}
    < {"ok":true,"id":2}
    < {"ok":true,"id":3}
    < {"event":"__proto__","channel":"__proto__","data":1}
    < {"event":"e","channel":"constructor","data":2}
    < {"event":"e","channel":"hasOwnProperty","data":3}
  `)
  expect(logs).toEqual([['subscribed', 'event 1'], ['subscribed', 'event 2'], ['subscribed']])
})

test('text is the data byte for byte', async () => {
  const { client, play } = dialogue()
  const texts: unknown[] = []
  client.subscribe('c', { onEvent: e => { texts.push(e.text, e.data) } })
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
    < {"event":"a,\\",\\"data\\":","channel":"c","data":{"n": 12345678901234567890, "offset":1}}
    < {"event":"e","channel":"c","data":[1 ,"\\",\\"offset\\":"],"offset":9}
    < {"event":"e","channel":"c","offset":10}
  `)
  expect(texts).toEqual([
    '{"n": 12345678901234567890, "offset":1}', { n: 12345678901234567000, offset: 1 },
    '[1 ,"\\",\\"offset\\":"]', [1, '","offset":'],
    '', undefined,
  ])
})

test('events: a loop over events and gaps', async () => {
  const { client, play, flush } = dialogue()
  const heard: unknown[] = []
  const stop = new AbortController()
  const loop = (async () => {
    for await (const e of events<number>(client, 'c', { buffer: 2, signal: stop.signal })) heard.push('reason' in e ? `${e.reason} ${e.missed}` : e.data)
    heard.push('end')
  })()
  await play(`
    login
    > {"subscribe":{"channel":"c"},"id":1}
    < {"ok":true,"id":1}
    < {"event":"e","channel":"c","data":1}
    < {"lost":5,"channel":"c"}
  `)
  expect(heard).toEqual([1, 'dropped 5'])
  stop.abort()
  await play(`> {"unsubscribe":{"channel":"c"},"id":2}`)
  await loop
  expect(heard.at(-1)).toBe('end')

  const slow = events<number>(client, 'd', { buffer: 2 })
  const first = slow.next()
  await play(`
    > {"subscribe":{"channel":"d"},"id":3}
    < {"ok":true,"id":3}
    < {"event":"e","channel":"d","data":1}
    < {"event":"e","channel":"d","data":2}
    < {"event":"e","channel":"d","data":3}
    < {"event":"e","channel":"d","data":4}
    < {"event":"e","channel":"d","data":5}
  `)
  expect((await first).value).toMatchObject({ data: 1 })
  expect((await slow.next()).value).toEqual({ channel: 'd', reason: 'held', missed: 3 })
  expect((await slow.next()).value).toMatchObject({ data: 5 })
  await slow.return()
  await flush()
  await play(`> {"unsubscribe":{"channel":"d"},"id":4}`)

  const refused = events(client, 'x').next().catch(error => error.code)
  await play(`
    > {"subscribe":{"channel":"x"},"id":5}
    < {"err":"access_denied","id":5}
  `)
  expect(await refused).toBe('access_denied')
})

test('a server that says its version is asked for many channels at once', async () => {
  const { client, play } = dialogue()
  const a = recorder(), b = recorder(), c = recorder()
  client.subscribe('a', a.handlers)
  const gone = client.subscribe('b', b.handlers)
  client.subscribe('c', c.handlers)
  await play(`
    dial
    open
    > {"auth":{"access":"read-only","secret":""},"id":0}
    < {"ok":true,"version":"0.3.0","pingInterval":25,"maxMessageSize":65536,"id":0}
    > {"subscribe":{"channels":[{"channel":"a"},{"channel":"b"},{"channel":"c"}]},"id":1}
  `)
  gone.unsubscribe()
  await play(`
    > {"unsubscribe":{"channel":"b"},"id":2}
    < {"ok":true,"id":1,"results":[{"ok":true,"channel":"a","epoch":"E","offset":7},{"ok":true,"channel":"b"},{"err":"access_denied","channel":"c"}]}
    < {"ok":true,"id":2}
    ! 1006
  `)
  client.subscribe('d', {})
  for (let i = 0; i < 50; i++) client.subscribe('x' + i, {})
  const names = Array.from({ length: 48 }, (_, i) => `{"channel":"x${i}"}`).join(',')
  await play(`
    +250ms
    dial
    open
    > {"auth":{"access":"read-only","secret":""},"id":0}
    < {"ok":true,"version":"0.3.0","id":0}
    > {"subscribe":{"channels":[{"channel":"a","since":{"epoch":"E","offset":7}},{"channel":"d"},${names}]},"id":3}
    > {"subscribe":{"channels":[{"channel":"x48"},{"channel":"x49"}]},"id":4}
    # The connection is about to be closed: the results end early.
    < {"ok":true,"id":3,"results":[{"ok":true,"channel":"a","epoch":"E","offset":7,"recovered":true}]}
    < {"err":"invalid_data","id":4}
  `)
  expect([a.log, b.log, c.log]).toEqual([['subscribed', 'subscribing', 'subscribed'], ['ended'], ['ended access_denied']])
})
