import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Client, webSocket, type Options } from '../../src/index.js'
import { stream } from '../../src/stream.js'
import { freePort, Rocket } from '../rocket.js'

const until = (f: () => unknown) => vi.waitFor(f, { timeout: 20_000, interval: 20 })

function connect(url: string, options: Options): Client {
  const client = new Client(url, { minDelay: 100, maxDelay: 1000, ...options })
  onTestFinished(() => client.close())
  return client
}

async function start(): Promise<Rocket> {
  const rocket = await Rocket.start()
  onTestFinished(() => rocket.stop())
  return rocket
}

test('the stream: commands, events in order, recovery, and a server that is killed', async () => {
  const rocket = await start()
  const publisher = connect(rocket.url, { access: 'read-write', transports: [stream()] })
  const reader = connect(rocket.url, { transports: [stream()] })
  const heard: number[] = [], gaps: string[] = []
  let subscribed = 0
  reader.subscribe<number>('h:1', {
    onEvent: e => { heard.push(e.data) },
    onGap: g => { gaps.push(g.reason) },
    onState: s => { if (s.state === 'subscribed') subscribed++ },
  })
  await until(() => expect(subscribed).toBe(1))
  expect(reader.state).toMatchObject({ state: 'online', transport: 'stream' })
  for (let i = 1; i <= 20; i++) expect(await publisher.publish('h:1', 'e', i)).toMatchObject({ heard: true, offset: i })
  await until(() => expect(heard.length).toBe(20))
  await rocket.admin('disconnect', { hub: '/', channel: 'h:1', code: 4300 })
  for (let i = 21; i <= 40; i++) await publisher.publish('h:1', 'e', i)
  await until(() => expect(heard.length).toBe(40))
  expect(heard).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  expect(gaps).toEqual([])
  await rocket.kill()
  await rocket.start()
  await until(() => expect(gaps).toEqual(['epoch']))
  await until(async () => expect(await publisher.publish('h:1', 'e', 41)).toMatchObject({ heard: true }))
  await until(() => expect(heard.at(-1)).toBe(41))
})

test('behind an nginx that drops Upgrade the client falls back to the stream', async () => {
  const rocket = await start(), port = await freePort()
  const directory = mkdtempSync(join(tmpdir(), 'rocket-nginx-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  // As Debian has it: proxy_pass and nothing else, so HTTP/1.0 to the server, and buffering.
  writeFileSync(join(directory, 'nginx.conf'), `
    daemon off; pid ${directory}/pid; error_log ${directory}/error.log; user root;
    events {}
    http {
      access_log off;
      client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b; fastcgi_temp_path ${directory}/c; uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e;
      server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${rocket.port}; } }
    }`)
  const nginx = spawn('/usr/sbin/nginx', ['-c', join(directory, 'nginx.conf'), '-e', join(directory, 'error.log')], { stdio: 'ignore' })
  onTestFinished(async () => { nginx.kill(); await once(nginx, 'exit') })
  const client = connect(`ws://127.0.0.1:${port}/`, { access: 'read-write', transports: [webSocket(WebSocket), stream()] })
  const heard: unknown[] = []
  client.subscribe('c', { onEvent: e => { heard.push(e.data) } })
  await until(() => expect(client.state).toMatchObject({ state: 'online', transport: 'stream' }))
  await until(async () => expect(await client.publish('c', 'e', 'through')).toEqual({ heard: true }))
  await until(() => expect(heard).toContain('through'))
})
