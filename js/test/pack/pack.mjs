// Installs the packed package into clean projects, and runs or compiles them.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

process.chdir(new URL('../..', import.meta.url).pathname)
const root = mkdtempSync(join(tmpdir(), 'rocket-pack-'))
const run = (command, args, cwd) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const tool = name => resolve('node_modules/.bin', name)
const tsc = version => resolve(`node_modules/${version}/bin/tsc`)
const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', root], '.'))

function project(name, type, files) {
  const directory = join(root, name)
  mkdirSync(directory)
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name, private: true, type }))
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text)
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock', join(root, filename)], directory)
  return directory
}

function expect(what, got, want) {
  if (!got.includes(want)) throw new Error(`${what}: got ${got}, want ${want}`)
  console.log(`${what}: ok`)
}

const use = `
const client = new Client('ws://localhost/', { transports: [webSocket(class {}), stream()] })
console.log(client.state.state, new RocketError('offline').code)
`
const source = `
import { Client, RocketError, events, type State } from 'webrocket'
import { stream } from 'webrocket/stream'
const client = new Client('ws://localhost/', { transports: [stream()] })
const state: State = client.state
client.subscribe<{ n: number }>('c', { onEvent: e => { const n: number = e.data.n; void n } }).unsubscribe()
export async function f(): Promise<number | undefined> {
  for await (const e of events<number>(client, 'c')) if ('reason' in e) void e.missed; else return e.data
  try { return (await client.publish('c', 'e')).offset } catch (e) { if (e instanceof RocketError && e.maybeSent) throw e }
  return undefined
}
console.log(state.state)
`
try {
  const page = '<script type="module" src="b.ts"></script>'
  const esm = project('esm', 'module', { 'a.js': `import { Client, RocketError, webSocket } from 'webrocket'\nimport { stream } from 'webrocket/stream'\n${use}`, 'b.ts': source, 'index.html': page })
  const cjs = project('cjs', 'commonjs', { 'a.js': `const { Client, RocketError, webSocket } = require('webrocket')\nconst { stream } = require('webrocket/stream')\n${use}`, 'b.ts': source })
  expect('ESM', run('node', ['a.js'], esm), 'idle offline')
  expect('CommonJS', run('node', ['a.js'], cjs), 'idle offline')

  // The hooks find the rest of the package by its own name, and React beside it.
  for (const directory of [esm, cjs]) symlinkSync(resolve('node_modules/react'), join(directory, 'node_modules/react'))
  const hooks = 'console.log(typeof useChannel, typeof usePresence)'
  writeFileSync(join(esm, 'c.js'), `import { useChannel, usePresence } from 'webrocket/react'\n${hooks}`)
  writeFileSync(join(cjs, 'c.js'), `const { useChannel, usePresence } = require('webrocket/react')\n${hooks}`)
  for (const [kind, directory] of [['ESM', esm], ['CommonJS', cjs]]) expect(`React, ${kind}`, run('node', ['c.js'], directory), 'function function')

  const options = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2022,dom']
  for (const version of ['typescript', 'typescript-5.4']) {
    for (const [kind, directory, ...modules] of [['ESM', esm, '--module', 'node16'], ['CommonJS', cjs, '--module', 'node16'], ['bundler', esm, '--module', 'esnext', '--moduleResolution', 'bundler']]) {
      run(tsc(version), [...options, ...modules, 'b.ts'], directory)
      console.log(`${version}, ${kind}: ok`)
    }
  }

  run(tool('vite'), ['build', '--logLevel', 'error'], esm)
  expect('Vite', run('sh', ['-c', 'cat dist/assets/*.js'], esm), 'unknown_outcome')
} finally {
  rmSync(root, { recursive: true, force: true })
}
