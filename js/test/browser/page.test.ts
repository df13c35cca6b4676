import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Client, webSocket } from '../../src/index.js'
import { Rocket } from '../rocket.js'
import { bundle, errorsOf, launch, serve } from './browser.js'

let rocket: Rocket, browser: Browser, publisher: Client
const directory = mkdtempSync(join(tmpdir(), 'rocket-page-'))

beforeAll(async () => {
  rocket = await Rocket.start()
  browser = await launch()
  publisher = new Client(rocket.url, { access: 'read-write', transports: [webSocket(WebSocket)] })
})

afterAll(async () => {
  publisher?.close()
  await browser?.close()
  await rocket?.stop()
  rmSync(directory, { recursive: true })
})

const soon = (f: () => Promise<void>) => vi.waitFor(f, { timeout: 20_000, interval: 100 })

test('the page of the manual, opened as a file', async () => {
  const manual = readFileSync(new URL('../../../docs/javascript.md', import.meta.url), 'utf8')
  const html = /^```html\n(.*?)^```$/ms.exec(manual)![1]!
  writeFileSync(join(directory, 'index.html'), html.replaceAll('localhost:9772', `127.0.0.1:${rocket.port}`))
  const page = await browser.newPage()
  const errors = errorsOf(page)
  await page.goto('file://' + join(directory, 'index.html'))
  await soon(async () => expect(await page.textContent('#state')).toBe('online'))
  await soon(async () => expect((await publisher.publish('news', 'message', { title: 'hello' })).heard).toBe(true))
  await soon(async () => expect(await page.textContent('#news')).toContain('hello'))
  expect(errors).toEqual([])
  await page.close()
})

test('the quickstart publishes and shows, and says that something may be missing after a restart', async () => {
  const page = await browser.newPage()
  const errors = errorsOf(page)
  await page.goto(`file://${new URL('../../../examples/quickstart/index.html', import.meta.url).pathname}?server=${encodeURIComponent(rocket.url)}`)
  await soon(async () => expect(await page.textContent('#state')).toBe('online'))
  await page.fill('#title', 'mine')
  await page.click('button')
  await soon(async () => expect(await page.textContent('#news')).toContain('mine'))
  await rocket.kill()
  await soon(async () => expect(await page.textContent('#state')).toMatch(/waiting/))
  await rocket.start()
  await soon(async () => expect(await page.textContent('#news')).toContain('something may be missing (reconnect)'))
  expect(errors).toEqual([])
  await page.close()
})

test('a page with a strict content security policy', async () => {
  const inline = `window.client = new webrocket.Client('${rocket.url}'); client.connect()`
  const hash = createHash('sha256').update(inline).digest('base64')
  const web = await serve((request, response) => {
    if (request.url === '/webrocket.js') return response.setHeader('content-type', 'text/javascript').end(bundle())
    response.setHeader('content-security-policy',
      `default-src 'none'; script-src 'self' 'sha256-${hash}'; connect-src ${rocket.url}; require-trusted-types-for 'script'; trusted-types 'none'`)
    response.setHeader('content-type', 'text/html').end(`<!doctype html><script src="/webrocket.js"></script><script>${inline}</script>`)
  })
  const page = await browser.newPage()
  const errors = errorsOf(page)
  await page.goto(web.url)
  await soon(async () => expect(await page.evaluate(() => (window as any).client.state.state)).toBe('online'))
  expect(errors).toEqual([])
  await page.close()
  await web.close()
})
