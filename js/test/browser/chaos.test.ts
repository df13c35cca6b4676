import { execFileSync } from 'node:child_process'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Rocket, rules } from '../rocket.js'
import { errorsOf, launch } from './browser.js'
import { Backend, followNumbers, pause, serveNumbers, wantWhole } from './numbers.js'

const config = { Hubs: [{ Path: '/', Rules: rules, Channels: ['p'] }] }

describe.each(['webSocket', 'stream'])('by %s', transport => {
  let rocket: Rocket, browser: Browser, context: BrowserContext, page: Page, web: Awaited<ReturnType<typeof serveNumbers>>
  let backend: Backend, errors: string[]

  beforeAll(async () => {
    rocket = await Rocket.start(['-reuse-port', '-ping-interval', '2s', '-pong-timeout', '2s', '-drain', '1s'], config)
    backend = new Backend(rocket.url)
    web = await serveNumbers(backend)
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

  const follow = () => page.evaluate(followNumbers, { url: rocket.url, transport })

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
    wantWhole(seen)
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
