import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const binary = process.env['ROCKET'] ?? new URL('../../bin/rocket', import.meta.url).pathname

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** The channels that begin with h: keep a history, and those that begin with room: show who is there. */
export const rules = [{ Match: 'h:*', History: { Size: 10_000, TTL: '1h' } }, { Match: 'room:*', Presence: { Mode: 'clients' } }]

/** The real server, on a port that stays the same when it is started again. */
export class Rocket {
  process!: ChildProcess
  readonly #directory = mkdtempSync(join(tmpdir(), 'rocket-js-'))

  constructor(readonly port: number, readonly adminPort: number, readonly flags: string[], public config: object) {}

  static async start(flags: string[] = [], config: object = { Hubs: [{ Path: '/', Rules: rules }] }): Promise<Rocket> {
    const rocket = new Rocket(await freePort(), await freePort(), flags, config)
    await rocket.start()
    return rocket
  }

  get url(): string { return `ws://127.0.0.1:${this.port}/` }

  /** Starts a process, beside an older one with the flag -reuse-port, and waits until it serves. */
  async start(): Promise<void> {
    const file = join(this.#directory, 'rocket.json')
    writeFileSync(file, JSON.stringify(this.config))
    const flags = ['-host', '127.0.0.1', '-port', String(this.port), '-admin', `127.0.0.1:${this.adminPort}`, ...this.flags, file]
    const child = this.process = spawn(binary, flags, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ROCKET_ADMIN_TOKEN: 'admin' } })
    let log = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (chunk: Buffer) => {
        log += chunk
        if (log.includes('serving')) resolve()
      })
      child.on('exit', code => reject(new Error(`rocket has ended with ${code}:\n${log}`)))
      child.on('error', reject)
    })
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { process } = this
    if (process.exitCode !== null || process.signalCode !== null) return
    process.kill(signal)
    await once(process, 'exit')
  }

  /** Makes the process read another configuration. */
  async reload(config: object): Promise<void> {
    writeFileSync(join(this.#directory, 'rocket.json'), JSON.stringify(config))
    this.process.kill('SIGHUP')
  }

  /** Calls the admin API. */
  async admin(path: string, body: object): Promise<any> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}/api/${path}`, {
      method: 'POST', headers: { authorization: 'Bearer admin' }, body: JSON.stringify(body),
    })
    return response.json()
  }

  /** A number of the process, by the name of the metric. */
  async metric(name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}/metrics`, { headers: { authorization: 'Bearer admin' } })
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(await response.text())![1])
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
