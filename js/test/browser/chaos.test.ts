import { execFileSync } from 'node:child_process'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Client, webSocket } from '../../src/index.js'
import { Rocket, rules } from '../rocket.js'
import { bundle, errorsOf, launch, serve } from './browser.js'

const config = { Hubs: [{ Path: '/', Rules: rules, Channels: ['p'] }] }
const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/**
 * The backend of an application. It publishes one event after another to both channels, and has each in its
 * store once it knows that it is published: what the store has, nobody hears afterwards for the first time.
 */
class Backend {
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

describe.each(['webSocket', 'stream'])('by %s', transport => {
  let rocket: Rocket, browser: Browser, context: BrowserContext, page: Page, web: Awaited<ReturnType<typeof serve>>
  let backend: Backend, errors: string[]

  beforeAll(async () => {
    rocket = await Rocket.start(['-reuse-port', '-ping-interval', '2s', '-pong-timeout', '2s', '-drain', '1s'], config)
    backend = new Backend(rocket.url)
    web = await serve((request, response) => {
      response.setHeader('access-control-allow-origin', '*')
      if (request.url === '/state') return response.setHeader('cache-control', 'no-store').end(String(backend.top))
      if (request.url === '/webrocket.js') return response.setHeader('content-type', 'text/javascript').end(bundle())
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>chaos</title><script src="/webrocket.js"></script>')
    })
    browser = await launch()
    context = await browser.newContext()
    page = await context.newPage()
    errors = errorsOf(page)
    await page.goto(web.url)
    await follow()
    await settled()
  }, 60_000)

  afterAll(async () => {
    await backend?.stop()
    await browser?.close()
    await web?.close()
    await rocket?.stop()
  })

  /** In the page: a subscription with load to a channel without a history, and one without load to one that has. */
  const follow = () => page.evaluate(([url, transport]) => {
    const w = window as any
    w.client = new w.webrocket.Client(url, {
      transports: [w.webrocket[transport!]()], pingInterval: 1500, pongTimeout: 1500, probeTimeout: 1000, minDelay: 200, maxDelay: 1000,
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
  }, [rocket.url, transport])

  const look = (): Promise<any> => page.evaluate(() => { const w = window as any; return { ...w.seen, state: w.client.state.state } })

  /** Waits until the page has what has been published by now, and looks at how it got there. */
  async function settled(): Promise<any> {
    const goal = backend.top + 1
    let seen: any
    await vi.waitFor(async () => {
      seen = await look()
      expect(seen.state).toBe('online')
      expect(seen.loaded.last, 'with load').toBeGreaterThanOrEqual(goal)
      expect(seen.kept.last, 'with a history').toBeGreaterThanOrEqual(goal)
    }, { timeout: 30_000, interval: 100 })
    for (const s of [seen.loaded, seen.kept]) expect(s.holes, 'events that are missing without a word').toBe(0)
    // The backend publishes an event again whose answer was lost with the server, and the next one knows no key.
    expect(seen.loaded.repeats, 'repeats with load').toBeLessThanOrEqual(seen.loaded.loads)
    expect(seen.kept.repeats, 'repeats with a history').toBe(0)
    expect(errors).toEqual([])
    return seen
  }

  test('kill -9 and restart', async () => {
    await rocket.kill()
    await vi.waitFor(async () => expect((await look()).state).not.toBe('online'), { timeout: 30_000 })
    await rocket.start()
    const seen = await settled()
    expect(seen.kept.gaps).toContain('epoch')
    expect(seen.loaded.gaps).toContain('reconnect')
  })

  // Two servers that are not a cluster do not hear each other: nothing is published until both sides have moved.
  test('rolling restart', async () => {
    await backend.pause()
    const old = rocket.process
    await rocket.start()
    old.kill('SIGTERM')
    await vi.waitFor(() => expect(old.exitCode).toBe(0), { timeout: 30_000 })
    await vi.waitFor(async () => expect([backend.client.state.state, (await look()).state]).toEqual(['online', 'online']), { timeout: 30_000 })
    backend.resume()
    await settled()
  })

  test('offline for a moment: the socket is kept', async () => {
    const before = await look()
    await context.setOffline(true)
    await pause(500)
    await context.setOffline(false)
    const after = await settled()
    expect(after.kept.gaps).toEqual(before.kept.gaps)
  })

  test('offline for longer than the server waits', async () => {
    await context.setOffline(true)
    await pause(6000)
    await context.setOffline(false)
    await settled()
  })

  test('hidden while the server is killed: back at once when the page is looked at', async () => {
    const visibility = (state: string) => page.evaluate((state: string) => {
      Object.defineProperty(document, 'visibilityState', { value: state, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }, state)
    await visibility('hidden')
    await rocket.kill()
    await vi.waitFor(async () => expect((await look()).state).not.toBe('online'), { timeout: 30_000 })
    await rocket.start()
    await visibility('visible')
    await settled()
  })

  test('asleep: all processes of the browser are stopped', async () => {
    const table = execFileSync('ps', ['-eo', 'pid=,ppid=,comm=']).toString().trim().split('\n').map(l => l.trim().split(/\s+/))
    const family = [String(process.pid)]
    for (const parent of family) for (const [pid, ppid] of table) if (ppid === parent) family.push(pid!)
    const processes = table.filter(([pid, , name]) => family.includes(pid!) && name!.startsWith('chrom')).map(([pid]) => Number(pid))
    expect(processes.length).toBeGreaterThan(1)
    const all = (signal: string) => {
      for (const pid of processes) {
        try { process.kill(pid, signal) } catch { /* it has ended */ }
      }
    }
    all('SIGSTOP')
    await pause(6000)
    all('SIGCONT')
    await settled()
  })

  test('back out of the back/forward cache', async () => {
    await page.evaluate(() => { addEventListener('pageshow', e => { (window as any).persisted = e.persisted }) })
    await page.goto(web.url + '/?elsewhere')
    await pause(1000)
    await page.evaluate(() => history.back()).catch(() => {}) // the page that asks is gone before it is answered
    // Older versions of Chromium do not keep a page that has a WebSocket, and none keeps a stream: the page is loaded anew.
    const kept = await vi.waitFor(async () => {
      const { persisted, client, webrocket } = await page.evaluate(() => {
        const w = window as any
        return { persisted: w.persisted, client: !!w.client, webrocket: !!w.webrocket }
      })
      expect(webrocket && !page.url().includes('elsewhere') && (persisted ?? (client ? undefined : false))).toBeTypeOf('boolean')
      return persisted
    }, { timeout: 30_000 })
    console.log(`${transport}: the page was ${kept ? 'kept' : 'loaded anew'}`)
    if (!kept) await follow()
    await settled()
  })

  test('close in the page ends the connection', async () => {
    await page.evaluate(() => { (window as any).client.close() })
    const { kept } = await look()
    await pause(300)
    expect(await look()).toMatchObject({ state: 'idle', kept: { last: kept.last } })
    const { loaded } = await look()
    console.log(`${transport}: ${kept.repeats} of ${kept.events} events came twice with a history, ${loaded.repeats} of ${loaded.events} with load, after ${loaded.loads} loads`)
    expect(errors).toEqual([])
  })
})
