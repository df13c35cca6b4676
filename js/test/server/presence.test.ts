import { expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Client, members, presence, webSocket } from '../../src/index.js'
import { stream } from '../../src/stream.js'
import { Rocket, rules } from '../rocket.js'

const until = (f: () => void) => vi.waitFor(f, { timeout: 30_000, interval: 10 })

async function start(): Promise<Rocket> {
  const rocket = await Rocket.start()
  onTestFinished(() => rocket.stop())
  return rocket
}

function connect(rocket: Rocket, transport = webSocket(WebSocket)): Client {
  const client = new Client(rocket.url, { transports: [transport], minDelay: 50, maxDelay: 200 })
  onTestFinished(() => client.close())
  return client
}

/** Who is there by the list, and by what was told of those who come and go. */
function watch(client: Client) {
  const told = new Set<string>()
  const p = presence(client, 'room:1', {
    onJoin(m) { expect(told.has(m.client!)).toBe(false); told.add(m.client!) },
    onLeave(m) { expect(told.delete(m.client!)).toBe(true) },
  })
  return { p, told }
}

const idOf = (client: Client) => client.state.state === 'online' ? client.state.client! : 'none'

test.each([['WebSocket', webSocket(WebSocket)], ['the stream', stream()]])('who comes and goes, through kill -9, by %s', async (_, transport) => {
  const rocket = await start()
  const clients = Array.from({ length: 5 }, () => connect(rocket, transport))
  const lists = clients.map(watch)
  const complete = (n: number) => until(() => {
    const ids = clients.slice(0, n).map(idOf).sort()
    for (const { p, told } of lists.slice(0, n)) {
      expect(p.list.complete).toBe(true)
      expect([p.list.clients, p.list.users]).toEqual([n, 0])
      expect(p.list.members.map(m => m.client!).sort()).toEqual(ids)
      expect([...told].sort()).toEqual(ids)
    }
  })
  await complete(5)
  lists[4]!.p.leave()
  await complete(4)
  clients[3]!.close()
  await complete(3)
  expect(lists[3]!.p.list.complete).toBe(false)
  const before = clients.slice(0, 3).map(idOf)
  await rocket.kill()
  await until(() => expect(lists[0]!.p.list.complete).toBe(false))
  await rocket.start()
  await complete(3)
  expect(clients.slice(0, 3).map(idOf)).not.toEqual(before)
})

test('a page of those who are there, and a channel without presence', async () => {
  const rocket = await start()
  const [a, b] = [connect(rocket), connect(rocket)]
  a.subscribe('room:1', {})
  await until(async () => expect((await members(b, 'room:1')).members).toMatchObject([{ client: idOf(a), at: 1 }]))
  expect(await members(b, 'room:1', { limit: 0 })).toMatchObject({ version: 1, clients: 1, users: 0, members: [] })
  await expect(members(b, 'news')).rejects.toMatchObject({ code: 'not_available' })
  const p = presence(b, 'news')
  await until(() => expect(p.list.error?.code).toBe('not_available'))
})

test('rules that end the presence of a channel: the list says so, and the subscription beside it goes on', async () => {
  const rocket = await start()
  const [a, b] = [connect(rocket), connect(rocket)]
  const lists = [presence(a, 'room:1'), presence(b, 'room:1')], ended: string[] = [], heard: unknown[] = []
  a.subscribe('room:1', { onPresenceEnd: reason => { ended.push(reason) }, onEvent: e => { heard.push(e.data) } })
  await until(() => expect(lists.map(p => p.list.complete && p.list.clients)).toEqual([2, 2]))
  await rocket.reload({ Hubs: [{ Path: '/', Rules: rules.slice(0, 1) }] })
  await until(() => expect(lists.map(p => p.list.error?.code)).toEqual(['not_available', 'not_available']))
  expect(ended).toEqual(['rule'])
  await fetch(`http://127.0.0.1:${rocket.port}/v1/publish/room:1`, { method: 'POST', body: '1' })
  await until(() => expect(heard).toEqual([1]))
})
