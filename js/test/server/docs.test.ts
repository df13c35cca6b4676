import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Rocket } from '../rocket.js'

const root = new URL('../..', import.meta.url).pathname
const directory = mkdtempSync(join(tmpdir(), 'rocket-docs-'))
const secret = '0123456789abcdef0123456789abcdef'
let rocket: Rocket

beforeAll(async () => {
  writeFileSync(join(directory, 'k1.secret'), secret)
  const kept = { Match: 'chat:2', History: { Size: 100, TTL: '1h' } }, seen = { Match: 'room:*', Presence: { Mode: 'users' } }
  rocket = await Rocket.start([], { Hubs: [
    { Path: '/', Rules: [kept, seen] },
    { Path: '/users', Tokens: { Audience: 'rocket', Keys: [{ Kid: 'k1', SecretFile: join(directory, 'k1.secret') }] } },
  ] })
})

afterAll(async () => {
  await rocket.stop()
  rmSync(directory, { recursive: true })
})

function token(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = part({ alg: 'HS256', kid: 'k1' }) + '.' + part({ aud: 'rocket', sub: '42', exp: Math.floor(Date.now() / 1000) + 600 })
  return text + '.' + createHmac('sha256', secret).update(text).digest('base64url')
}

/** What the blocks find around them: a page, and a backend. */
const around = () => `
import { WebSocket as Class } from 'ws'
globalThis.WebSocket = Class
globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' })
globalThis.addEventListener = () => {}
globalThis.fetch = async path => new Response({ '/scores': '{"a":1,"b":2}', '/token': ${JSON.stringify(token())} }[path])
`

describe.each(['docs/javascript.md', 'js/README.md'])('%s', name => {
  const text = readFileSync(join(root, '..', name), 'utf8')
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(m => m[1]!)

  test('has blocks', () => expect(blocks.length).toBeGreaterThan(0))

  test.each(blocks.map((block, i) => [i + 1, block] as const))('block %i runs and prints what it says', async (i, block) => {
    const file = join(directory, `${i}.mjs`)
    const alias = { webrocket: join(root, 'src/index.ts'), 'webrocket/stream': join(root, 'src/stream.ts'), around: join(directory, 'around.mjs') }
    writeFileSync(alias.around, around())
    const source = block.replaceAll('ws://localhost:9772/', rocket.url).replaceAll('wss://rt.example.com/', rocket.url)
    await build({
      stdin: { contents: `import 'around'\n${source}`, resolveDir: root, loader: 'ts' },
      bundle: true, platform: 'node', format: 'esm', outfile: file, alias, nodePaths: [join(root, 'node_modules')],
      banner: { js: `import { createRequire } from 'node:module'; const require = createRequire('${root}')` },
    })
    const wants = [...block.matchAll(/^\/\/ prints (.*)$/gm)].map(m => m[1]!)
    const child = spawn(process.execPath, ['-e', `import('${file}').then(() => console.log('end of block'))`], { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    const done = new Promise<void>(resolve => {
      const hear = (chunk: Buffer) => {
        out += chunk
        if (['end of block', ...wants].every(w => out.includes(w))) resolve()
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.on('exit', () => resolve())
    })
    await done
    const ended = child.exitCode
    child.kill('SIGKILL')
    if (ended === null) await once(child, 'exit')
    expect(out.replace(/end of block\n/, '').trim().split('\n')).toEqual(expect.arrayContaining(wants))
    expect(out).not.toMatch(/Error/)
  })
})
