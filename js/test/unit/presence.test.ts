import { expect, test } from 'vitest'
import { presence, type Options, type PresenceHandlers } from '../../src/index.js'
import { dialogue, recorder } from './dialogue.js'

/** A client that keeps the list of r, and what it is told. */
function room(options: Options = {}, more: PresenceHandlers = {}) {
  const d = dialogue(options)
  const log: string[] = []
  const p = presence(d.client, 'r', {
    onJoin(m) { log.push(`+${m.client ?? m.user}`); more.onJoin?.(m) },
    onLeave(m) { log.push(`-${m.client ?? m.user}`); more.onLeave?.(m) },
    onChange(l) { log.push(`${l.members.map(m => m.client ?? m.user)} ${l.clients} ${l.complete ? 'complete' : l.error?.code ?? 'incomplete'}`); more.onChange?.(l) },
  })
  return { ...d, p, log, take: () => log.splice(0) }
}

const begin = `
  login
  > {"subscribe":{"channel":"r"},"id":1}
  < {"ok":true,"id":1}
  > {"subscribe":{"channel":"r","presence":true},"id":2}
  < {"ok":true,"id":2,"version":2,"clients":2,"users":0}
  > {"presence":{"channel":"r","after":0,"limit":1000},"id":3}
`
const page = '< {"ok":true,"id":3,"version":2,"clients":2,"users":0,"members":[{"client":"a","at":1},{"client":"b","at":2}],"more":false}'

test('the list, then what changes', async () => {
  const { p, play, take } = room()
  await play(begin)
  expect(take()).toEqual([])
  await play(page)
  expect(take()).toEqual(['a,b 2 complete', '+a', '+b'])
  await play('< {"presence":{"from":2,"version":3,"clients":3,"users":0,"joined":[{"client":"c","info":{"n":1},"at":3}]},"channel":"r"}')
  expect(p.list.members[2]).toEqual({ client: 'c', info: { n: 1 }, at: 3 })
  await play('< {"presence":{"from":3,"version":5,"clients":2,"users":0,"joined":[{"client":"c","info":{"n":2},"at":4}],"left":[{"client":"a","at":5}]},"channel":"r"}')
  expect(take()).toEqual(['a,b,c 3 complete', '+c', 'b,c 2 complete', '-a'])
  expect(p.list.members[1]!.info).toEqual({ n: 2 })
  p.leave()
  await play(`
    > {"unsubscribe":{"channel":"r"},"id":4}
    < {"presence":{"from":5,"version":6,"clients":3,"users":0,"joined":[{"client":"d","at":6}]},"channel":"r"}
  `)
  expect(take()).toEqual([])
  expect(p.list.complete).toBe(false)
})

test('what the notices say while the list is read counts by at', async () => {
  const { play, take } = room()
  await play(begin + `
    < {"presence":{"from":2,"version":4,"clients":2,"users":0,"joined":[{"client":"c","at":3}],"left":[{"client":"a","at":4}]},"channel":"r"}
    ${page}
  `)
  expect(take()).toEqual(['b,c 2 complete', '+b', '+c'])
  // What it says again, or says late, changes nothing.
  await play('< {"presence":{"from":1,"version":4,"clients":2,"users":0,"joined":[{"client":"a","at":1}],"left":[{"client":"c","at":2}]},"channel":"r"}')
  expect(take()).toEqual([])
})

test('page by page', async () => {
  const { play, take } = room()
  await play(begin + `
    < {"ok":true,"id":3,"version":2,"clients":2,"users":0,"members":[{"client":"a","at":1}],"more":true}
    > {"presence":{"channel":"r","after":1,"limit":1000},"id":4}
  `)
  expect(take()).toEqual([])
  await play('< {"ok":true,"id":4,"version":2,"clients":2,"users":0,"members":[{"client":"b","at":2}],"more":false}')
  expect(take()).toEqual(['a,b 2 complete', '+a', '+b'])
})

