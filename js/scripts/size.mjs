// What the client adds to a page: minified by esbuild, packed by gzip. It fails if that is too much.
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

process.chdir(new URL('..', import.meta.url).pathname)
const limits = [
  ['Client', 5000, `export { Client } from './dist/esm/index.js'`],
  ['Client, stream', 6000, `export { Client } from './dist/esm/index.js'; export { stream } from './dist/esm/stream.js'`],
  ['everything of webrocket', 6000, `export * from './dist/esm/index.js'`],
  ['webrocket/react', 1000, `export * from './dist/esm/react.js'`],
]
for (const [what, limit, contents] of limits) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: '.' }, bundle: true, minify: true, format: 'esm', target: 'es2022', external: ['react', 'webrocket'], write: false,
  })
  const [{ contents: code }] = outputFiles
  const bytes = gzipSync(code, { level: 9 }).length
  console.log(`${what.padEnd(24)} ${String(code.length).padStart(6)} bytes, ${String(bytes).padStart(5)} in gzip, of ${limit}`)
  if (bytes > limit) process.exitCode = 1
}
