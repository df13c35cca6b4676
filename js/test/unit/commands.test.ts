import { expect, test } from 'vitest'
import { dialogue, recorder } from './dialogue.js'

test('publish', async () => {
  const { client, play } = dialogue()
  const results = Promise.all([
    client.publish('c', 'e', { a: 1 }), client.publish('c', 'e'), client.publish('c', 'e', null, { key: 'k' }),
    client.publish('c', 'e').catch(e => e),
  ])
  await play(`
    login
    > {"publish":{"event":"e","channel":"c","data":{"a":1}},"id":1}
    > {"publish":{"event":"e","channel":"c"},"id":2}
    > {"publish":{"event":"e","channel":"c","data":null,"key":"k"},"id":3}
    > {"publish":{"event":"e","channel":"c"},"id":4}
    < {"ok":true,"id":1}
    < {"err":"invalid_channel","id":2}
    < {"ok":true,"id":3,"offset":7,"duplicate":true}
    < {"err":"access_denied","reason":"read-only","id":4}
  `)
  expect(await results).toEqual([
    { heard: true }, { heard: false }, { heard: true, offset: 7, duplicate: true },
    expect.objectContaining({ code: 'access_denied', message: 'read-only', maybeSent: false }),
  ])
})

test('no more than 8 commands are unanswered, and the client\'s own come first', async () => {
  const { client, play } = dialogue({ window: 2 })
  for (const c of ['a', 'b', 'c']) client.publish(c, 'e').catch(() => {})
  client.subscribe('s', {})
  await play(`
    login
    > {"subscribe":{"channel":"s"},"id":4}
    > {"publish":{"event":"e","channel":"a"},"id":1}
    < {"ok":true,"id":4}
    > {"publish":{"event":"e","channel":"b"},"id":2}
    < {"ok":true,"id":1}
    > {"publish":{"event":"e","channel":"c"},"id":3}
  `)
})

