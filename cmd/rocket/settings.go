package main

import (
	"strings"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/rate"
)

// setting is one setting of the server: its names, its default and its place
// in a config. Help, environment and docs/configuration.md follow this table.
type setting struct {
	key  string // in the file; "" if it is given per hub there
	flag string // without the dash
	meta string // stands for the value in the help
	def  string // as a flag would give it; "" leaves the zero value
	when when   // a change is in force
	doc  string
	at   func(*config) value
}

// inFile says where in a file a setting belongs that has no key there.
func (s setting) inFile() string {
	if s.flag == "pusher-app" {
		return "Apps"
	}
	return "Secrets of a hub"
}

// when says when a setting that has changed is in force.
type when bool

const (
	reload  when = false // after a reload
	restart when = true  // after a restart
)

// env returns the name of the environment variable: ROCKET_MAX_CONNECTIONS.
func (s setting) env() string {
	return "ROCKET_" + strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_"))
}

// settings returns all settings of the server, in the order of the help.
func settings() []setting {
	all := []setting{
		{
			"Host", "host", "HOST", "localhost", restart, "name or address to listen on; empty: every address of the machine",
			func(c *config) value { return text(&c.host, "a host name or an IP address", checkHost) },
		},
		{
			"Port", "port", "PORT", "9772", restart, "TCP port; 0: any free one",
			func(c *config) value { return integer(&c.port, 0, 65535) },
		},
		{
			"ReusePort", "reuse-port", "", "", restart, "listen also where another process does, for a rolling restart",
			func(c *config) value { return boolean(&c.server.ReusePort) },
		},
		{
			"Unix", "unix", "FILE", "", restart, "socket's file to listen on too, without TLS",
			func(c *config) value { return text(&c.unix, "a file", checkSocket) },
		},
		{
			"ProxyFrom", "proxy-from", "LIST", "", restart, "addresses or networks of balancers that begin with a PROXY header; unix: the socket's file",
			func(c *config) value {
				return list(&c.proxyFrom, `an address or network such as "10.0.0.0/8", or "unix"`, checkProxy)
			},
		},
		{
			"ForwardedFrom", "forwarded-from", "LIST", "", restart, "addresses or networks of HTTP proxies that are trusted to name the client in X-Forwarded-For or Forwarded; unix: the socket's file",
			func(c *config) value {
				return list(&c.forwardedFrom, `an address or network such as "10.0.0.0/8", or "unix"`, checkForwarder)
			},
		},
		{
			"TLSCertFile", "tls-cert", "FILE", "", restart, "certificate for wss://, in PEM, with its chain",
			func(c *config) value { return file(&c.certFile, checkReadable) },
		},
		{
			"TLSKeyFile", "tls-key", "FILE", "", restart, "private key of the certificate, in PEM",
			func(c *config) value { return file(&c.keyFile, checkReadable) },
		},
		{
			"PidFile", "pid-file", "FILE", "", restart, "file for the number of the process, which rocket reload reads",
			func(c *config) value { return file(&c.pidFile, checkAppendable) },
		},
		{
			"TLSSelfSigned", "tls-self-signed", "", "", restart, "wss:// with a certificate made at the start, for development",
			func(c *config) value { return boolean(&c.selfSigned) },
		},
		{
			"TLSClientCA", "tls-client-ca", "FILE", "", restart, "authorities, in PEM, one of which must have signed a client's certificate",
			func(c *config) value { return file(&c.clientCA, checkReadable) },
		},
		{
			"TLSPort", "tls-port", "PORT", "0", restart, "TCP port for wss://, beside ws:// on Port; 0: wss:// on Port, and no ws://",
			func(c *config) value { return integer(&c.tlsPort, 0, 65535) },
		},
		{
			"Log", "log", "FILE", "-", restart, "file that the log is appended to; -: standard error",
			func(c *config) value { return file(&c.log, checkAppendable) },
		},
		{
			"LogLevel", "log-level", "LEVEL", "info", reload, "least level that is logged: debug, info, warn or error",
			func(c *config) value { return oneOf(&c.logLevel, "debug", "info", "warn", "error") },
		},
		{
			"Admin", "admin", "ADDRESS", "127.0.0.1:9773", restart, "address of the admin API and the metrics, as host:port; off: none",
			func(c *config) value {
				return text(&c.admin, `an address such as "127.0.0.1:9773", or "off"`, checkAdmin)
			},
		},
		{
			"AdminToken", "admin-token", "TOKEN", "", restart, "bearer token of the admin API; empty: it changes nothing",
			func(c *config) value { return bearer(&c.adminToken) },
		},
		{
			"AdminProfiling", "admin-profiling", "on|off", "off", restart, "serve /debug/pprof/ there too",
			func(c *config) value { return oneOf(&c.profiling, "on", "off") },
		},
		{
			"Loops", "loops", "N", "0", restart, "event loops; 0: one per core",
			func(c *config) value { return integer(&c.server.Loops, 0, 256) },
		},
		{
			"MaxConnections", "max-connections", "N", "0", reload, "connections open at once; 0: what the open-file limit allows",
			func(c *config) value { return integer(&c.server.MaxConnections, 0, 0) },
		},
		{
			"MaxHTTPConnections", "max-http-connections", "N", "0", reload, "connections open at once for HTTP, beside MaxConnections; 0: 1,000, or a sixty-fourth of the open files",
			func(c *config) value { return integer(&c.server.MaxHTTPConnections, 0, 0) },
		},
		{
			"MemoryLimit", "memory-limit", "BYTES", "0", reload, "memory that the process may use; 0: GOMEMLIMIT, or what the control group allows; -1: any",
			func(c *config) value { return size(&c.server.MemoryLimit, -1, 0) },
		},
		{
			"ConnectRate", "connect-rate", "N", "0", reload, "connections that may come in a second; 0: any number",
			func(c *config) value { return integer(&c.server.ConnectRate, 0, 0) },
		},
		{
			"ConnectRatePerAddress", "connect-rate-per-address", "N", "0", reload, "connections that may come from one address in a second; 0: any number",
			func(c *config) value { return integer(&c.server.ConnectRatePerAddress, 0, 0) },
		},
		{
			"HandshakeTimeout", "handshake-timeout", "TIME", "10s", reload, "time that a client has for the opening handshake, with that of TLS",
			func(c *config) value { return duration(&c.server.HandshakeTimeout) },
		},
		{
			"HandshakeWorkers", "handshake-workers", "N", "0", restart, "TLS handshakes that compute at the same time; 0: one per two cores",
			func(c *config) value { return integer(&c.server.HandshakeWorkers, 0, 0) },
		},
		{
			"PingInterval", "ping-interval", "TIME", "25s", reload, "silence after which a client is pinged; off: no pings",
			func(c *config) value { return durationOrOff(&c.server.PingInterval) },
		},
		{
			"PongTimeout", "pong-timeout", "TIME", "20s", reload, "silence after a ping that ends the connection",
			func(c *config) value { return duration(&c.server.PongTimeout) },
		},
		{
			"MessageTimeout", "message-timeout", "TIME", "60s", reload, "time that a message may take to arrive, once it has begun; off: any",
			func(c *config) value { return durationOrOff(&c.server.MessageTimeout) },
		},
		{
			"CloseTimeout", "close-timeout", "TIME", "5s", reload, "time that a client has for the closing handshake",
			func(c *config) value { return duration(&c.server.CloseTimeout) },
		},
		{
			"Drain", "drain", "TIME", "30s", reload, "time over which connections are closed after SIGTERM or SIGUSR2; off: all at once",
			func(c *config) value { return durationOrOff(&c.drain) },
		},
		{
			"StallTimeout", "stall-timeout", "TIME", "10s", restart, "time without progress after which an event loop is logged as stalled; off: never",
			func(c *config) value { return durationOrOff(&c.server.StallTimeout) },
		},
		{
			"SendBuffer", "send-buffer", "BYTES", "131072", restart, "kernel send buffer per connection; -1: the kernel decides",
			func(c *config) value { return size(&c.server.SendBuffer, -1, 0) },
		},
		{
			"IOUring", "io-uring", "auto|on|off", "auto", restart, "send through io_uring; auto: where the kernel allows it; on: it is an error where it does not",
			func(c *config) value { return choice(&c.server.IOUring, "auto", "on", "off") },
		},
	}
	all = append(all, setting{
		"AppsPrefix", "apps-prefix", "PATH", "", restart, "path before /app/ and /apps/ of applications for Pusher clients, such as /pusher",
		func(c *config) value { return text(&c.appsPrefix, `a path such as "/pusher"`, checkPrefix) },
	})
	all = append(all, clusterSettings()...)
	for _, h := range hubDefaults() {
		at := h.at
		all = append(all, setting{
			h.key, h.flag, h.meta, h.def, reload, h.doc,
			func(c *config) value { return at(&c.hubDefaults) },
		})
	}
	return append(all, []setting{
		{
			"", "pusher-app", "ID:KEY:SECRET", "", reload, "application for Pusher clients, if there is no file",
			oneApp,
		},
		{
			"", "read-only-secret", "SECRET", "", reload, "secret for reading the hub at /, if there is no file",
			func(c *config) value { return secret(&c.hubDefaults.Secrets.ReadOnly) },
		},
		{
			"", "read-write-secret", "SECRET", "", reload, "secret for reading and publishing at /, if there is no file",
			func(c *config) value { return secret(&c.hubDefaults.Secrets.ReadWrite) },
		},
	}...)
}

