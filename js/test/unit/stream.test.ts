import { expect, test, vi } from 'vitest'
import type { Link } from '../../src/index.js'
import { stream } from '../../src/stream.js'
import { deferred } from './dialogue.js'

/** A stream with a fetch that is answered by the test. */
function open(url = 'ws://rocket.test/chat') {
  const log: string[] = [], posts: { body: string; answer: (r: Response) => void }[] = []
  let push!: (bytes: Uint8Array) => void, end!: () => void
  const get = deferred<Response>()
  const requests: string[] = []
  let signal!: AbortSignal
  const fetch = vi.fn(async (input: string, init: RequestInit) => {
    requests.push(`${init.method ?? 'GET'} ${input}`)
    signal = init.signal!
    if (!init.method) return get.promise
    const d = deferred<Response>()
    posts.push({ body: String(init.body), answer: d.resolve })
    return d.promise
  })
  const link: Link = stream(fetch as unknown as typeof globalThis.fetch)(url, {
    open: () => { log.push('open') }, message: t => { log.push(t) }, down: (...all) => { log.push(['down', ...all].join(' ').trim()) },
  })
  const turn = () => new Promise(setImmediate)
  return {
    link, log, posts, requests, turn, signal: () => signal,
    async accept() {
      get.resolve(new Response(new ReadableStream({ start(c) { push = b => c.enqueue(b); end = () => c.close() } })))
      await turn()
    },
    async refuse(status: number, text: string, headers = {}) {
      get.resolve(new Response(text, { status, headers }))
      await turn()
    },
    async hear(text: string, pieces = 1) {
      const bytes = new TextEncoder().encode(text)
      for (let i = 0; i < bytes.length; i += Math.ceil(bytes.length / pieces)) {
        push(bytes.slice(i, i + Math.ceil(bytes.length / pieces)))
        await turn()
      }
    },
    async end() { end(); await turn() },
  }
}

const hello = 'retry: 3000\nevent: open\ndata: {"session":"S"}\n\n'

test('it hears by one request and speaks by others, one at a time and in order', async () => {
  const s = open()
  await s.accept()
  await s.hear(hello)
  s.link.send('a')
  s.link.send('b')
  await s.turn()
  s.link.send('c')
  await s.turn()
  expect(s.posts.map(p => p.body)).toEqual(['{"session":"S","seq":1}\na\nb'])
  s.posts[0]!.answer(new Response('', { status: 202 }))
  await s.turn()
  expect(s.posts[1]!.body).toBe('{"session":"S","seq":2}\nc')
  for (let i = 0; i < 70; i++) s.link.send('x')
  s.posts[1]!.answer(new Response('', { status: 202 }))
  await s.turn()
  expect(s.posts[2]!.body.split('\n').length).toBe(65)
  expect(s.requests.slice(0, 2)).toEqual(['GET http://rocket.test/v1/stream?hub=%2Fchat', 'POST http://rocket.test/v1/commands'])
  await s.hear('id: c@E.1\ndata: {"ok":true}\n\n:\n\n')
  expect(s.log).toEqual(['open', '{"ok":true}'])
})

test('wherever it is cut, what it says is the same', async () => {
  for (const pieces of [1, 2, 3, 7, 40, 200]) {
    const s = open()
    await s.accept()
    await s.hear(hello + ':\n\ndata: {"event":"é",\ndata: "data":"😀"}\n\nevent: beat\ndata: {}\n\nevent: close\ndata: {"code":1001,"reason":"stop"}\n\ndata: late\n\n', pieces)
    expect(s.log, `${pieces} pieces`).toEqual(['open', '{"event":"é",\n"data":"😀"}', 'down 1001 stop'])
  }
})

test('what goes wrong ends the link once, with what the response says', async () => {
  const refused = open()
  await refused.refuse(503, 'full', { 'retry-after': '7' })
  expect(refused.log).toEqual(['down 503 full 7000'])

  const ended = open()
  await ended.accept()
  await ended.hear(hello)
  await ended.end()
  expect(ended.log).toEqual(['open', 'down 1006 the stream has ended'])

  const gone = open()
  await gone.accept()
  await gone.hear(hello)
  gone.link.send('a')
  await gone.turn()
  gone.posts[0]!.answer(new Response('{"err":"no_session"}', { status: 404 }))
  await gone.turn()
  gone.link.send('b')
  await gone.turn()
  expect(gone.log).toEqual(['open', 'down 404 {"err":"no_session"} 0'])
  expect(gone.signal().aborted).toBe(true)

  const closed = open()
  await closed.accept()
  closed.link.close()
  expect(closed.signal().aborted).toBe(true)
  expect(closed.log).toEqual([])
})
