import { expect, onTestFinished, vi } from 'vitest'
import { Client, type LinkEvents, type Options, type Transport, type Handlers } from '../../src/index.js'

export type FakeLink = { url: string; on: LinkEvents; sent: string[]; closed: boolean }

/** A transport that goes nowhere, and remembers its links. */
export function fakeTransport(name = 'fake') {
  const links: FakeLink[] = []
  const transport: Transport = (url, on) => {
    const link: FakeLink = { url, on, sent: [], closed: false }
    links.push(link)
    return { name, send: text => { link.sent.push(text) }, close: () => { link.closed = true } }
  }
  return { links, transport }
}

/**
 * A client with a fake transport and fake time. play runs a dialogue, line by line:
 *
 *     dial                      the client opens a link, and closes the one before
 *     open                      it is open
 *     login                     dial, open, the auth command and its ok
 *     > {"ping":true}           the client sends this next
 *     < {"ok":true,"id":1}      the server sends this
 *     ! 1006 reason             the link ends
 *     +30s  +500ms              time passes
 *     state online              the state of the client
 *     # a remark
 *
 * At the end of a dialogue nothing has been sent that is not in it.
 */
export function dialogue(options: Options = {}, url = 'ws://rocket.test/') {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
  onTestFinished(() => { vi.useRealTimers() })
  const { links, transport } = fakeTransport()
  const errors: unknown[] = []
  const client = new Client(url, { transports: [transport], random: () => 0.5, onError: e => { errors.push(e) }, ...options })
  let dialed = 0
  const link = () => links[dialed - 1]!
  const flush = () => vi.advanceTimersByTimeAsync(0)

  async function line(text: string) {
    const [word = '', rest = ''] = [text.split(' ', 1)[0], text.slice(text.indexOf(' ') + 1)]
    if (word.startsWith('+')) {
      const [, number, unit] = /^\+([\d.]+)(m?s)$/.exec(word)!
      await vi.advanceTimersByTimeAsync(Number(number) * (unit === 's' ? 1000 : 1))
      return
    }
    switch (word) {
      case 'dial':
        expect(links.length, 'links that were opened').toBe(dialed + 1)
        expect(links.slice(0, dialed).every(l => l.closed), 'the links before are closed').toBe(true)
        dialed++
        break
      case 'open': link().on.open(); break
      case 'login':
        for (const step of ['dial', 'open', '> {"auth":{"access":"read-only","secret":""},"id":0}', '< {"ok":true,"id":0}']) await line(step)
        break
      case '>': expect(link().sent.shift(), 'what the client sends').toBe(rest); break
      case '<': link().on.message(rest); break
      case '!': link().on.down(Number(rest.split(' ')[0]), rest.split(' ').slice(1).join(' ')); break
      case 'state': expect(client.state.state).toBe(rest); break
      default: throw new Error('no such line: ' + text)
    }
    await flush()
  }

  return {
    client, links, errors, flush,
    async play(script: string) {
      await flush()
      for (const text of script.split('\n').map(l => l.trim())) {
        if (!text || text.startsWith('#')) continue
        try {
          await line(text)
        } catch (error) {
          (error as Error).message += `\nin the line: ${text}`
          throw error
        }
      }
      expect(link()?.sent ?? [], 'sent beside that').toEqual([])
      expect(links.length, 'opened beside that').toBe(dialed)
    },
  }
}

/** Handlers that write down what they hear. */
export function recorder(more: Handlers<any> = {}) {
  const log: string[] = []
  const handlers: Handlers<any> = {
    onEvent(e) { log.push(`event ${JSON.stringify(e.data)}`); more.onEvent?.(e) },
    onGap(g) { log.push(`gap ${g.reason}${g.missed ? ' ' + g.missed : ''}`); more.onGap?.(g) },
    onState(s) { log.push(s.state + (s.state === 'ended' && s.error ? ' ' + s.error.code : '')); more.onState?.(s) },
  }
  for (const name of ['onPresence', 'onPresenceEnd'] as const) if (more[name]) (handlers as any)[name] = more[name]
  if (more.load) handlers.load = g => { log.push(`load ${g.reason}`); return more.load!(g) }
  return { log, handlers, take: () => log.splice(0) }
}

/** A promise, and what settles it. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void, reject!: (error: unknown) => void
  const promise = new Promise<T>((a, b) => { resolve = a; reject = b })
  return { promise, resolve, reject }
}