// hubSetting is one setting of a hub. With a flag it is also a setting of the
// server, which is then the default for the hubs.
type hubSetting struct {
	key  string // in the file; "Secrets.ReadOnly" is ReadOnly in the object Secrets
	flag string
	meta string
	def  string
	doc  string
	at   func(*hub) value
}

// hubDefaults returns the settings of a hub that have a default for all hubs.
func hubDefaults() []hubSetting {
	return []hubSetting{
		{
			"MaxMessageSize", "max-message-size", "BYTES", "65536", "largest message that a client may send, at most 1 GiB",
			func(h *hub) value { return size(&h.MaxMessageSize, 1, engine.MessageMax) },
		},
		{
			"MaxQueuedBytes", "max-queued-bytes", "BYTES", "1048576", "bytes that may wait for a slow reader",
			func(h *hub) value { return size(&h.MaxQueuedBytes, 1, 0) },
		},
		{
			"SlowReaders", "slow-readers", "POLICY", "disconnect", "what happens to a slow reader above that: disconnect, drop-oldest, conflate or replay",
			func(h *hub) value { return choice(&h.SlowReaders, "disconnect", "drop-oldest", "conflate", "replay") },
		},
		{
			"MaxSubscriptions", "max-subscriptions", "N", "128", "subscriptions that one connection may have",
			func(h *hub) value { return integer(&h.MaxSubscriptions, 1, 0) },
		},
		{
			"MaxChannels", "max-channels", "N", "0", "channels that a hub may have; 0: any number",
			func(h *hub) value { return integer(&h.MaxChannels, 0, 0) },
		},
		{
			"MaxChannelName", "max-channel-name", "BYTES", "255", "length that a channel's name may have",
			func(h *hub) value { return size(&h.MaxChannelName, 1, codec.MaxChannelName) },
		},
		{
			"Patterns", "patterns", "on|off", "off", "clients may subscribe to patterns of channels, such as chat:*: on or off",
			func(h *hub) value { return onOrOff(&h.Patterns) },
		},
		{
			"MaxPatterns", "max-patterns", "N", "8", "patterns that one connection may be subscribed to",
			func(h *hub) value { return integer(&h.MaxPatterns, 1, 0) },
		},
		{
			"MaxFailedLogins", "max-failed-logins", "N", "10", "logins of one connection that may fail before it is closed",
			func(h *hub) value { return integer(&h.MaxFailedLogins, 1, 255) },
		},
		{
			"CommandRate", "command-rate", "N", "0", "commands that one connection may send in a second; 0: any number",
			func(h *hub) value { return integer(&h.CommandRate, 0, rate.Max) },
		},
		{
			"ByteRate", "byte-rate", "BYTES", "0", "bytes of messages that one connection may send in a second; 0: any number",
			func(h *hub) value { return size(&h.ByteRate, 0, rate.Max) },
		},
		{
			"MaxHistoryBytes", "max-history-bytes", "BYTES", "67108864", "memory that the events which a hub keeps may have, without the 400 bytes of each channel",
			func(h *hub) value { return size(&h.MaxHistoryBytes, 1, 0) },
		},
		{
			"MaxHistoryReply", "max-history-reply", "N", "1000", "events in one reply to history",
			func(h *hub) value { return integer(&h.MaxHistoryReply, 1, 0) },
		},
		{
			"IdempotencyWindow", "idempotency-window", "TIME", "120s", "time for which the key of a publish is remembered at least",
			func(h *hub) value { return duration(&h.IdempotencyWindow) },
		},
		{
			"MaxIdempotencyKeys", "max-idempotency-keys", "N", "100000", "keys that a hub remembers",
			func(h *hub) value { return integer(&h.MaxIdempotencyKeys, 1, 0) },
		},
		{
			"Compression", "compression", "on|off", "off", "permessage-deflate for clients that offer it: on or off",
			func(h *hub) value { return onOrOff(&h.Compression) },
		},
		{
			"CompressionThreshold", "compression-threshold", "BYTES", "512", "shortest message that is compressed",
			func(h *hub) value { return size(&h.CompressionThreshold, 1, 0) },
		},
		{
			"Origins", "origins", "LIST", "", "origins of web pages that may connect, as https://example.com or https://*.example.com; empty: any",
			func(h *hub) value {
				return parsedList(&h.Origins, `an origin such as "https://example.com"`, parseOrigin)
			},
		},
		{
			"Subprotocols", "subprotocols", "LIST", "", "WebSocket subprotocols that a client may choose",
			func(h *hub) value { return list(&h.Subprotocols, "the name of a subprotocol", checkToken) },
		},
	}
}

