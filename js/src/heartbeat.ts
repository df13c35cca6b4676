import type { Settings } from './options.js'
import { after, deadline, type Cancel } from './timers.js'

/**
 * Finds connections that have died without a word. A page does not see the server's pings, so
 * the client breaks a long silence with a command of its own. Any message is the answer.
 */
export class Heartbeat {
  #last = 0
  #cancel: Cancel = () => {}

  constructor(readonly o: Settings, readonly ping: () => void, readonly dead: () => void) {}

  heard(): void { this.#last = performance.now() }

  start(): void {
    this.stop()
    const rest = this.#last + this.o.pingInterval - performance.now()
    if (rest > 0) this.#cancel = after(rest, () => this.start())
    else this.probe(this.o.pongTimeout)
  }

  /** Asks at once: the silence has been long, or something has happened to the page. */
  probe(timeout: number): void {
    this.stop()
    const last = this.#last
    this.ping()
    this.#cancel = deadline(timeout, () => this.#last > last ? this.start() : this.dead())
  }

  stop(): void { this.#cancel() }
}
