// Builds the package, and dist/webrocket.js, of which the server embeds the copy in webrocket.js.
import { execFileSync } from 'node:child_process'
import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

process.chdir(new URL('..', import.meta.url).pathname)
rmSync('dist', { recursive: true, force: true })

const common = { bundle: true, target: 'es2022', external: ['react'], logLevel: 'warning' }
const entryPoints = ['src/index.ts', 'src/stream.ts', 'src/react.ts']
// A page that uses both has one copy of what they share.
const shared = { name: 'shared', setup(b) { b.onResolve({ filter: /^\.\/presence\.js$/ }, a => /react/.test(a.importer) ? { path: 'webrocket', external: true } : undefined) } }
for (const format of ['esm', 'cjs']) {
  await build({ ...common, entryPoints, format, outdir: `dist/${format}`, plugins: [shared] })
  execFileSync('node_modules/.bin/tsc', ['--noEmit', 'false', '--emitDeclarationOnly', '--declaration', '--outDir', `dist/${format}`], { stdio: 'inherit' })
}
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n')
copyFileSync('../LICENSE', 'LICENSE')

await build({
  ...common,
  entryPoints: ['src/bundle.ts'],
  format: 'iife',
  globalName: 'webrocket',
  minify: true,
  banner: { js: '/* The JavaScript client of Rocket, BSD-3-Clause. Its source is in js/. */' },
  outfile: 'dist/webrocket.js',
})