// hubSettings returns all keys of a hub, in the order of the documentation.
func hubSettings() []hubSetting {
	return append([]hubSetting{
		{
			key: "Path", doc: "where clients connect: `/` or a path such as `/chat`; required, and each path once",
			at: func(h *hub) value { return text(&h.path, `a path such as "/chat"`, checkPath) },
		},
		{
			key: "Paths", doc: "list of further paths at which clients reach the same hub: the channels are the same",
			at: func(h *hub) value { return list(&h.morePaths, `a path such as "/chat"`, checkPath) },
		},
		{
			key: "Codec", def: codecJSON, doc: "encoding of the messages: JSON; or Echo: every message is sent back, and there are no channels",
			at: func(h *hub) value { return oneOf(&h.codec, codecJSON, codecEcho) },
		},
		{
			key: "Log", doc: "file that this hub's log is appended to; -: standard error; empty: the server's log",
			at: func(h *hub) value { return file(&h.log, checkAppendable) },
		},
		{
			key: "Channels", doc: "list of channels that exist without a subscriber",
			at: func(h *hub) value {
				return list(&h.Channels, "a channel name of 1 to 255 bytes without control characters", checkChannel)
			},
		},
		{
			key: "Rules", doc: "list of [rules](#rules) for channels: what is kept of them, and who may do what",
			at: func(h *hub) value { return ruleList(&h.Rules) },
		},
		{
			key: "Secrets.ReadOnly", doc: "secret for reading; empty: everyone may read",
			at: func(h *hub) value { return secret(&h.Secrets.ReadOnly) },
		},
		{
			key: "Secrets.ReadWrite", doc: "secret for reading and publishing; empty: everyone may do both",
			at: func(h *hub) value { return secret(&h.Secrets.ReadWrite) },
		},
		{
			key: "Tokens", doc: "which [tokens](#tokens) open the hub; with it an empty secret opens nothing",
			at: func(h *hub) value { return tokenObject(&h.tokens) },
		},
		{
			key: "Keys", doc: "list of keys with which backends publish and read by HTTP, as `rocket key new` prints them: [http.md](http.md#keys)",
			at: func(h *hub) value { return apiKeyList(&h.keys) },
		},
	}, hubDefaults()...)
}