test('after a reconnect only differences are told', async () => {
  const { play, take } = room()
  await play(begin + page)
  take()
  await play('! 1006')
  expect(take()).toEqual(['a,b 2 incomplete'])
  await play(`
    +1s
    login
    > {"subscribe":{"channel":"r"},"id":4}
    < {"ok":true,"id":4}
    > {"subscribe":{"channel":"r","presence":true},"id":5}
    < {"ok":true,"id":5,"version":9,"clients":2,"users":0}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":6}
    < {"ok":true,"id":6,"version":9,"clients":2,"users":0,"members":[{"client":"b","at":2},{"client":"c","at":9}],"more":false}
  `)
  expect(take()).toEqual(['b,c 2 complete', '-a', '+c'])
})

test('a connection that ends while the list is asked for or read', async () => {
  const { play, take, errors } = room()
  await play(begin + `
    ! 1006
    +1s
    login
    > {"subscribe":{"channel":"r"},"id":4}
    < {"ok":true,"id":4}
    > {"subscribe":{"channel":"r","presence":true},"id":5}
    ! 1006
    +1s
    login
    > {"subscribe":{"channel":"r"},"id":6}
    < {"ok":true,"id":6}
    > {"subscribe":{"channel":"r","presence":true},"id":7}
    < {"ok":true,"id":7,"version":2,"clients":2,"users":0}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":8}
    ${page.replace('"id":3', '"id":8')}
  `)
  expect(take()).toEqual(['a,b 2 complete', '+a', '+b'])
  expect(errors).toEqual([])
})

test('a notice that was lost, and one with numbers alone, have the list read again', async () => {
  const { play, take } = room()
  await play(begin + page)
  take()
  await play(`
    < {"presence":{"from":5,"version":6,"clients":2,"users":0,"joined":[{"client":"f","at":6}]},"channel":"r"}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":4}
    < {"ok":true,"id":4,"version":6,"clients":2,"users":0,"members":[{"client":"b","at":2},{"client":"f","at":6}],"more":false}
  `)
  expect(take()).toEqual(['a,b 2 incomplete', 'b,f 2 complete', '-a', '+f'])
  await play(`
    < {"presence":{"from":6,"version":300,"clients":200,"users":0},"channel":"r"}
    +500ms
  `)
  expect(take()).toEqual(['b,f 200 incomplete'])
  await play(`
    +2s
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":5}
    < {"ok":true,"id":5,"version":300,"clients":1,"users":0,"members":[{"client":"f","at":6}],"more":false}
  `)
  expect(take()).toEqual(['f 1 complete', '-b'])
  await play(`
    < {"presence":{"from":300,"version":9000,"clients":5000,"users":0},"channel":"r"}
    +1s
    +10s
  `)
  expect(take()).toEqual(['f 5000 incomplete'])
})

test('a channel without presence, or without the right to see it', async () => {
  for (const [reply, code] of [['{"ok":true,"id":2}', 'not_available'], ['{"ok":true,"id":2,"version":1,"clients":1,"users":0}', 'access_denied']] as const) {
    const { play, take } = room()
    await play(`
      login
      > {"subscribe":{"channel":"r"},"id":1}
      < {"ok":true,"id":1}
      > {"subscribe":{"channel":"r","presence":true},"id":2}
      < ${reply}
      > {"presence":{"channel":"r","after":0,"limit":1000},"id":3}
      < {"err":"${code}","id":3}
      > {"unsubscribe":{"channel":"r"},"id":4}
    `)
    expect(take()).toEqual([` 0 ${code}`])
  }
  const { play, take } = room()
  await play(`
    login
    > {"subscribe":{"channel":"r"},"id":1}
    < {"err":"access_denied","id":1}
  `)
  expect(take()).toEqual([' 0 access_denied'])
})

test('a list that cannot be asked for or read now is later', async () => {
  const { play, take } = room({ commandTimeout: 5000 })
  await play(`
    login
    > {"subscribe":{"channel":"r"},"id":1}
    < {"ok":true,"id":1}
    > {"subscribe":{"channel":"r","presence":true},"id":2}
    +6s
    +2s
    > {"subscribe":{"channel":"r","presence":true},"id":3}
    < {"ok":true,"id":3,"version":2,"clients":2,"users":0}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":4}
    +6s
    +2s
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":5}
    ${page.replace('"id":3', '"id":5')}
  `)
  expect(take()).toEqual(['a,b 2 complete', '+a', '+b'])
})

