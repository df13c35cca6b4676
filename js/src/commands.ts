import { RocketError } from './errors.js'
import type { Settings } from './options.js'
import { after, deadline, type Cancel } from './timers.js'

/** A reply of the server. What else it has depends on the command. */
export type Reply = { ok?: true; err?: string; reason?: string; id?: number; [member: string]: any }

interface Command {
  id: number
  /** What to send; undefined if it is not wanted any more. */
  text(): string | undefined
  done(reply: Reply): void
  /** Commands of the client itself have none: they are about one connection, and end with it without a word. */
  fail?: (error: RocketError) => void
  /** It may be sent twice without harm. */
  again?: boolean | undefined
  sent?: boolean
}

export interface RunOptions {
  /** It may be sent twice without harm. */
  again?: boolean
  /** It may have had its effect if there is no reply. */
  acts?: boolean
  signal?: AbortSignal | undefined
}

/**
 * Commands that wait to be sent, and those that wait for a reply: at most o.window of these,
 * because the server may limit the rate of commands. Each one is settled once.
 */
export class Commands {
  /** The client's own are sent first. Both queues are in the order of the ids. */
  #own: Command[] = []
  #waiting: Command[] = []
  #sent = new Map<number, Command>()
  #ids = 0
  #send: ((text: string) => void) | undefined
  /** Set while nothing is sent because the server has said that it is too much. */
  #pause: Cancel | undefined

  constructor(readonly o: Settings) {}

  /** Asks for the state of this connection. body is called when it is sent, and returns nothing if it is not wanted any more. */
  ask(body: () => object | undefined | false, done: (reply: Reply) => void): void {
    const id = ++this.#ids
    this.#own.push({
      id, done, again: true,
      text() {
        const command = body()
        return command ? JSON.stringify({ ...command, id }) : undefined
      },
    })
    this.#pump()
  }

  /** Runs a command of the user: on this connection, or on the next one if that does not take too long. */
  run(body: object, { again, acts, signal }: RunOptions = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const id = ++this.#ids
      const text = JSON.stringify({ ...body, id })
      signal?.throwIfAborted()
      if (!this.#fits(text)) throw new RocketError('too_large')
      if (this.#waiting.length >= this.o.maxPending) throw new RocketError('overloaded')

      const abort = () => end(signal!.reason)
      const settle = () => {
        cancel()
        signal?.removeEventListener('abort', abort)
        command.again = false
      }
      const end = (error: unknown) => {
        settle()
        this.#waiting = this.#waiting.filter(c => c !== command)
        reject(error)
      }
      const fail = (error: RocketError) =>
        end(command.sent && acts ? new RocketError('unknown_outcome', error.message, error.closeCode, true) : error)
      const command: Command = { id, again, text: () => text, done(reply) { settle(); resolve(reply) }, fail }
      const cancel = deadline(this.o.commandTimeout, () => fail(new RocketError(command.sent ? 'timeout' : 'offline')))
      signal?.addEventListener('abort', abort)
      this.#waiting.push(command)
      this.#pump()
    })
  }

  /** There is a connection, and it is logged in. */
  open(send: (text: string) => void): void {
    this.#send = send
    this.#pump()
  }

  /** The connection is gone. What may be sent twice waits for the next one, if there will be one. */
  down(error: RocketError, closed: boolean | undefined): void {
    const sent = [...this.#sent.values()]
    this.#send = undefined
    this.#pause?.()
    this.#pause = undefined
    this.#own = []
    this.#sent.clear()
    for (const c of sent) {
      if (c.again && c.fail) insert(this.#waiting, c)
      else c.fail?.(error)
    }
    if (closed) for (const c of this.#waiting) c.fail!(error)
  }

  reply(reply: Reply): void {
    const c = this.#sent.get(reply.id!)
    if (!c) return
    this.#sent.delete(c.id)
    if (reply.err === 'rate_limited') {
      this.#pause?.()
      this.#pause = after(1000 + this.o.random() * 1000, () => {
        this.#pause = undefined
        this.#pump()
      })
      // A publish is not sent again: it would overtake those that the server has taken meanwhile.
      if (c.again) return insert(c.fail ? this.#waiting : this.#own, c)
    }
    c.done(reply)
    this.#pump()
  }

  #fits(text: string): boolean {
    return new TextEncoder().encode(text).length <= this.o.maxMessageSize
  }

  #pump(): void {
    while (this.#send && !this.#pause && this.#sent.size < this.o.window) {
      const c = this.#own.shift() ?? this.#waiting.shift()
      if (!c) return
      const text = c.text()
      if (!text) continue
      // The server may have said what it takes since the command was made.
      if (c.fail && !this.#fits(text)) {
        c.fail(new RocketError('too_large'))
        continue
      }
      c.sent = true
      this.#sent.set(c.id, c)
      this.#send(text)
    }
  }
}

function insert(queue: Command[], c: Command): void {
  queue.push(c)
  queue.sort((a, b) => a.id - b.id)
}