test('too many commands: a pause of 1 to 2 s; a publish fails, because it would overtake others', async () => {
  const { client, play } = dialogue({ window: 3 })
  const r = recorder()
  for (const c of ['a', 'b', 'c']) client.subscribe(c, r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"a"},"id":1}
    > {"subscribe":{"channel":"b"},"id":2}
    > {"subscribe":{"channel":"c"},"id":3}
    < {"ok":true,"id":1}
    < {"err":"rate_limited","id":2}
    < {"err":"rate_limited","id":3}
  `)
  const published = client.publish('c', 'e').catch(e => e.code)
  await play(`
    +1499ms
    +1ms
    > {"subscribe":{"channel":"b"},"id":2}
    > {"subscribe":{"channel":"c"},"id":3}
    > {"publish":{"event":"e","channel":"c"},"id":4}
    < {"ok":true,"id":2}
    < {"ok":true,"id":3}
    < {"err":"rate_limited","id":4}
  `)
  expect(await published).toBe('rate_limited')
  expect(r.log).toEqual(['subscribed', 'subscribed', 'subscribed'])
})

test('what is not wanted any more after the pause is not sent', async () => {
  const { client, play } = dialogue()
  const a = client.subscribe('a', {})
  client.subscribe('b', {})
  await play(`
    login
    > {"subscribe":{"channel":"a"},"id":1}
    > {"subscribe":{"channel":"b"},"id":2}
    < {"err":"rate_limited","id":1}
    < {"ok":true,"id":2}
  `)
  a.unsubscribe()
  await play('')
  const r = recorder()
  client.subscribe('a', r.handlers)
  await play(`
    +1500ms
    > {"subscribe":{"channel":"a"},"id":4}
    < {"ok":true,"id":4}
  `)
  expect(r.log).toEqual(['subscribed'])
})

test('without a connection a publish waits, in order, but not for ever', async () => {
  const { client, play } = dialogue()
  const one = client.publish('c', '1')
  const gone = client.publish('c', '2', null, { signal: AbortSignal.abort('why') }).catch(e => e)
  const stop = new AbortController()
  const stopped = client.publish('c', '3', null, { signal: stop.signal }).catch(e => e.name)
  client.publish('c', '4').catch(() => {})
  await play('dial\n! 1006')
  stop.abort()
  await play(`
    +250ms
    login
    > {"publish":{"event":"1","channel":"c"},"id":1}
    > {"publish":{"event":"4","channel":"c"},"id":4}
    < {"ok":true,"id":1}
    ! 1006
  `)
  expect(await one).toEqual({ heard: true })
  expect(await gone).toBe('why')
  expect(await stopped).toBe('AbortError')
  const late = client.publish('c', '5').catch(e => e)
  await play('+500ms\ndial\n+9.4s\n+100ms\n+50ms')
  expect(await late).toMatchObject({ code: 'offline', maybeSent: false })
})

test('sent and not answered: unknown, or once more with a key', async () => {
  const { client, play } = dialogue()
  const unknown = client.publish('c', '1').catch(e => e)
  const keyed = client.publish('c', '2', null, { key: 'k' })
  const history = client.history('c')
  const late = client.publish('c', '3', null, { key: 'l' }).catch(e => e)
  await play(`
    login
    > {"publish":{"event":"1","channel":"c"},"id":1}
    > {"publish":{"event":"2","channel":"c","data":null,"key":"k"},"id":2}
    > {"history":{"channel":"c"},"id":3}
    > {"publish":{"event":"3","channel":"c","data":null,"key":"l"},"id":4}
    ! 1006
  `)
  expect(await unknown).toMatchObject({ code: 'unknown_outcome', maybeSent: true })
  await play(`
    +250ms
    login
    > {"publish":{"event":"2","channel":"c","data":null,"key":"k"},"id":2}
    > {"history":{"channel":"c"},"id":3}
    > {"publish":{"event":"3","channel":"c","data":null,"key":"l"},"id":4}
    < {"ok":true,"id":2,"duplicate":true}
    < {"ok":true,"id":3,"epoch":"E","first":1,"top":0,"events":[],"more":false}
    +10s
    +50ms
  `)
  expect(await keyed).toEqual({ heard: true, duplicate: true })
  expect((await history).events).toEqual([])
  expect(await late).toMatchObject({ code: 'unknown_outcome', maybeSent: true })
  await play('! 1006\n+500ms\nlogin')
})

test('a command that is too long is not sent, and bytes are counted, not characters', async () => {
  const { client, play } = dialogue()
  const early = client.publish('c', 'e', 'x'.repeat(99)).catch(e => e.code)
  await play('dial\nopen\n> {"auth":{"access":"read-only","secret":""},"id":0}\n< {"ok":true,"maxMessageSize":100,"id":0}')
  expect(await early).toBe('too_large')
  await expect(client.publish('c', 'e', 'é'.repeat(30))).rejects.toMatchObject({ code: 'too_large' })
  client.publish('c', 'e', 'e'.repeat(30)).catch(() => {})
  await play('> {"publish":{"event":"e","channel":"c","data":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeee"},"id":3}')
})

test('more than maxPending commands cannot wait', async () => {
  const { client } = dialogue({ maxPending: 1 })
  client.publish('c', 'e').catch(() => {})
  await expect(client.publish('c', 'e')).rejects.toMatchObject({ code: 'overloaded' })
  client.close()
})

test('history', async () => {
  const { client, play } = dialogue()
  const page = client.history<string>('c', { since: { epoch: 'E', offset: 3 }, limit: 2 })
  const top = client.history('c', { limit: 0 })
  const gone = client.history('c', { until: { epoch: 'D', offset: 3 } }).catch(e => e)
  await play(`
    login
    > {"history":{"channel":"c","since":{"epoch":"E","offset":3},"limit":2},"id":1}
    > {"history":{"channel":"c","limit":0},"id":2}
    > {"history":{"channel":"c","until":{"epoch":"D","offset":3}},"id":3}
    < {"ok":true,"id":1,"epoch":"E","first":1,"top":9,"events":[{"event":"e","channel":"c","data":"x","offset":4}],"more":true}
    < {"ok":true,"id":2,"epoch":"E","first":1,"top":9,"events":[],"more":false}
    < {"err":"not_recovered","reason":"epoch","id":3,"epoch":"E","offset":9}
  `)
  expect(await page).toEqual({
    events: [{ event: 'e', channel: 'c', data: 'x', offset: 4 }], first: 1, more: true, position: { epoch: 'E', offset: 4 },
  })
  expect((await top).position).toEqual({ epoch: 'E', offset: 9 })
  expect(await gone).toMatchObject({ code: 'not_recovered', message: 'epoch' })
})
