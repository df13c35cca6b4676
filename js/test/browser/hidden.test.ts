import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Rocket, rules } from '../rocket.js'
import { Backend, followNumbers, serveNumbers, wantWhole } from './numbers.js'
import { Chromium, type Tab } from './tab.js'

const config = { Hubs: [{ Path: '/', Rules: rules, Channels: ['p'] }] }
const soon = { timeout: 30_000, interval: 100 }

describe.each(['webSocket', 'stream'])('by %s', transport => {
  let rocket: Rocket, backend: Backend, web: Awaited<ReturnType<typeof serveNumbers>>, browser: Chromium, tab: Tab, other: Tab

  beforeAll(async () => {
    rocket = await Rocket.start(['-ping-interval', '1s', '-pong-timeout', '1s'], config)
    backend = new Backend(rocket.url)
    web = await serveNumbers(backend)
    browser = await Chromium.launch()
    other = await browser.open('about:blank')
    tab = await browser.open(web.url)
    await vi.waitFor(async () => expect(await tab.evaluate(() => document.readyState === 'complete' && 'webrocket' in window)).toBe(true), soon)
    await tab.evaluate(() => {
      const w = window as any
      w.ticks = 0
      w.life = []
      setInterval(() => w.ticks++, 50)
      for (const type of ['visibilitychange', 'freeze', 'resume']) document.addEventListener(type, () => w.life.push(type))
    })
    await tab.evaluate(followNumbers, { url: rocket.url, transport })
    await settled()
  }, 60_000)

  afterAll(async () => {
    await backend?.stop()
    await browser?.close()
    await web?.close()
    await rocket?.stop()
  })

  const look = (): Promise<any> => tab.evaluate(() => {
    const w = window as any
    return { ...w.seen, state: w.client.state.state, visibility: document.visibilityState, ticks: w.ticks, life: w.life.splice(0) }
  })

  const seenAs = (visibility: string) => vi.waitFor(async () => expect((await look()).visibility).toBe(visibility), soon)

  /** Waits until the page has what has been published by now, and looks at how it got there. */
  async function settled(): Promise<any> {
    const goal = backend.top + 1
    let seen: any
    await vi.waitFor(async () => {
      seen = await look()
      expect(seen.state).toBe('online')
      expect(seen.loaded.last, 'with load').toBeGreaterThanOrEqual(goal)
      expect(seen.kept.last, 'with a history').toBeGreaterThanOrEqual(goal)
    }, soon)
    wantWhole(seen)
    expect(browser.errors).toEqual([])
    return seen
  }

  /** The server dies, and comes back when the page knows. */
  async function restart(): Promise<void> {
    await rocket.kill()
    await vi.waitFor(async () => expect((await look()).state).not.toBe('online'), soon)
    await rocket.start()
  }

  test('behind another tab while the server is killed', async () => {
    await other.show()
    await seenAs('hidden')
    await settled() // what is published now comes all the same
    await restart()
    await tab.show()
    await seenAs('visible')
    const { kept, loaded } = await settled()
    expect(kept.gaps).toContain('epoch')
    expect(loaded.gaps).toContain('reconnect')
  })

  test('in a minimized window while the server is killed', async () => {
    await tab.minimize(true)
    await seenAs('hidden')
    await restart()
    await settled() // hidden as it is
    await tab.minimize(false)
    await seenAs('visible')
    await settled()
  })

  /** Hides the page, and freezes it while n events are published. */
  async function freeze(n = 10): Promise<any> {
    await other.show()
    await seenAs('hidden')
    const before = await settled()
    await tab.freeze(true)
    const frozen = await look()
    expect(frozen.life).toContain('freeze')
    await published(n)
    const { ticks, kept } = await look()
    expect({ ticks, events: kept.events }, 'nothing runs in the page').toEqual({ ticks: frozen.ticks, events: frozen.kept.events })
    return before
  }

  async function published(n: number): Promise<void> {
    const goal = backend.top + n
    await vi.waitFor(() => expect(backend.top).toBeGreaterThan(goal), soon)
  }

  // The browser answers the server's pings all the same. Chromium 156 ends a WebSocket when the page thaws.
  test('frozen', async () => {
    const before = await freeze(50) // takes two seconds at least, the server's patience
    await tab.freeze(false)
    await tab.show()
    await seenAs('visible')
    const after = await settled()
    expect(after.kept.gaps, 'the history has it all').toEqual(before.kept.gaps)
  })

  test('frozen while the server ends the connection', async () => {
    const before = await freeze()
    await rocket.admin('disconnect', { hub: '/', channel: 'h:1', code: 4300 })
    await vi.waitFor(async () => expect(await rocket.metric('rocket_connections')).toBe(1), soon) // the backend's
    await published(10)
    await tab.freeze(false)
    const after = await settled()
    expect(after.kept.gaps, 'the history has it all').toEqual(before.kept.gaps)
    expect(after.loaded.gaps).toEqual([...before.loaded.gaps, 'reconnect'])
    await tab.show()
    await settled()
  })

  test('frozen while the server is killed', async () => {
    const before = await freeze()
    await rocket.kill()
    await rocket.start()
    await vi.waitFor(() => expect(backend.client.state.state).toBe('online'), soon)
    await tab.freeze(false) // and stays hidden
    const after = await settled()
    expect(after.kept.gaps).toEqual([...before.kept.gaps, 'epoch'])
    expect(after.loaded.gaps).toEqual([...before.loaded.gaps, 'reconnect'])
    await tab.show()
    await settled()
  })
})
