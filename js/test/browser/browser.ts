import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { chromium, type Browser, type Page } from 'playwright-core'

export const program = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** For a machine without a screen, and root. */
export const flags = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** As a user has it, but for what a machine without a screen, and root, take. The back/forward cache is on. */
export const launch = (): Promise<Browser> => chromium.launch({
  executablePath: program,
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
  args: flags,
})

export const bundle = (): string => readFileSync(new URL('../../webrocket.js', import.meta.url), 'utf8')

/** Serves pages on a port of its own. */
export async function serve(f: RequestListener): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(f).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    close: () => new Promise(resolve => { server.closeAllConnections(); server.close(() => resolve()) }),
  }
}

/** What a page must not do: throw, or complain about anything but a network that is not there. */
export function errorsOf(page: Page): string[] {
  const errors: string[] = []
  page.on('pageerror', e => errors.push(String(e)))
  page.on('console', m => {
    if (m.type() === 'error' && !/ERR_CONNECTION|ERR_INTERNET|ERR_NETWORK|ERR_INCOMPLETE|WebSocket connection|favicon|404/.test(m.text())) errors.push(m.text())
  })
  return errors
}
