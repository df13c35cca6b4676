import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: { include: ['test/{unit,server,browser}/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000, pool: 'threads', maxWorkers: 2 },
})
