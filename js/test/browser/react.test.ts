import { readFileSync } from 'node:fs'
import { build } from 'esbuild'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Client, webSocket } from '../../src/index.js'
import { Rocket } from '../rocket.js'
import { errorsOf, launch, serve } from './browser.js'

let rocket: Rocket, browser: Browser, publisher: Client

beforeAll(async () => {
  rocket = await Rocket.start()
  browser = await launch()
  publisher = new Client(rocket.url, { access: 'read-write', transports: [webSocket(WebSocket)] })
})

afterAll(async () => {
  publisher?.close()
  await browser?.close()
  await rocket?.stop()
})

const app = () => `
import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Client } from 'webrocket'
import { useChannel, useConnection, usePresence } from 'webrocket/react'

window.sockets = []
window.WebSocket = class extends WebSocket {
  commands = []
  constructor(url) { super(url); window.sockets.push(this) }
  send(text) { this.commands.push(text); super.send(text) }
}

const client = new Client('${rocket.url}')

function Channel({ name }) {
  const [count, setCount] = useState(0), [last, setLast] = useState('none')
  const subscription = useChannel(client, name, { onEvent: e => { setCount(count + 1); setLast(e.data) } })
  return <p id={name}>{subscription.state} {count} {last}</p>
}

function Room() {
  const [name, enter] = useState(null), { members, complete } = usePresence(client, name)
  window.enter = enter
  return <p id="room">{complete ? 'complete' : 'incomplete'} {members.length}</p>
}

function App() {
  const connection = useConnection(client)
  const [shown, show] = useState(true)
  window.show = show
  return <><Room /><p id="state">{connection.state}</p>{shown && <><Channel name="a" /><Channel name="b" /></>}</>
}

createRoot(document.body).render(<StrictMode><App /></StrictMode>)
`

/** Serves a page that runs a program. */
async function serveApp(contents: string) {
  const root = new URL('../..', import.meta.url).pathname
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: 'tsx' }, bundle: true, format: 'iife', jsx: 'automatic', write: false,
    alias: { webrocket: root + 'src/index.ts', 'webrocket/react': root + 'src/react.ts' }, define: { 'process.env.NODE_ENV': '"development"' },
  })
  return serve((request, response) => {
    if (request.url === '/app.js') return response.setHeader('content-type', 'text/javascript').end(outputFiles[0]!.text)
    response.setHeader('content-type', 'text/html').end('<!doctype html><body><script src="/app.js"></script>')
  })
}

const soon = (f: () => Promise<void>) => vi.waitFor(f, { timeout: 20_000, interval: 100 })

test('the component of the manual', async () => {
  const manual = readFileSync(new URL('../../../docs/javascript.md', import.meta.url), 'utf8')
  const web = await serveApp(/^```tsx\n(.*?)^```$/ms.exec(manual)![1]!.replace('ws://localhost:9772/', rocket.url))
  const page = await browser.newPage()
  const errors = errorsOf(page)
  await page.goto(web.url)
  await soon(async () => expect((await publisher.publish('news', 'e', { title: 'hello' })).heard).toBe(true))
  await soon(async () => expect(await page.textContent('body')).toContain('hello'))
  expect(errors).toEqual([])
  await page.close()
  await web.close()
})

test('StrictMode: one socket, one subscription for each channel, and the handlers of the latest render', async () => {
  const web = await serveApp(app())
  const page = await browser.newPage()
  const errors = errorsOf(page)
  const commands = () => page.evaluate(() => (window as any).sockets.map((s: any) => s.commands.slice(1).map((c: string) => JSON.parse(c))))
  const names = (list: any[]) => list.flatMap(c => c.subscribe?.channels?.map((x: any) => x.channel) ?? c.subscribe?.channel ?? []).sort()
  await page.goto(web.url)
  await soon(async () => expect(await page.textContent('#a')).toBe('subscribed 0 none'))
  expect(await page.textContent('#state')).toBe('online')
  for (const [i, data] of ['one', 'two'].entries()) {
    expect((await publisher.publish('a', 'e', data)).heard).toBe(true)
    await soon(async () => expect(await page.textContent('#a')).toBe(`subscribed ${i + 1} ${data}`))
  }
  const [first, ...more] = await commands()
  expect(more).toEqual([])
  expect(names(first)).toEqual(['a', 'b'])
  await page.evaluate(() => (window as any).show(false))
  await soon(async () => expect((await commands())[0].filter((c: any) => c.unsubscribe).length).toBe(2))
  await page.evaluate(() => (window as any).show(true))
  await soon(async () => expect(await page.textContent('#b')).toBe('subscribed 0 none'))
  expect((await commands()).length).toBe(1)
  expect(errors).toEqual([])
  await web.close()
})

test('StrictMode: who is in a channel', async () => {
  const web = await serveApp(app())
  const page = await browser.newPage()
  const errors = errorsOf(page)
  await page.goto(web.url)
  const shows = (text: string) => soon(async () => expect(await page.textContent('#room')).toBe(text))
  await shows('incomplete 0')
  await page.evaluate(() => (window as any).enter('room:1'))
  await shows('complete 1')
  const other = publisher.subscribe('room:1', {})
  await shows('complete 2')
  const sent = await page.evaluate(() => (window as any).sockets[0].commands.filter((c: string) => c.includes('room:1')).map((c: string) => JSON.parse(c)))
  expect(sent.filter((c: any) => c.subscribe?.presence).length).toBe(1)
  await page.evaluate(() => (window as any).enter('room:2'))
  await shows('complete 1')
  await page.evaluate(() => (window as any).enter(null))
  await shows('incomplete 0')
  other.unsubscribe()
  expect(errors).toEqual([])
  await page.close()
  await web.close()
})
