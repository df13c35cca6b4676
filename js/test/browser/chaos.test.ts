import { execFileSync } from 'node:child_process'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Client, webSocket } from '../../src/index.js'
import { Rocket, rules } from '../rocket.js'
import { bundle, errorsOf, launch, serve } from './browser.js'

const config = { Hubs: [{ Path: '/', Rules: rules, Channels: ['p'] }] }
let rocket: Rocket, browser: Browser, context: BrowserContext, page: Page, web: Awaited<ReturnType<typeof serve>>
let publisher: Client, errors: string[], publishing: NodeJS.Timeout
/** The number of the last event: what the store of the application has. */
let top = 0
let answers: Promise<unknown>[] = []

beforeAll(async () => {
  rocket = await Rocket.start(['-reuse-port', '-ping-interval', '2s', '-pong-timeout', '2s', '-drain', '1s'], config)
  web = await serve((request, response) => {
    response.setHeader('access-control-allow-origin', '*')
    if (request.url === '/state') return response.setHeader('cache-control', 'no-store').end(String(top))
    if (request.url === '/webrocket.js') return response.setHeader('content-type', 'text/javascript').end(bundle())
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>chaos</title><script src="/webrocket.js"></script>')
  })
  // Each event goes to the store first. Keys make the second attempt of a publish harmless.
  publisher = new Client(rocket.url, { transports: [webSocket(WebSocket)], access: 'read-write', minDelay: 100, maxDelay: 300, window: 64, onError() {} })
  publish()
  browser = await launch()
  context = await browser.newContext()
  page = await context.newPage()
  errors = errorsOf(page)
  await page.goto(web.url)
  await follow()
  await settled()
})

afterAll(async () => {
  clearInterval(publishing)
  publisher?.close()
  await browser?.close()
  await web?.close()
  await rocket?.stop()
})

/** Publishes from now on. */
function publish(): void {
  publishing = setInterval(() => {
    top++
    answers = ['p', 'h:1'].map(c => publisher.publish(c, 'e', top, { key: String(top) }).catch(() => {}))
  }, 40)
}

/** In the page: a subscription with load to a channel without a history, and one without load to one that has. */
const follow = () => page.evaluate((url: string) => {
  const w = window as any
  w.client = new w.webrocket.Client(url, { pingInterval: 1500, pongTimeout: 1500, probeTimeout: 1000, minDelay: 200, maxDelay: 1000 })
  const seen = () => ({ last: 0, events: 0, holes: 0, repeats: 0, gaps: [] as string[], told: true })
  const hear = (s: any, n: number) => {
    s.events++
    if (n <= s.last) s.repeats++
    else if (n > s.last + 1 && !s.told) s.holes++
    s.last = Math.max(s.last, n)
    s.told = false
  }
  w.seen = { loaded: seen(), kept: seen() }
  w.client.subscribe('p', {
    async load({ signal }: any) {
      const n = Number(await (await fetch('/state', { signal })).text())
      Object.assign(w.seen.loaded, { last: Math.max(w.seen.loaded.last, n), told: false })
    },
    onEvent: (e: any) => hear(w.seen.loaded, e.data),
    onGap: (g: any) => { w.seen.loaded.gaps.push(g.reason) },
  })
  w.client.subscribe('h:1', {
    onEvent: (e: any) => hear(w.seen.kept, e.data),
    onGap: (g: any) => { w.seen.kept.gaps.push(g.reason); w.seen.kept.told = true },
  })
}, rocket.url)

const look = (): Promise<any> => page.evaluate(() => { const w = window as any; return { ...w.seen, state: w.client.state.state } })

/** Waits until the page has what has been published by now, and looks at how it got there. */
async function settled(): Promise<any> {
  const goal = top + 1
  let seen: any
  await vi.waitFor(async () => {
    seen = await look()
    expect(seen.state).toBe('online')
    expect(seen.loaded.last, 'with load').toBeGreaterThanOrEqual(goal)
    expect(seen.kept.last, 'with a history').toBeGreaterThanOrEqual(goal)
  }, { timeout: 25_000, interval: 100 })
  for (const s of [seen.loaded, seen.kept]) expect(s.holes, 'events that are missing without a word').toBe(0)
  expect(errors).toEqual([])
  return seen
}

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

test('kill -9 and restart', async () => {
  await rocket.kill()
  await vi.waitFor(async () => expect((await look()).state).not.toBe('online'))
  await rocket.start()
  const seen = await settled()
  expect(seen.kept.gaps).toContain('epoch')
  expect(seen.loaded.gaps).toContain('reconnect')
})

// Two servers that are not a cluster do not hear each other: nothing is published until both sides have moved.
test('rolling restart', async () => {
  clearInterval(publishing)
  await Promise.all(answers)
  const old = rocket.process
  await rocket.start()
  old.kill('SIGTERM')
  await vi.waitFor(() => expect(old.exitCode).toBe(0), { timeout: 20_000 })
  await vi.waitFor(async () => expect([publisher.state.state, (await look()).state]).toEqual(['online', 'online']), { timeout: 20_000 })
  publish()
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
  await vi.waitFor(async () => expect(await page.evaluate(() => (window as any).persisted)).toBe(true), { timeout: 10_000 })
  await settled()
})

test('close in the page ends the connection', async () => {
  await page.evaluate(() => { (window as any).client.close() })
  const { kept } = await look()
  await pause(300)
  expect(await look()).toMatchObject({ state: 'idle', kept: { last: kept.last } })
  // Without offsets what load has fetched may come once more. With a history nothing does.
  const { loaded } = await look()
  console.log(`repeats: ${kept.repeats} of ${kept.events} with a history, ${loaded.repeats} of ${loaded.events} with load, after ${loaded.gaps.length + 1} loads`)
  expect(kept.repeats).toBe(0)
  expect(errors).toEqual([])
})