test('beside a subscription: it goes on without a gap', async () => {
  const { client, play } = dialogue()
  const r = recorder(), names: unknown[] = []
  client.subscribe('r', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"r"},"id":1}
    < {"ok":true,"id":1,"epoch":"x","offset":3}
  `)
  const p = presence(client, 'r', { onJoin: m => names.push(m.user) })
  await play(`
    > {"subscribe":{"channel":"r","presence":true},"id":2}
    < {"event":"e","channel":"r","data":4,"offset":4}
    < {"ok":true,"id":2,"epoch":"x","offset":5,"version":7,"clients":1,"users":1}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":3}
    < {"event":"e","channel":"r","data":5,"offset":5}
    < {"ok":true,"id":3,"version":7,"clients":1,"users":1,"members":[{"user":"42","at":7}],"more":false}
  `)
  expect(r.log).toEqual(['subscribed', 'event 4', 'event 5'])
  expect(names).toEqual(['42'])
  p.leave()
  await play('< {"event":"e","channel":"r","data":6,"offset":6}')
  expect(r.log.at(-1)).toBe('event 6')
})

test('handlers that throw', async () => {
  const { play, take, errors } = room({}, { onJoin() { throw new Error('one') }, onChange() { throw new Error('two') } })
  await play(begin + page)
  expect(take()).toEqual(['a,b 2 complete', '+a', '+b'])
  expect(errors.map(String)).toEqual(['Error: two', 'Error: one', 'Error: one'])
})

test('a user and a client may have one name', async () => {
  const { p, play } = room()
  await play(begin + '< {"ok":true,"id":3,"version":2,"clients":2,"users":1,"members":[{"client":"a","at":1},{"user":"a","at":2}],"more":false}')
  expect(p.list.members.length).toBe(2)
})

test('a notice that was lost while the list is read has it read once more', async () => {
  const { play, take } = room()
  await play(begin + `
    < {"presence":{"from":5,"version":6,"clients":2,"users":0,"joined":[{"client":"f","at":6}]},"channel":"r"}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":4}
    < {"ok":true,"id":3,"version":2,"clients":2,"users":0,"members":[{"client":"a","at":1},{"client":"b","at":2}],"more":false}
    < {"ok":true,"id":4,"version":6,"clients":2,"users":0,"members":[{"client":"b","at":2},{"client":"f","at":6}],"more":false}
    +10s
  `)
  expect(take()).toEqual([' 0 incomplete', 'b,f 2 complete', '+b', '+f'])
})

test('nothing is called after leave, not even by the notice at hand', async () => {
  const { client, play } = dialogue()
  const log: string[] = []
  const first = presence(client, 'r', { onChange() { if (first.list.clients === 3) { second.leave(); log.push('leave') } } })
  const second = presence(client, 'r', { onChange: l => { log.push('second ' + l.clients) } })
  await play(`
    login
    > {"subscribe":{"channel":"r"},"id":1}
    < {"ok":true,"id":1}
    > {"subscribe":{"channel":"r","presence":true},"id":2}
    > {"subscribe":{"channel":"r","presence":true},"id":3}
    < {"ok":true,"id":2,"version":1,"clients":1,"users":0}
    < {"ok":true,"id":3,"version":1,"clients":1,"users":0}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":4}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":5}
    < {"ok":true,"id":4,"version":1,"clients":1,"users":0,"members":[{"client":"a","at":1}],"more":false}
    < {"ok":true,"id":5,"version":1,"clients":1,"users":0,"members":[{"client":"a","at":1}],"more":false}
    < {"presence":{"from":1,"version":3,"clients":3,"users":0,"joined":[{"client":"b","at":2},{"client":"c","at":3}]},"channel":"r"}
  `)
  expect(log).toEqual(['second 1', 'leave'])
})

test('a notice does not reach a handle that another one has ended', async () => {
  const { client, play } = dialogue()
  const log: unknown[] = []
  client.subscribe('r', { onPresence(n) { log.push(n); second.unsubscribe() } })
  const second = client.subscribe('r', { onPresence() { log.push('second') } })
  await play(`
    login
    > {"subscribe":{"channel":"r"},"id":1}
    < {"ok":true,"id":1}
    < {"presence":{"from":1,"version":2,"clients":3,"users":0},"channel":"r"}
  `)
  expect(log).toEqual([{ from: 1, version: 2, clients: 3, users: 0 }])
})

test('notices that have ended are asked for again, later, and the answer says why there is no list', async () => {
  const { play, take } = room()
  await play(begin + page)
  take()
  await play(`
    < {"presenceEnded":"rule","channel":"r"}
    +500ms
  `)
  expect(take()).toEqual(['a,b 2 incomplete'])
  await play(`
    +2s
    > {"subscribe":{"channel":"r","presence":true},"id":4}
    < {"ok":true,"id":4,"version":4,"clients":2,"users":0}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":5}
    < {"ok":true,"id":5,"version":4,"clients":2,"users":0,"members":[{"client":"b","at":2},{"client":"c","at":4}],"more":false}
  `)
  expect(take()).toEqual(['b,c 2 complete', '-a', '+c'])
  await play(`
    < {"presenceEnded":"access_denied","channel":"r"}
    +2s
    > {"subscribe":{"channel":"r","presence":true},"id":6}
    < {"ok":true,"id":6}
    > {"presence":{"channel":"r","after":0,"limit":1000},"id":7}
    < {"err":"access_denied","id":7}
    > {"unsubscribe":{"channel":"r"},"id":8}
  `)
  expect(take()).toEqual(['b,c 2 incomplete', 'b,c 2 access_denied'])
})

test('notices that end while the list is read, and before a reconnect', async () => {
  const { play, take } = room()
  await play(begin + `
    < {"presenceEnded":"rule","channel":"r"}
    ${page}
    ! 1006
    +5s
    login
    > {"subscribe":{"channel":"r"},"id":4}
    < {"ok":true,"id":4}
    > {"subscribe":{"channel":"r","presence":true},"id":5}
    +5s
  `)
  expect(take()).toEqual([' 0 incomplete'])
})

test('a subscription hears that its notices have ended, and stays', async () => {
  const { client, play } = dialogue()
  const log: unknown[] = []
  const r = recorder({ onPresence: () => { log.push('notice') }, onPresenceEnd: reason => { log.push(reason) } })
  client.subscribe('r', r.handlers)
  await play(`
    login
    > {"subscribe":{"channel":"r"},"id":1}
    < {"presenceEnded":"rule","channel":"r"}
    < {"ok":true,"id":1}
    < {"presenceEnded":"revoked","channel":"r"}
    < {"event":"e","channel":"r","data":1}
  `)
  expect(log).toEqual(['revoked'])
  expect(r.log).toEqual(['subscribed', 'event 1'])
})

test('nothing is called after leave, whichever handler has called it', async () => {
  for (const [cause, when, want, id = 4] of [
    [page, 'a,b 2 complete', []],
    [page, '+a', ['a,b 2 complete']],
    [page + '\n< {"presence":{"from":2,"version":300,"clients":200,"users":0},"channel":"r"}', 'a,b 200 incomplete', ['a,b 2 complete', '+a', '+b']],
    [page + '\n< {"presence":{"from":5,"version":6,"clients":2,"users":0,"joined":[]},"channel":"r"}', 'a,b 2 incomplete', ['a,b 2 complete', '+a', '+b'], 5],
    [page + '\n< {"presenceEnded":"rule","channel":"r"}', 'a,b 2 incomplete', ['a,b 2 complete', '+a', '+b']],
  ] as const) {
    const leave = () => { if (log.at(-1) === when) p.leave() }
    const { p, log, play } = room({}, { onChange: leave, onJoin: leave })
    await play(begin + cause + `
      > {"unsubscribe":{"channel":"r"},"id":${id}}
      +10s
    `)
    expect(log, when).toEqual([...want, when])
    expect(p.list.complete).toBe(false)
  }
})
