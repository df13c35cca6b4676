import { expect } from 'vitest'
import { WebSocket } from 'ws'
import { Client, webSocket } from '../../src/index.js'
import { bundle, serve } from './browser.js'

export const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/**
 * The backend of an application. It publishes one event after another to both channels, and has each in its
 * store once it knows that it is published: what the store has, nobody hears afterwards for the first time.
 */
export class Backend {
  /** The number of the last event: what the store has. */
  top = 0
  #running = true
  #done: Promise<void>
  readonly client: Client

  constructor(url: string) {
    this.client = new Client(url, { transports: [webSocket(WebSocket)], access: 'read-write', minDelay: 100, maxDelay: 300, onError() {} })
    this.#done = this.#run()
  }

  async #run(): Promise<void> {
    for (; this.#running; await pause(40)) {
      const n = this.top + 1
      // The key makes the second attempt harmless, as long as the server that took the first one lives.
      const publish = async (channel: string) => {
        while (this.#running) {
          try { return await this.client.publish(channel, 'e', n, { key: String(n) }) } catch { await pause(40) }
        }
      }
      await Promise.all(['p', 'h:1'].map(publish))
      if (this.#running) this.top = n
    }
  }

  async pause(): Promise<void> {
    this.#running = false
    await this.#done
  }

  resume(): void {
    this.#running = true
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#running = false
    this.client.close()
    await this.#done
  }
}

/** What a page can be told to follow. */
export interface Follow { url: string; transport: string }

/** In the page: a subscription with load to a channel without a history, and one without load to one that has. */
export function followNumbers({ url, transport }: Follow): void {
  const w = window as any
  w.client = new w.webrocket.Client(url, {
    transports: [w.webrocket[transport]()], pingInterval: 1500, pongTimeout: 1500, probeTimeout: 1000, minDelay: 200, maxDelay: 1000,
  })
  const seen = () => ({ last: 0, events: 0, holes: 0, repeats: 0, gaps: [] as string[], loads: 0, told: true, heard: {} as any })
  const hear = (s: any, n: number) => {
    s.events++
    // What is published between the subscribe and the answer with the state is in both, however many that are.
    if (n <= s.last && (s.heard[n] || !s.loads)) s.repeats++
    else if (n > s.last + 1 && !s.told) s.holes++
    s.heard[n] = true
    s.last = Math.max(s.last, n)
    s.told = false
  }
  w.seen = { loaded: seen(), kept: seen() }
  w.client.subscribe('p', {
    async load({ signal }: any) {
      const n = Number(await (await fetch('/state', { signal })).text())
      w.seen.loaded.loads++
      Object.assign(w.seen.loaded, { last: Math.max(w.seen.loaded.last, n), told: false })
    },
    onEvent: (e: any) => hear(w.seen.loaded, e.data),
    onGap: (g: any) => { w.seen.loaded.gaps.push(g.reason) },
  })
  w.client.subscribe('h:1', {
    onEvent: (e: any) => hear(w.seen.kept, e.data),
    onGap: (g: any) => {
      w.seen.kept.gaps.push(g.reason)
      w.seen.kept.told = true
      // The server knows neither what it has published nor its keys any more.
      if (g.reason === 'epoch') w.seen.kept.last--
    },
  })
}

/** Nothing is missing that the page was not told of. */
export function wantWhole(seen: any): void {
  for (const s of [seen.loaded, seen.kept]) expect(s.holes, 'events that are missing without a word').toBe(0)
  // The backend publishes an event again whose answer was lost with the server, and the next one knows no key.
  expect(seen.loaded.repeats, 'repeats with load').toBeLessThanOrEqual(seen.loaded.loads)
  expect(seen.kept.repeats, 'repeats with a history').toBe(0)
}

/** Serves the page, and the backend's store. */
export const serveNumbers = (backend: Backend) => serve((request, response) => {
  response.setHeader('access-control-allow-origin', '*')
  if (request.url === '/state') return response.setHeader('cache-control', 'no-store').end(String(backend.top))
  if (request.url === '/webrocket.js') return response.setHeader('content-type', 'text/javascript').end(bundle())
  response.setHeader('content-type', 'text/html').end('<!doctype html><title>numbers</title><script src="/webrocket.js"></script>')
})
