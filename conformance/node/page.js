// The script of a page, from standard input, with the WebSocket of the ws package: node page.js < SCRIPT.
globalThis.WebSocket = require('ws')
require('vm').runInThisContext(require('fs').readFileSync(0, 'utf8'))
