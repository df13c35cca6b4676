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
    this.#cancel()
    const rest = this.#last + this.o.pingInterval - performance.now()
    this.#cancel = rest > 0 ? after(rest, () => this.start()) : this.#ask(this.o.pongTimeout)
  }

  /** Asks at once, as something has happened to the page. */
  probe(timeout: number): void {
    this.#cancel()
    this.#cancel = this.#ask(timeout)
  }

  stop(): void { this.#cancel() }

  #ask(timeout: number): Cancel {
    const last = this.#last
    this.ping()
    return deadline(timeout, () => this.#last > last ? this.start() : this.dead())
  }
}
