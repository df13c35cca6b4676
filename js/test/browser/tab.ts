import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { WebSocket } from 'ws'
import { flags, program } from './browser.js'

/**
 * Chromium by its own protocol. Playwright keeps every page visible and awake (it emulates focus): its pages are never
 * hidden, and cannot be frozen.
 */
export class Chromium {
  readonly #waiting = new Map<number, (answer: any) => void>()
  /** What pages have thrown. */
  readonly errors: string[] = []
  #ids = 0

  private constructor(readonly process: ChildProcess, readonly socket: WebSocket, readonly directory: string) {
    socket.on('message', text => {
      const message = JSON.parse(String(text))
      if (message.id) this.#waiting.get(message.id)!(message)
      else if (message.method === 'Runtime.exceptionThrown') this.errors.push(message.params.exceptionDetails.exception?.description ?? 'an error')
    })
  }

  static async launch(): Promise<Chromium> {
    const directory = mkdtempSync(join(tmpdir(), 'rocket-chromium-'))
    const process = spawn(program, ['--headless=new', '--remote-debugging-port=0', '--user-data-dir=' + directory, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
    const url = await new Promise<string>((resolve, reject) => {
      let log = ''
      process.stderr.on('data', chunk => {
        log += chunk
        const found = /DevTools listening on (ws:\S+)/.exec(log)
        if (found) resolve(found[1]!)
      })
      process.on('exit', code => reject(new Error(`chromium has ended with ${code}:\n${log}`)))
    })
    const socket = new WebSocket(url)
    await once(socket, 'open')
    return new Chromium(process, socket, directory)
  }

  async send(method: string, params: object = {}, sessionId?: string): Promise<any> {
    const id = ++this.#ids
    const { error, result } = await new Promise<any>(resolve => {
      this.#waiting.set(id, resolve)
      this.socket.send(JSON.stringify({ id, method, params, sessionId }))
    })
    if (error) throw new Error(`${method}: ${error.message}`)
    return result
  }

  /** Opens a tab, which is in front. */
  async open(url: string): Promise<Tab> {
    const { targetId } = await this.send('Target.createTarget', { url })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const tab = new Tab(this, targetId, sessionId)
    await tab.send('Runtime.enable')
    return tab
  }

  async close(): Promise<void> {
    this.process.removeAllListeners('exit')
    const exit = once(this.process, 'exit')
    this.send('Browser.close').catch(() => {})
    await exit
    // Some of its processes end a little later.
    await vi.waitFor(() => rmSync(this.directory, { recursive: true, force: true }), { timeout: 10_000, interval: 100 })
  }
}

export class Tab {
  constructor(readonly browser: Chromium, readonly id: string, readonly session: string) {}

  send(method: string, params?: object): Promise<any> { return this.browser.send(method, params, this.session) }

  /** Runs a function in the page. */
  async evaluate<A, R>(f: (arg: A) => R, arg?: A): Promise<R> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression: `(${f})(${JSON.stringify(arg)})`, returnByValue: true, awaitPromise: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }

  /** Puts the tab in front of the others of its window. */
  async show(): Promise<void> { await this.browser.send('Target.activateTarget', { targetId: this.id }) }

  async minimize(minimized: boolean): Promise<void> {
    const { windowId } = await this.browser.send('Browser.getWindowForTarget', { targetId: this.id })
    await this.browser.send('Browser.setWindowBounds', { windowId, bounds: { windowState: minimized ? 'minimized' : 'normal' } })
  }

  /** Freezes the page, as browsers do with tabs that have been hidden for long, or thaws it. */
  async freeze(frozen: boolean): Promise<void> { await this.send('Page.setWebLifecycleState', { state: frozen ? 'frozen' : 'active' }) }
}
